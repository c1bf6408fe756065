"""What every track does with its packets before their payload counts: source, type, sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod

from khupho.media.samples import SampleBatch
from khupho.wire.rtp.packet import RtpHeader, parse_header
from khupho.wire.rtp.reception import PASSED_OVER, Jitter, Reception, SequenceNumbers
from khupho.wire.rtp.track_spec import TrackSpec

_PERSISTENT_PACKETS = 4
"""So many packets in a row of one other source, and it is the camera's new one (quirk 30)."""


class TrackReader(ABC):
    """One track: packets in, samples out."""

    __slots__ = (
        "_foreign",
        "_foreign_ssrc",
        "hinted_ssrc",
        "jitter",
        "packets",
        "payload_type",
        "payload_types",
        "sequence",
        "ssrc",
        "suspect",
    )

    def __init__(self, spec: TrackSpec) -> None:
        self.payload_types = spec.payload_types
        self.payload_type = 0
        """Of the last packet taken."""
        self.hinted_ssrc = spec.ssrc
        self.ssrc: int | None = None
        self.sequence = SequenceNumbers()
        self.jitter = Jitter(spec.clock_hz)
        self.packets = 0
        """Media packets since `take_batch`."""
        self.suspect = False
        """Garbage stood behind the last packet: if packets are missing too, it may be cut."""
        self._foreign = 0
        self._foreign_ssrc = 0

    def packet(self, buffer: memoryview, start: int, end: int, now_us: int | None = None) -> None:
        """Take the RTP packet in `buffer[start:end]`; anything that is none is passed over."""
        header = parse_header(buffer, start, end)
        # Some cameras send packets of another type with numbers of their own (quirk 31).
        if header is None or header.payload_type not in self.payload_types:
            return
        dropped = 0
        if header.ssrc != self.ssrc:
            if not self._accepts(header):
                return
            dropped = self._change_source(header)
        lost = self.sequence.take(header.sequence)
        if lost == PASSED_OVER:
            return
        self.packets += 1
        self.payload_type = header.payload_type
        if now_us is not None:
            self.jitter.take(header.timestamp, now_us)
        lost += dropped
        if lost:
            self.hole(lost)
        self.suspect = False
        self.payload(header, buffer)

    def _accepts(self, header: RtpHeader) -> bool:
        """Whether a packet of another source than the last counts."""
        if self.ssrc is None or header.ssrc == self.hinted_ssrc:
            return True
        following = self.sequence.next
        if following is not None and header.sequence == following & 0xFFFF:
            return True  # the same stream under another number
        self._foreign = self._foreign + 1 if header.ssrc == self._foreign_ssrc else 1
        self._foreign_ssrc = header.ssrc
        return self._foreign >= _PERSISTENT_PACKETS

    def _change_source(self, header: RtpHeader) -> int:
        """Take on a new source. Returns how many of its packets were dropped until now."""
        following = self.sequence.next
        dropped = 0
        if following is not None and header.sequence != following & 0xFFFF:
            self.sequence.forget()
            dropped = max(1, self._foreign - 1 if header.ssrc == self._foreign_ssrc else 0)
        self.ssrc = header.ssrc
        self._foreign = 0
        return dropped

    def reception(self) -> Reception:
        """How the track was received until now."""
        return self.sequence.reception(self.ssrc, self.jitter)

    @abstractmethod
    def hole(self, packets: int) -> None:
        """So many packets are missing before the next payload; `suspect` is as it was set."""

    @abstractmethod
    def payload(self, header: RtpHeader, buffer: memoryview) -> None:
        """Take the payload `buffer[header.start:header.end]`."""

    @abstractmethod
    def take_batch(self) -> SampleBatch | None:
        """The samples since the last call."""

    @abstractmethod
    def finish(self) -> SampleBatch | None:
        """The same, and what is carried if it is whole. The session is over."""

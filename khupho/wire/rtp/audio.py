"""An audio track: AAC frames (RFC 3640, or in ADTS: quirk 47) and G.711 (RFC 3551 section 4.5.14)."""

from __future__ import annotations

from heapq import heappop, heappush

from khupho.media.aac import AudioConfigError, has_adts, strip_adts
from khupho.media.formats import AudioFormat, Codec
from khupho.media.samples import Sample, SampleBatch
from khupho.wire.rtp.aac_payload import AacFrames
from khupho.wire.rtp.packet import RtpHeader
from khupho.wire.rtp.timeline import Timeline
from khupho.wire.rtp.track import TrackReader
from khupho.wire.rtp.track_spec import TrackSpec

MAX_INTERLEAVED = 64
"""Frames that wait for those that belong before them (RFC 3640 section 3.2.3.2)."""


class AudioReader(TrackReader):
    """AAC or G.711: each frame of AAC, and each packet of G.711, is a sample."""

    __slots__ = (
        "_channels",
        "_discontinuity",
        "_format",
        "_frames",
        "_lost",
        "_next_pts",
        "_parts",
        "_samples",
        "_told",
        "_waiting",
        "timeline",
    )

    def __init__(self, spec: TrackSpec) -> None:
        super().__init__(spec)
        if not isinstance(spec.format, AudioFormat):
            raise AudioConfigError("an audio track without a format")
        self._format = spec.format
        self._channels = spec.format.channels
        self._frames = AacFrames(spec.aac) if spec.codec is Codec.AAC else None
        self.timeline = Timeline(spec.clock_hz, spec.aac.frame_ticks)
        self.timeline.may_reorder = False
        self._parts: list[bytes] = []
        self._samples: list[Sample] = []
        self._waiting: list[tuple[int, int, bytes]] = []
        self._next_pts: int | None = None
        self._lost = 0
        self._told = False
        self._discontinuity = False

    def hole(self, packets: int) -> None:
        self._lost += packets
        if self._frames is not None:
            self._frames.forget()

    def payload(self, header: RtpHeader, buffer: memoryview) -> None:
        payload = buffer[header.start : header.end]
        if self._frames is None:
            if len(payload):
                ticks = self._push(header.timestamp)
                self._tell(ticks, len(payload) // self._channels, bytes(payload))
            return
        frames = self._frames.take(payload, header.timestamp)
        self._lost += self._frames.damaged
        self._frames.damaged = 0
        if frames:
            self._take_frames(header.timestamp, frames)

    def _push(self, timestamp: int) -> int:
        self.timeline.push(timestamp, after_loss=self._lost > 0)
        self._discontinuity |= self.timeline.jumped
        return self.timeline.ticks

    def _take_frames(self, timestamp: int, frames: list[tuple[int, bytes]]) -> None:
        begin = self._push(timestamp)
        duration = self._frames.layout.frame_ticks if self._frames is not None else 0
        is_interleaved = bool(self._waiting) or any(
            index != position for position, (index, _data) in enumerate(frames)
        )
        position = 0
        for index, data in frames:
            for raw in _raw_frames(data):
                place = index if is_interleaved else position
                ticks = begin + place * duration
                position += 1
                if is_interleaved:
                    heappush(self._waiting, (ticks, len(self._waiting), raw))
                else:
                    self._tell(ticks, duration, raw)
        while self._waiting and (
            self._waiting[0][0] <= begin or len(self._waiting) > MAX_INTERLEAVED
        ):
            ticks, _order, raw = heappop(self._waiting)
            self._tell(ticks, duration, raw)

    def _tell(self, ticks: int, duration: int, data: bytes) -> None:
        pts_90k = self.timeline.pts_90k(ticks)
        changed = None if self._told else self._format
        self._told = True
        self._samples.append(
            Sample(pts_90k, len(data), True, self._lost, False, changed, self._discontinuity)
        )
        self._parts.append(data)
        self._next_pts = self.timeline.pts_90k(ticks + duration)
        self._lost = 0
        self._discontinuity = False

    def take_batch(self) -> SampleBatch | None:
        if not self._samples:
            return None
        data = b"".join(self._parts)
        batch = SampleBatch(
            [memoryview(data)], self._samples, self._next_pts, len(data), self._lost
        )
        self._parts = []
        self._samples = []
        return batch

    def finish(self) -> SampleBatch | None:
        duration = self._frames.layout.frame_ticks if self._frames is not None else 0
        while self._waiting:
            ticks, _order, raw = heappop(self._waiting)
            self._tell(ticks, duration, raw)
        return self.take_batch()


def _raw_frames(data: bytes) -> list[bytes]:
    """The frames in an access unit: itself, or what stands in ADTS (quirk 47)."""
    if not has_adts(data):
        return [data]
    try:
        return [bytes(frame) for frame in strip_adts(data) if len(frame)]
    except AudioConfigError:
        return [data]

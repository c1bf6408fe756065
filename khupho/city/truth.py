"""What a camera really sent, so that a recorder's archive can be compared to the frame.

Runs of consecutive access units are kept as one entry each, so a session without faults needs the same
memory after a day as after a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from khupho.city.packets import PacketTrack

MAX_FACTS = 200_000
"""Entries kept of each kind and session; the oldest go first."""


class SentUnit(NamedTuple):
    """One access unit that a session sent."""

    number: int
    """Counts the camera's pictures from when it was switched on; a hole is a picture not sent."""
    clip_unit: int
    """Which unit of the clip it is."""
    rtp_timestamp: int
    pts_90k: int
    """On the camera's own line, unwrapped, through all rounds of the clip."""
    is_key: bool
    first_sequence: int
    """Unwrapped: the sequence number on the wire is this modulo 65,536."""
    packets: int
    lost: tuple[int, ...]
    """Unwrapped sequence numbers of its packets that a fault kept back."""


class Skipped(NamedTuple):
    """Pictures that were not sent."""

    first_number: int
    pictures: int
    cause: str
    """`slow reader` (sequence numbers show the loss), `stall` or `change` (they don't)."""


@dataclass(slots=True)
class Run:
    """Consecutive access units, sent with consecutive sequence numbers on one line of time."""

    track: PacketTrack
    number: int
    clip_unit: int
    round_start_90k: int
    """The camera's time at the first unit of the round of the clip."""
    rtp_base: int
    """RTP timestamp less `pts_90k`, before it wraps."""
    first_sequence: int
    with_parameter_sets: bool
    count: int = 0

    def units(self, lost: dict[int, list[int]]) -> Iterator[SentUnit]:
        """Each unit of the run."""
        track, index, start_90k = self.track, self.clip_unit, self.round_start_90k
        sequence = self.first_sequence
        keys = set(track.key_units)
        for number in range(self.number, self.number + self.count):
            packets = len(track.patch_offsets[index])
            if not self.with_parameter_sets:
                packets -= track.parameter_set_packets[index]
            pts_90k = start_90k + track.pts_90k[index]
            yield SentUnit(
                number=number,
                clip_unit=index,
                rtp_timestamp=(self.rtp_base + pts_90k) & 0xFFFFFFFF,
                pts_90k=pts_90k,
                is_key=index in keys,
                first_sequence=sequence,
                packets=packets,
                lost=tuple(lost.get(number, ())),
            )
            sequence += packets
            index += 1
            if index == len(track):
                index, start_90k = 0, start_90k + track.duration_90k


@dataclass(slots=True)
class SessionTruth:
    """All that one session sent, from PLAY on."""

    session: str
    camera: str
    stream: str
    ssrc: int
    started_utc_us: int
    runs: deque[Run] = field(default_factory=lambda: deque(maxlen=MAX_FACTS))
    skipped: deque[Skipped] = field(default_factory=lambda: deque(maxlen=MAX_FACTS))
    lost: dict[int, list[int]] = field(default_factory=dict)
    """By number of the access unit: unwrapped sequence numbers kept back."""
    duplicated: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_FACTS))
    """Unwrapped sequence numbers sent twice."""
    reordered: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_FACTS))
    """Unwrapped sequence numbers sent after the one that follows them."""
    garbage_bytes: int = 0
    """Sent between interleaved frames."""
    refused_datagrams: int = 0
    """UDP packets that this machine's network refused to take."""
    unsent_bytes: int = 0
    """Still waiting for a slow reader when the session ended."""

    def units(self) -> Iterator[SentUnit]:
        """Every access unit handed to the network, in the order of sending."""
        for run in self.runs:
            yield from run.units(self.lost)

    @property
    def unit_count(self) -> int:
        """How many access units were handed to the network."""
        return sum(run.count for run in self.runs)

    def note_lost(self, number: int, sequence: int) -> None:
        """A packet of access unit `number` was kept back."""
        self.lost.setdefault(number, []).append(sequence)
        if len(self.lost) > MAX_FACTS:
            del self.lost[next(iter(self.lost))]

    def note_skipped(self, number: int, pictures: int, cause: str) -> None:
        """That many pictures from `number` on were not sent."""
        last = self.skipped[-1] if self.skipped else None
        if last and last.cause == cause and last.first_number + last.pictures == number:
            self.skipped[-1] = last._replace(pictures=last.pictures + pictures)
        else:
            self.skipped.append(Skipped(number, pictures, cause))

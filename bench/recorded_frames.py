"""Whether a recorder really recorded: frames and holes in what it left on disk.

The same look at everybody's files, through PyAV, or for the floor's raw bytes through the RTP headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av

_PACKET_HEADER_BYTES = 16
_MARKER = 0x80


@dataclass(frozen=True, slots=True)
class Recorded:
    """What lies on disk of one camera."""

    frames: int
    holes: int
    """Places where frames are missing: a step of time, or of sequence numbers in raw bytes."""

    def seconds(self, frames_per_s: float) -> float:
        return self.frames / frames_per_s


def video_rate(path: Path) -> tuple[float, float]:
    """Frames and bytes a second of a video file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        sizes = [packet.size for packet in container.demux(stream) if packet.size]
        seconds = len(sizes) / float(stream.average_rate or 25)
    return len(sizes) / seconds, sum(sizes) / seconds


def in_mp4(paths: Iterable[Path], frames_per_s: float, *, is_one_line: bool) -> Recorded:
    """Frames of segments in order. A hole is a step of more than one and a half frames.

    `is_one_line`: the segments' times run on from file to file; otherwise each begins at 0 and only
    holes inside one can be seen.
    """
    frames = holes = 0
    last_s: float | None = None
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = float(stream.time_base or 0)
            times_s = [
                p.dts * base for p in container.demux(stream) if p.size and p.dts is not None
            ]
        frames += len(times_s)
        if is_one_line and last_s is not None:
            times_s.insert(0, last_s)
        holes += sum(b - a > 1.5 / frames_per_s for a, b in pairwise(times_s))
        last_s = times_s[-1] if times_s else last_s
    return Recorded(frames, holes)


def in_interleaved(path: Path) -> Recorded:
    """Frames (by marker) and holes (by sequence number) of raw interleaved RTP on channel 0.

    The end may lie inside a packet: the receiver was stopped, not the camera.
    """
    data = memoryview(path.read_bytes())
    frames = holes = 0
    offset = 0
    expected: int | None = None
    while offset + _PACKET_HEADER_BYTES <= len(data):
        if data[offset] != 0x24:
            return Recorded(frames, holes + 1)
        size = int.from_bytes(data[offset + 2 : offset + 4], "big")
        if data[offset + 1] == 0:
            sequence = int.from_bytes(data[offset + 6 : offset + 8], "big")
            holes += expected is not None and sequence != expected
            expected = (sequence + 1) & 0xFFFF
            frames += bool(data[offset + 5] & _MARKER)
        offset += 4 + size
    return Recorded(frames, holes)

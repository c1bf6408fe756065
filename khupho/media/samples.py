"""Samples and batches of them: what the wire hands to the archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from khupho.media.formats import TrackFormat


class Sample(NamedTuple):
    """One access unit of video, or one frame of audio, in decoding order."""

    pts_90k: int
    """Presentation time on the session's own unwrapped line; ticks of 90 kHz for audio too."""
    size_bytes: int
    """As in MP4: a 4-byte length before each NAL unit; parameter sets and delimiters taken out."""
    is_key: bool
    """Decoding can begin here (IDR, IRAP). True for audio."""
    lost_packets: int = 0
    """RTP packets lost or damaged between the previous sample and this one."""
    damaged: bool = False
    """Kept although a picture it needs was lost."""
    format: TrackFormat | None = None
    """Set on a session's first sample, and on the first after a real change of format."""
    discontinuity: bool = False
    """The camera's timestamps jumped before this sample; its time line begins anew."""


class Columns(NamedTuple):
    """Samples by columns, in the order of `Sample`'s fields."""

    pts_90k: tuple[int, ...]
    sizes: tuple[int, ...]
    is_key: tuple[bool, ...]
    lost_packets: tuple[int, ...]
    damaged: tuple[bool, ...]
    formats: tuple[TrackFormat | None, ...]
    discontinuities: tuple[bool, ...]

    def part(self, begin: int, end: int) -> Columns:
        """Some of the samples."""
        return Columns(
            self.pts_90k[begin:end],
            self.sizes[begin:end],
            self.is_key[begin:end],
            self.lost_packets[begin:end],
            self.damaged[begin:end],
            self.formats[begin:end],
            self.discontinuities[begin:end],
        )


@dataclass(slots=True)
class SampleBatch:
    """Some samples and their bytes. Valid only until the next reading of any connection: pieces may lie in
    the buffer that all of them read into."""

    pieces: list[memoryview] = field(default_factory=list)
    """Their concatenation is the samples' bytes, in order, and nothing else."""
    samples: list[Sample] = field(default_factory=list)
    next_pts_90k: int | None = None
    """Presentation time of the access unit that has begun after the last sample, if one has."""
    size_bytes: int = 0
    next_lost_packets: int = 0
    """Packets known to be lost between the last sample and that access unit: then the time up to it isn't
    all the last sample's. The next sample tells them again, in its own `lost_packets`."""
    _columns: Columns | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def columns(self) -> Columns:
        """The samples by columns, made once. The batch must have samples, and keep them as they are."""
        columns = self._columns
        if columns is None:
            columns = self._columns = tuple.__new__(Columns, zip(*self.samples, strict=True))
        return columns

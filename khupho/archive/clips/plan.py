"""A progressive clip before a byte of footage is copied: its index, and what of which segment follows it.

Whoever makes the clip, as a file or as bytes on their way, makes it of this: so they are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from khupho.archive.clips.cut import ClipLine, SegmentCut, cut_segment, place, sample_runs
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.media.progressive import (
    ProgressiveHeader,
    ProgressiveTrack,
    SampleRun,
    progressive_header,
)
from khupho.units import US_PER_S

Read = Callable[[str], StoredSegment]
"""A segment with its fragments, by its relative path. Raises `KhuphoError`."""

Visit = Callable[[StoredSegment, SegmentCut], None]
"""Told of each cut of a clip, in order."""


class ProgressivePlan(NamedTuple):
    """One progressive file of a clip."""

    line: ClipLine
    header: ProgressiveHeader
    """What `data_ranges` of the cuts, one after the other, follow."""
    frames: int
    """Shown ones; a few before the first are only decoded."""


def cut_segments(
    paths: Iterable[str], read: Read, start_utc_us: int, end_utc_us: int
) -> Iterator[tuple[StoredSegment, SegmentCut]]:
    """What a clip between two moments takes of each of these segments; those of which it takes nothing
    are left out. Raises what `read` does."""
    for path in paths:
        segment = read(path)
        if segment.end_utc_us <= start_utc_us or segment.start_utc_us >= end_utc_us:
            continue
        cut = cut_segment(segment, start_utc_us, end_utc_us)
        if cut is not None:
            yield segment, cut


def plan_progressive(cuts: Sequence[SegmentCut], read: Read, visit: Visit) -> ProgressivePlan:
    """`ftyp moov` of one file that holds cuts of one format, at their true times.

    Each segment is read once more, so that a clip of any length takes the memory of its index alone.
    Raises `BoxError` where a number doesn't fit (a picture that stands for more than 13 hours), and what
    `read` does.
    """
    line = place(cuts)

    def runs() -> Iterator[SampleRun]:
        for placed in line.placed:
            segment = read(placed.cut.relative_path)
            visit(segment, placed.cut)
            yield from sample_runs(segment, placed)

    track = ProgressiveTrack((line.format,), line.timescale, 0, line.edit_media_time)
    header = progressive_header([track], runs(), creation_utc_s=line.start_utc_us // US_PER_S)
    return ProgressivePlan(line, header, sum(cut.shown_samples for cut in cuts))

"""What a stream's segments cover: stretches without a gap, gaps with their cause, share of each day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from khupho.archive.events import CloseCause
from khupho.archive.segments.gaps import GAP_US, Gap, cause_text


class SegmentSpan(NamedTuple):
    """One segment, as the catalog or a walk over the files tells it."""

    start_utc_us: int
    end_utc_us: int
    size_bytes: int
    cause: CloseCause | None
    """Why it ended; None while it is being written."""


class Coverage(NamedTuple):
    """What there is of one stream."""

    segments: int
    size_bytes: int
    start_utc_us: int
    end_utc_us: int
    covered_us: int
    stretches: tuple[tuple[int, int], ...]
    """Beginning and end of each stretch without a gap."""
    gaps: tuple[Gap, ...]
    """Between the stretches."""


class DayCoverage(NamedTuple):
    """One day of one stream."""

    start_utc_us: int
    end_utc_us: int
    covered_us: int
    gaps: int
    """Gaps that begin on this day."""


def cover(spans: Iterable[SegmentSpan]) -> Coverage | None:
    """Join the segments of one stream, in any order; None where there is none."""
    ordered = sorted(spans)
    if not ordered:
        return None
    stretches: list[tuple[int, int]] = []
    gaps: list[Gap] = []
    start_us, end_us, cause = ordered[0].start_utc_us, ordered[0].end_utc_us, ordered[0].cause
    for span in ordered[1:]:
        if span.start_utc_us - end_us > GAP_US:
            stretches.append((start_us, end_us))
            gaps.append(Gap(end_us, span.start_utc_us, cause_text(cause)))
            start_us = span.start_utc_us
        if span.end_utc_us >= end_us:
            end_us, cause = span.end_utc_us, span.cause
    stretches.append((start_us, end_us))
    return Coverage(
        len(ordered),
        sum(span.size_bytes for span in ordered),
        ordered[0].start_utc_us,
        end_us,
        sum(end - start for start, end in stretches),
        tuple(stretches),
        tuple(gaps),
    )


def by_day(coverage: Coverage, day_starts_utc_us: Sequence[int]) -> list[DayCoverage]:
    """The share of each day. `day_starts_utc_us` ascend; the last one only ends the last day.

    Days are the caller's (a zone's, 23 to 25 hours long).
    """
    days = []
    stretches = iter(coverage.stretches)
    stretch = next(stretches, None)
    for start_us, end_us in pairwise(day_starts_utc_us):
        covered_us = 0
        while stretch is not None and stretch[0] < end_us:
            covered_us += max(min(stretch[1], end_us) - max(stretch[0], start_us), 0)
            if stretch[1] > end_us:
                break
            stretch = next(stretches, None)
        gaps = sum(start_us <= gap.start_utc_us < end_us for gap in coverage.gaps)
        days.append(DayCoverage(start_us, end_us, covered_us, gaps))
    return days

"""Stretches, gaps and days."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.catalog.coverage import SegmentSpan, by_day, cover
from khupho.archive.events import CloseCause
from khupho.archive.segments.gaps import GAP_US
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_S

HOUR = US_PER_HOUR


def span(start_us: int, end_us: int, cause: CloseCause | None = CloseCause.AGE) -> SegmentSpan:
    return SegmentSpan(start_us, end_us, 1000, cause)


def test_segments_that_follow_each_other_are_one_stretch() -> None:
    found = cover(
        [span(2 * HOUR, 3 * HOUR), span(HOUR, 2 * HOUR + 5), span(3 * HOUR + GAP_US, 4 * HOUR)]
    )
    assert found is not None
    assert found.stretches == ((HOUR, 4 * HOUR),)
    assert found.gaps == ()
    assert (found.segments, found.size_bytes, found.covered_us) == (3, 3000, 3 * HOUR)


def test_a_gap_has_the_cause_of_the_end_before_it() -> None:
    found = cover([span(0, HOUR, CloseCause.CONNECTION), span(2 * HOUR, 3 * HOUR, None)])
    assert found is not None
    (gap,) = found.gaps
    assert gap[:2] == (HOUR, 2 * HOUR)
    assert "connection" in gap.cause
    assert found.covered_us == 2 * HOUR


def test_days() -> None:
    found = cover([span(0, 30 * HOUR), span(31 * HOUR, 32 * HOUR), span(80 * HOUR, 81 * HOUR)])
    assert found is not None
    days = by_day(found, [day * US_PER_DAY for day in range(5)])
    assert [day.covered_us // HOUR for day in days] == [24, 7, 0, 1]
    assert [day.gaps for day in days] == [0, 2, 0, 0]


def test_nothing() -> None:
    assert cover([]) is None


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), min_size=1, max_size=12),
    st.lists(st.integers(0, 400), unique=True, max_size=6),
)
def test_days_add_up(raw: list[tuple[int, int]], cuts: list[int]) -> None:
    spans = [span(start * US_PER_S, (start + length) * US_PER_S) for start, length in raw]
    found = cover(spans)
    assert found is not None
    seconds = {second for start, length in raw for second in range(start, start + length)}
    assert found.covered_us == len(seconds) * US_PER_S
    edges = [edge * US_PER_S for edge in sorted({0, *cuts, 500})]
    days = by_day(found, edges)
    for day, (begin, end) in zip(days, pairwise(edges), strict=True):
        inside = [n for n in seconds if begin <= n * US_PER_S < end]
        assert day.covered_us == len(inside) * US_PER_S
    assert sum(day.gaps for day in days) == len(found.gaps) == len(found.stretches) - 1

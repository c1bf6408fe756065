"""What there is of a stream: spans, gaps with their causes, and how much of each slice of time is covered.

The catalog answers, in a few statements that hand on breaks and sums rather than segments and minutes; where
it cannot be used, the directories do, without damage and frames.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.catalog.coverage import SegmentSpan
from khupho.archive.catalog.queries import CatalogError, CatalogQueries
from khupho.archive.events import CloseCause
from khupho.archive.segments.gaps import GAP_US
from khupho.archive.segments.reader import SegmentError
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY, US_PER_MINUTE

MOST_TIMELINE_US = 400 * US_PER_DAY
MOST_BUCKETS = 5_000
MOST_GAPS = 20_000


class TimelineError(KhuphoError):
    """A timeline cannot be made as asked."""

    fault = Fault.USER


class GapCause(Enum):
    """Why there is no footage; the values are for good, so that pages can translate them."""

    RECOVERED = "recovered"
    """The recorder was killed or lost power."""
    STOPPED = "stopped"
    AGE = "age"
    """Footage is missing between two segments of one session."""
    CONNECTION = "connection"
    FORMAT = "format"
    TIMELINE = "timeline"
    """The camera's timestamps jumped."""
    CLOCK = "clock"
    """The recorder's clock stepped."""
    DISK = "disk"
    DELETED = "deleted"
    NOT_YET = "not_yet"
    """The segment before is being written: footage comes, or is not flushed yet."""
    BEFORE_FIRST = "before_first"
    """Nothing older is known."""
    UNKNOWN = "unknown"


class Span(msgspec.Struct, frozen=True):
    """Unbroken footage."""

    start_utc_us: int
    end_utc_us: int


class TimelineGap(msgspec.Struct, frozen=True):
    """Time without footage."""

    start_utc_us: int
    end_utc_us: int
    cause: GapCause
    raw_cause: str
    """As catalog and journal have it: a close cause in lower case, or a deletion's reason; may be empty."""


class Bucket(msgspec.Struct, frozen=True):
    """One of the equal slices."""

    covered_us: int
    damaged_us: int | None
    """Of what is covered; None where slices are shorter than a minute or the catalog cannot be used."""
    frames: int | None
    """Of the minutes in it; None as `damaged_us`."""


class Timeline(msgspec.Struct, frozen=True):
    """Of one stream. Spans and gaps, each oldest first, fill the time between the two moments exactly."""

    start_utc_us: int
    end_utc_us: int
    shortest_gap_us: int
    """Breaks not longer than this are in no list: 20 ms, more only where there are over 20,000 breaks."""
    spans: list[Span]
    gaps: list[TimelineGap]
    buckets: list[Bucket]


class Edges(msgspec.Struct, frozen=True):
    """Where a stream's footage begins and ends."""

    start_utc_us: int
    end_utc_us: int


class _Break(NamedTuple):
    """Time between two segments, and how the one before it ended."""

    start_utc_us: int
    end_utc_us: int
    cause: GapCause
    raw_cause: str


class _Cut(NamedTuple):
    """Time whose cause is known from elsewhere: a deletion, or a noted gap."""

    start_utc_us: int
    end_utc_us: int
    cause: GapCause
    raw_cause: str


_REACH = (
    "stream = ?1 AND start_utc_us < ?3 AND start_utc_us >= coalesce("
    "(SELECT max(start_utc_us) FROM segments WHERE stream = ?1 AND start_utc_us <= ?2), ?2)"
)
"""Segments that begin before ?3, from the last one that begins at or before ?2 on."""
_BREAKS = f"""
SELECT before_us, start_utc_us, before_cause FROM (
  SELECT start_utc_us, lag(end_utc_us) OVER before AS before_us, lag(cause) OVER before AS before_cause
  FROM segments WHERE {_REACH} WINDOW before AS (ORDER BY start_utc_us))
WHERE start_utc_us - before_us > ?4 LIMIT ?5
"""  # noqa: S608 - no value is put in, only a condition of ours
_FIRST = f"SELECT start_utc_us FROM segments WHERE {_REACH} ORDER BY start_utc_us LIMIT 1"  # noqa: S608
_LAST = f"SELECT end_utc_us, cause FROM segments WHERE {_REACH} ORDER BY start_utc_us DESC LIMIT 1"  # noqa: S608
_NEXT = "SELECT 1 FROM segments WHERE stream = ?1 AND start_utc_us >= ?2 LIMIT 1"
_PLACED = f"""
SELECT id, start_utc_us, max(start_utc_us / 60000000 * 60000000 - ?2, 0) * ?6 / (?3 - ?2) AS slice,
  start_utc_us / 60000000 * 60000000 >= ?2 AND (end_utc_us + 59999999) / 60000000 * 60000000 <= ?3
  AND max(start_utc_us / 60000000 * 60000000 - ?2, 0) * ?6 / (?3 - ?2)
    = ((end_utc_us + 59999999) / 60000000 * 60000000 - 1 - ?2) * ?6 / (?3 - ?2) AS is_within
FROM segments WHERE {_REACH}
"""  # noqa: S608
"""Segments, the slice that each begins in, and whether all its minutes are of that slice."""
_WHOLE_SUMS = f"""
SELECT slice, sum(covered), sum(damaged), sum(frames) FROM (
  SELECT slice, sum(covered_us) AS covered, sum(damaged_us) AS damaged, sum(minutes.frames) AS frames
  FROM ({_PLACED}) AS placed CROSS JOIN minutes ON minutes.segment = placed.id
  WHERE is_within AND minute >= ?4 AND minute < ?5 GROUP BY placed.start_utc_us)
GROUP BY slice
"""  # noqa: S608
"""Grouped by segment first: that is the order they are read in, so only their sums are sorted."""
_BORDER_MINUTES = f"""
SELECT minute, covered_us, damaged_us, minutes.frames
FROM ({_PLACED}) AS placed CROSS JOIN minutes ON minutes.segment = placed.id
WHERE NOT is_within AND minute >= ?4 AND minute < ?5
"""  # noqa: S608
_DELETIONS = (
    "SELECT start_utc_us, end_utc_us, reason FROM deletions "
    "WHERE stream = ? AND start_utc_us < ? AND end_utc_us > ? ORDER BY start_utc_us LIMIT ?"
)
_NOTED = (
    "SELECT start_utc_us, end_utc_us, cause FROM gaps "
    "WHERE stream = ? AND start_utc_us < ? AND end_utc_us > ? ORDER BY start_utc_us LIMIT ?"
)


def timeline(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    start_utc_us: int,
    end_utc_us: int,
    buckets: int,
) -> Timeline:
    """What there is between two moments, at most 400 days apart, in so many equal slices (0 for none).

    Without footage there is one gap. Raises `TimelineError` for a time of no or of too great length and for
    a number of slices that isn't 0 to 5,000.
    """
    where = f"{camera}/{stream}"
    if not 0 < end_utc_us - start_utc_us <= MOST_TIMELINE_US or abs(start_utc_us) > 1 << 61:
        raise TimelineError("A timeline must end after it begins, within 400 days", where=where)
    if not 0 <= buckets <= MOST_BUCKETS:
        raise TimelineError(f"{buckets} slices, not 0 to {MOST_BUCKETS}", where=where)
    if reader.catalog is not None:
        with contextlib.suppress(CatalogError), reader.catalog.one_moment():
            return _from_catalog(reader.catalog, camera, stream, start_utc_us, end_utc_us, buckets)
    breaks, shortest_us = _breaks_of_files(reader, camera, stream, start_utc_us, end_utc_us)
    spans, gaps = _tiles(breaks, (), start_utc_us, end_utc_us)
    slices = _covered(spans, start_utc_us, end_utc_us, buckets)
    return Timeline(start_utc_us, end_utc_us, shortest_us, spans, gaps, slices)


def edges(reader: ArchiveReader, camera: str, stream: str) -> Edges | None:
    """Where a stream's footage begins and ends, as far as it was flushed; None where there is none."""
    if reader.catalog is not None:
        with contextlib.suppress(CatalogError):
            number = reader.catalog.streams().get((camera, stream))
            found = reader.catalog.edges(number) if number is not None else None
            return Edges(*found) if found is not None else None
    paths = reader.segments(camera, stream, 0, 1 << 62)
    for first in paths:
        with contextlib.suppress(SegmentError):
            start_utc_us = reader.read(first).start_utc_us
            for last in reversed(paths):
                with contextlib.suppress(SegmentError):
                    return Edges(start_utc_us, reader.read(last).end_utc_us)
    return None


# From the catalog


def _from_catalog(
    catalog: CatalogQueries,
    camera: str,
    stream: str,
    start_utc_us: int,
    end_utc_us: int,
    buckets: int,
) -> Timeline:
    number = catalog.streams().get((camera, stream), 0)
    span = number, start_utc_us, end_utc_us
    breaks, shortest_us = _breaks(catalog, span)
    known = _known_causes(catalog, span)
    spans, gaps = _tiles(breaks, known, start_utc_us, end_utc_us)
    if buckets and (end_utc_us - start_utc_us) // buckets >= US_PER_MINUTE:
        slices = _sums(catalog, span, buckets)
    else:
        slices = _covered(spans, start_utc_us, end_utc_us, buckets)
    return Timeline(start_utc_us, end_utc_us, shortest_us, spans, gaps, slices)


def _breaks(catalog: CatalogQueries, span: tuple[int, int, int]) -> tuple[list[_Break], int]:
    """All breaks that reach into a time, with what lies before its first and after its last footage, and
    how long the longest break is that was left out."""
    _, start_us, end_us = span
    first = catalog.ask(_FIRST, span)
    if not first:
        is_future_footage = catalog.ask(_NEXT, (span[0], end_us))
        cause = GapCause.BEFORE_FIRST if is_future_footage else GapCause.UNKNOWN
        return [_Break(start_us, end_us, cause, "")], GAP_US
    shortest_us = GAP_US
    rows = catalog.ask(_BREAKS, (*span, shortest_us, MOST_GAPS + 1))
    if len(rows) > MOST_GAPS:
        # No more than so many breaks of that length have room.
        shortest_us = max((end_us - start_us) // MOST_GAPS, GAP_US)
        rows = catalog.ask(_BREAKS, (*span, shortest_us, MOST_GAPS + 1))
    breaks = [_Break(begin, end, *_cause_of(cause)) for begin, end, cause in rows]
    if first[0][0] > start_us:
        breaks.insert(0, _Break(start_us, first[0][0], GapCause.BEFORE_FIRST, ""))
    last_end_us, cause = catalog.ask(_LAST, span)[0]
    if last_end_us < end_us:
        breaks.append(_Break(last_end_us, end_us, *_cause_of(cause)))
    return breaks, shortest_us


def _known_causes(catalog: CatalogQueries, span: tuple[int, int, int]) -> list[_Cut]:
    """Deletions, and between them the gaps that were noted before: their segments may be gone. Disjoint."""
    number, start_us, end_us = span
    asked = number, end_us, start_us, MOST_GAPS
    cuts = [
        _Cut(begin, end, GapCause.DELETED, reason)
        for begin, end, reason in catalog.ask(_DELETIONS, asked)
    ]
    if not cuts:
        return []
    for begin, end, cause in catalog.ask(_NOTED, asked):
        cuts.append(_Cut(begin, end, _named(cause), cause))
    disjoint: list[_Cut] = []
    for cut in sorted(cuts, key=lambda cut: cut.start_utc_us):
        begin = max(cut.start_utc_us, disjoint[-1].end_utc_us if disjoint else cut.start_utc_us)
        if begin < cut.end_utc_us:
            disjoint.append(cut._replace(start_utc_us=begin))
    return disjoint


def _sums(catalog: CatalogQueries, span: tuple[int, int, int], buckets: int) -> list[Bucket]:
    """The minute ledger in slices of a minute or longer. A minute on a border is shared out by its length."""
    _, start_us, end_us = span
    length_us = end_us - start_us
    totals = [[0, 0, 0] for _ in range(buckets)]
    first, stop = start_us // US_PER_MINUTE, -(-end_us // US_PER_MINUTE)
    asked = *span, first, stop, buckets
    for index, *sums in catalog.ask(_WHOLE_SUMS, asked):
        for column, value in enumerate(sums):
            totals[index][column] += value
    for minute, *sums in catalog.ask(_BORDER_MINUTES, asked):
        for index, part_us, of_us in _shares(minute, start_us, length_us, buckets):
            for column, value in enumerate(sums):
                totals[index][column] += value * part_us // of_us
    bounds = [start_us + length_us * index // buckets for index in range(buckets + 1)]
    return [
        Bucket(min(covered, stop_us - begin_us), min(damaged, stop_us - begin_us), frames)
        for (covered, damaged, frames), (begin_us, stop_us) in zip(
            totals, pairwise(bounds), strict=True
        )
    ]


def _shares(
    minute: int, start_us: int, length_us: int, buckets: int
) -> Iterator[tuple[int, int, int]]:
    """Slices that a minute reaches into: index, microseconds of the minute in it, and of a minute."""
    begin_us, end_us = minute * US_PER_MINUTE - start_us, (minute + 1) * US_PER_MINUTE - start_us
    index = max(begin_us, 0) * buckets // length_us
    while index < buckets and length_us * index // buckets < end_us:
        low_us, high_us = length_us * index // buckets, length_us * (index + 1) // buckets
        part_us = min(end_us, high_us) - max(begin_us, low_us)
        if part_us > 0:
            yield index, part_us, US_PER_MINUTE
        index += 1


# From files


def _breaks_of_files(
    reader: ArchiveReader, camera: str, stream: str, start_us: int, end_us: int
) -> tuple[list[_Break], int]:
    segments = sorted(reader.spans(camera, stream, start_us, end_us))
    if not segments:
        return [_Break(start_us, end_us, GapCause.UNKNOWN, "")], GAP_US
    breaks = _joints(segments, GAP_US)
    shortest_us = GAP_US
    if len(breaks) > MOST_GAPS:
        shortest_us = max((end_us - start_us) // MOST_GAPS, GAP_US)
        breaks = _joints(segments, shortest_us)
    if segments[0].start_utc_us > start_us:
        breaks.insert(0, _Break(start_us, segments[0].start_utc_us, GapCause.UNKNOWN, ""))
    last = segments[-1]
    if last.end_utc_us < end_us:
        breaks.append(_Break(last.end_utc_us, end_us, *_cause_of(last.cause)))
    return breaks, shortest_us


def _joints(segments: Sequence[SegmentSpan], longer_than_us: int) -> list[_Break]:
    return [
        _Break(before.end_utc_us, after.start_utc_us, *_cause_of(before.cause))
        for before, after in pairwise(segments)
        if after.start_utc_us - before.end_utc_us > longer_than_us
    ]


# Common


def _cause_of(cause: int | None) -> tuple[GapCause, str]:
    if cause is None:
        return GapCause.NOT_YET, ""
    try:
        word = CloseCause(cause).name.lower()
    except ValueError:
        return GapCause.UNKNOWN, str(cause)
    return _named(word), word


def _named(word: str) -> GapCause:
    try:
        return GapCause(word)
    except ValueError:
        return GapCause.UNKNOWN


def _tiles(
    breaks: Sequence[_Break], known: Sequence[_Cut], start_us: int, end_us: int
) -> tuple[list[Span], list[TimelineGap]]:
    """Spans and gaps that fill the time exactly."""
    spans: list[Span] = []
    gaps: list[TimelineGap] = []
    at_us = start_us
    for found in breaks:
        begin_us, stop_us = max(found.start_utc_us, at_us), min(found.end_utc_us, end_us)
        if begin_us >= stop_us:
            continue
        if begin_us > at_us:
            spans.append(Span(at_us, begin_us))
        gaps += _explained(found._replace(start_utc_us=begin_us, end_utc_us=stop_us), known)
        at_us = stop_us
    if at_us < end_us:
        spans.append(Span(at_us, end_us))
    return spans, gaps


def _explained(found: _Break, known: Sequence[_Cut]) -> Iterator[TimelineGap]:
    """A break in parts: what was deleted, what was noted as a gap once, and the rest."""
    at_us = found.start_utc_us
    first = max(bisect_right(known, at_us, key=lambda cut: cut.start_utc_us) - 1, 0)
    stop = bisect_left(known, found.end_utc_us, key=lambda cut: cut.start_utc_us)
    for cut in known[first:stop]:
        begin_us, stop_us = max(cut.start_utc_us, at_us), min(cut.end_utc_us, found.end_utc_us)
        if begin_us >= stop_us:
            continue
        if begin_us - at_us > GAP_US:
            yield TimelineGap(at_us, begin_us, found.cause, found.raw_cause)
        else:
            begin_us = at_us
        yield TimelineGap(begin_us, stop_us, cut.cause, cut.raw_cause)
        at_us = stop_us
    if at_us < found.end_utc_us:
        yield TimelineGap(at_us, found.end_utc_us, found.cause, found.raw_cause)


def _covered(spans: Sequence[Span], start_us: int, end_us: int, buckets: int) -> list[Bucket]:
    """Slices by what the spans cover of each."""
    length_us = end_us - start_us
    totals = [0] * buckets
    for span in spans if buckets else ():
        index = (span.start_utc_us - start_us) * buckets // length_us
        while index < buckets:
            low_us = start_us + length_us * index // buckets
            high_us = start_us + length_us * (index + 1) // buckets
            if low_us >= span.end_utc_us:
                break
            part_us = min(high_us, span.end_utc_us) - max(low_us, span.start_utc_us)
            totals[index] += max(part_us, 0)
            index += 1
    return [Bucket(covered_us, None, None) for covered_us in totals]

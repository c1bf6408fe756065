"""Timelines: spans and gaps fill the time, slices say what the ledger and the spans say."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from viewing_footage import Films, RealArchive

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog
from khupho.archive.catalog.minutes import MinuteFold
from khupho.archive.catalog.queries import SegmentRow
from khupho.archive.events import CloseCause
from khupho.archive.journal.entries import GapSeen, Line, SegmentDeleted, StreamNumber
from khupho.archive.place.identity import create_archive
from khupho.archive.place.segment_names import segment_path
from khupho.recorder.viewing.timeline import (
    Edges,
    GapCause,
    Timeline,
    TimelineError,
    edges,
    timeline,
)
from khupho.units import US_PER_DAY, US_PER_MINUTE, US_PER_S, parse_utc

T0_US = parse_utc("2026-11-24T01:00:00Z")
SEGMENT_US = 10 * US_PER_MINUTE


class Ledger:
    """An archive that is a catalog alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        identity = create_archive(root, "recorder", T0_US)
        self.catalog = Catalog.create(root / CATALOG_NAME, identity.archive_id.hex(), is_whole=True)
        self.lines = 0

    def take(self, entry: StreamNumber | SegmentDeleted | GapSeen) -> None:
        self.lines += 1
        with self.catalog.transaction():
            self.catalog.take_line(Line(self.lines, T0_US, entry, 0, b""))

    def stream(self, number: int, camera: str = "gate") -> None:
        self.take(StreamNumber(number=number, camera=camera, stream="main"))

    def segments(
        self,
        number: int,
        pieces: list[tuple[int, int, CloseCause | None]],
        camera: str = "gate",
        *,
        damaged: bool = False,
    ) -> None:
        """Segments by their beginning and end, with fragments of half a minute and 750 frames."""
        with self.catalog.transaction():
            for start_us, end_us, cause in pieces:
                fold, frames, at = MinuteFold(), 0, start_us
                while at < end_us:
                    length_us = min(30 * US_PER_S, end_us - at)
                    fold.take(at, length_us, 1_000, 750, 15, 0, damaged, False)
                    frames += 750
                    at += length_us
                path = segment_path(camera, "main", start_us)
                row = SegmentRow(
                    number, path, start_us, end_us, 1_000_000, cause, 20, frames, 300, 0,
                    "avc1 1x1", 1_000_000,
                )  # fmt: skip
                self.catalog.put_segment(row, fold.rows())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "archive")
    made.stream(1)
    return made


def ask(
    ledger: Ledger, start_us: int, end_us: int, buckets: int = 0, camera: str = "gate"
) -> Timeline:
    with ArchiveReader(ledger.root) as reader:
        assert reader.catalog is not None
        found = timeline(reader, camera, "main", start_us, end_us, buckets)
    tiles = sorted([*found.spans, *found.gaps], key=lambda tile: tile.start_utc_us)
    assert tiles[0].start_utc_us == start_us
    assert tiles[-1].end_utc_us == end_us
    assert all(a.end_utc_us == b.start_utc_us for a, b in pairwise(tiles))
    assert len(found.buckets) == buckets
    return found


def at(minutes: float) -> int:
    return T0_US + round(minutes * US_PER_MINUTE)


def test_spans_and_gaps(ledger: Ledger) -> None:
    ledger.segments(
        1,
        [
            (at(0), at(10), CloseCause.AGE),
            (at(10) + 15_000, at(20), CloseCause.CONNECTION),
            (at(25), at(30), None),
        ],
    )
    found = ask(ledger, at(-5), at(40))
    assert [(span.start_utc_us, span.end_utc_us) for span in found.spans] == [
        (at(0), at(20)), (at(25), at(30)),
    ]  # fmt: skip
    assert [(gap.cause, gap.raw_cause) for gap in found.gaps] == [
        (GapCause.BEFORE_FIRST, ""), (GapCause.CONNECTION, "connection"), (GapCause.NOT_YET, ""),
    ]  # fmt: skip
    assert found.shortest_gap_us == 20_000
    inside = ask(ledger, at(21), at(24))
    assert [gap.cause for gap in inside.gaps] == [GapCause.CONNECTION]
    assert inside.spans == []


def test_deletions_explain_their_part_of_a_gap(ledger: Ledger) -> None:
    ledger.segments(1, [(at(60), at(70), CloseCause.AGE)])
    for begin in (0, 10, 30):
        ledger.take(
            SegmentDeleted(
                camera="gate", stream="main", path=segment_path("gate", "main", at(begin)),
                start_utc_us=at(begin), end_utc_us=at(begin + 10), size_bytes=1, reason="maximum",
                missing_us=0,
            )
        )  # fmt: skip
    ledger.take(
        GapSeen(camera="gate", stream="main", start_utc_us=at(20), end_utc_us=at(30), cause="disk")
    )
    ledger.take(
        GapSeen(
            camera="gate", stream="main", start_utc_us=at(40), end_utc_us=at(60), cause="new word"
        )
    )
    found = ask(ledger, at(-10), at(70))
    assert [(gap.start_utc_us, gap.cause, gap.raw_cause) for gap in found.gaps] == [
        (at(-10), GapCause.BEFORE_FIRST, ""),
        (at(0), GapCause.DELETED, "maximum"),
        (at(20), GapCause.DISK, "disk"),
        (at(30), GapCause.DELETED, "maximum"),
        (at(40), GapCause.UNKNOWN, "new word"),
    ]


def test_slices_of_minutes(ledger: Ledger) -> None:
    ledger.segments(1, [(at(0), at(10), CloseCause.AGE)])
    ledger.segments(1, [(at(10), at(12.5), CloseCause.CONNECTION)], damaged=True)
    found = ask(ledger, at(0), at(15), 3)
    assert [(b.covered_us, b.damaged_us, b.frames) for b in found.buckets] == [
        (5 * US_PER_MINUTE, 0, 7_500),
        (5 * US_PER_MINUTE, 0, 7_500),
        (150 * US_PER_S, 150 * US_PER_S, 3_750),
    ]
    # Minutes on a border are shared out, so that no slice is covered for longer than it lasts.
    uneven = ask(ledger, at(0), at(10.5), 7)
    assert [b.covered_us for b in uneven.buckets] == [90 * US_PER_S] * 7
    assert sum(b.frames or 0 for b in uneven.buckets) == 15_750


def test_short_slices_are_of_the_spans(ledger: Ledger) -> None:
    ledger.segments(1, [(at(0), at(1.25), CloseCause.CONNECTION)])
    found = ask(ledger, at(0), at(2), 4)
    assert [b.covered_us for b in found.buckets] == [
        30 * US_PER_S, 30 * US_PER_S, 15 * US_PER_S, 0,
    ]  # fmt: skip
    assert {b.frames for b in found.buckets} == {None}


def test_a_stream_without_footage(ledger: Ledger) -> None:
    for camera in ("gate", "nobody"):
        found = ask(ledger, at(0), at(60), 6, camera)
        assert [gap.cause for gap in found.gaps] == [GapCause.UNKNOWN]
        assert {b.covered_us for b in found.buckets} == {0}
    ledger.segments(1, [(at(100), at(110), CloseCause.AGE)])
    assert [gap.cause for gap in ask(ledger, at(0), at(60)).gaps] == [GapCause.BEFORE_FIRST]


def test_edges(ledger: Ledger) -> None:
    with ArchiveReader(ledger.root) as reader:
        assert edges(reader, "gate", "main") is None
        assert edges(reader, "nobody", "main") is None
        ledger.segments(1, [(at(0), at(10), CloseCause.AGE), (at(20), at(30), None)])
        assert edges(reader, "gate", "main") == Edges(at(0), at(30))


@pytest.mark.parametrize(
    ("length_us", "buckets"), [(0, 1), (-1, 1), (1 << 70, 1), (1_000, -1), (1_000, 5_001)]
)
def test_what_is_too_much_is_refused(ledger: Ledger, length_us: int, buckets: int) -> None:
    with ArchiveReader(ledger.root) as reader, pytest.raises(TimelineError):
        timeline(reader, "gate", "main", T0_US, T0_US + length_us, buckets)


def test_it_is_written_as_json_in_words(ledger: Ledger) -> None:
    text = msgspec.json.encode(ask(ledger, at(0), at(1)))
    assert b'"cause":"unknown"' in text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 900)), max_size=12),
    st.integers(-600, 3_000),
    st.integers(60, 4_000),
    st.integers(1, 40),
)
def test_slices_and_spans_agree(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[tuple[int, int]],
    start_s: int,
    length_s: int,
    buckets: int,
) -> None:
    made = Ledger(tmp_path_factory.mktemp("ledger") / "archive")
    made.stream(1)
    pieces, end_us = [], T0_US
    for pause_s, covered_s in lengths:
        begin_us = end_us + pause_s * US_PER_S
        end_us = begin_us + covered_s * US_PER_S
        pieces.append((begin_us, end_us, CloseCause.AGE))
    made.segments(1, pieces)
    start_us = T0_US + start_s * US_PER_S
    found = ask(made, start_us, start_us + length_s * US_PER_S, buckets)
    covered_us = sum(span.end_utc_us - span.start_utc_us for span in found.spans)
    told_us = sum(b.covered_us for b in found.buckets)
    # The ledger knows minutes, so the ends and borders of slices are known to a minute.
    assert abs(told_us - covered_us) <= (buckets + 2) * US_PER_MINUTE
    made.catalog.close()


def test_ninety_days_are_quick(ledger: Ledger, record_property: Callable[..., None]) -> None:
    days = 90
    pieces = [
        (T0_US + n * SEGMENT_US, T0_US + (n + 1) * SEGMENT_US, CloseCause.AGE)
        for n in range(days * 144)
    ]
    ledger.segments(1, pieces)
    took = {}
    for name, buckets in (("spans", 0), ("slices", 500)):
        began = time.perf_counter()
        found = ask(ledger, T0_US, T0_US + days * US_PER_DAY, buckets)
        took[name] = time.perf_counter() - began
    assert len(found.spans) == 1
    assert sum(b.frames or 0 for b in found.buckets) == days * 1_440 * 1_500
    record_property("seconds", took)
    print(took)
    assert max(took.values()) < 1  # far from the figure, for slow machines


def test_without_catalog_the_files_answer(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    archive.pause(30)
    archive.record(films("h264"))
    with archive.reader() as reader:
        assert reader.catalog is None
        found = timeline(reader, "gate", "main", T0_US, T0_US + US_PER_MINUTE, 2)
        nothing = edges(reader, "nobody", "main")
        known = edges(reader, "gate", "main")
    assert len(found.spans) == 2
    assert [gap.cause for gap in found.gaps][-2:] == [GapCause.CONNECTION] * 2
    covered_us = sum(span.end_utc_us - span.start_utc_us for span in found.spans)
    assert covered_us == pytest.approx(12 * US_PER_S, abs=1_000)
    assert sum(b.covered_us for b in found.buckets) == covered_us
    assert nothing is None
    assert known == Edges(found.spans[0].start_utc_us, found.spans[1].end_utc_us)

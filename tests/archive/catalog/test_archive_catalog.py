"""The catalog: its schema, its rules, its readers; the queue before it and the requests beside it."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_by_hand import FORMAT, T0_US, Recording

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog, open_reader
from khupho.archive.catalog.minutes import MinuteRow
from khupho.archive.catalog.queries import CatalogBrokenError, CatalogError, SegmentRow
from khupho.archive.events import (
    CloseCause,
    FragmentCommitted,
    Segment,
    SegmentClosed,
    SegmentOpened,
)
from khupho.archive.journal.entries import (
    Entry,
    GapSeen,
    HoldPlaced,
    HoldReleased,
    Line,
    SegmentDeleted,
    StreamNumber,
)
from khupho.archive.journal.hold_requests import leave_request, settle_request, waiting_requests
from khupho.archive.keeper.event_queue import EventQueue
from khupho.archive.retention.disk_use import DiskUse
from khupho.archive.retention.holds import Hold
from khupho.archive.retention.plan import DaysPolicy, Stored
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_S

ID = "0" * 32
SCHEMA = files("khupho.archive.catalog").joinpath("schema.sql").read_text()


def line(seq: int, entry: Entry) -> Line:
    return Line(seq, T0_US + seq, entry, seq * 100, b"x" * 99)


def row(index: int, *, stream: int = 1, cause: CloseCause | None = CloseCause.AGE) -> SegmentRow:
    start_us = T0_US + index * 600 * US_PER_S
    return SegmentRow(
        stream, f"gate/main/2026-11-24/{index:06d}.000Z.mp4", start_us, start_us + 600 * US_PER_S,
        1000 + index, cause, 5, 100, 4, 0, "avc1.42C01E 640x360", 1000 + index,
    )  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog.create(tmp_path / CATALOG_NAME, ID, is_whole=True)
    with made.transaction():
        made.take_line(line(1, StreamNumber(number=1, camera="gate", stream="main")))
        made.take_line(line(2, StreamNumber(number=2, camera="gate", stream="sub")))
    return made


def test_every_table_and_column_says_what_it_means() -> None:
    tables = re.findall(r"CREATE TABLE (.*?)\) STRICT", SCHEMA, re.S)
    assert len(tables) == 8
    for table in tables:
        for text in table.splitlines():
            if re.match(r"  [a-z_]+ (TEXT|INTEGER)|\w+ \(", text):
                assert "-- " in text, text


@pytest.mark.parametrize(
    "bad",
    [
        {"size_bytes": -1},
        {"end_utc_us": T0_US - 1},
        {"key_frames": 101},
        {"stream": 9},
        {"frames": "many"},
    ],
)
def test_what_cannot_be_is_refused(catalog: Catalog, bad: dict) -> None:
    with pytest.raises(CatalogBrokenError), catalog.transaction():
        catalog.put_segment(row(0)._replace(**bad), [])
    assert catalog.segment(row(0).path) is None


def test_a_transaction_is_whole_or_nothing(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.transaction():
        catalog.put_segment(row(0), [MinuteRow(1, 10, 1, 1, 10, 0, 0, 0)])
        raise ZeroDivisionError
    assert list(catalog.dump(("segment", "minute"))) == []


def test_a_segment_is_written_over_itself(catalog: Catalog) -> None:
    with catalog.transaction():
        first = catalog.put_segment(row(0, cause=None), [MinuteRow(1, 10, 1, 1, 10, 0, 0, 0)])
    minutes = [MinuteRow(1, 20, 2, 1, 20, 0, 0, 0), MinuteRow(2, 5, 1, 0, 5, 0, 0, 0)]
    with catalog.transaction():
        assert catalog.put_segment(row(0), minutes, first) == first
    assert catalog.segment(row(0).path) == row(0)
    assert sum(text.startswith("minute") for text in catalog.dump()) == 2
    with catalog.transaction():
        catalog.replace_segment(row(0), minutes[:1])
    assert sum(text.startswith("minute") for text in catalog.dump()) == 1
    with catalog.transaction():
        catalog.forget_segment(row(0).path)
    assert not [text for text in catalog.dump() if text.startswith(("minute", "segment"))]


def test_questions_of_time(catalog: Catalog) -> None:
    with catalog.transaction():
        for index in range(6):
            catalog.put_segment(row(index), [])
    found = catalog.paths_between(1, row(1).start_utc_us + 1, row(3).start_utc_us)
    assert found == [row(1).path, row(2).path]
    assert catalog.paths_between(1, 0, T0_US) == []
    assert [span.size_bytes for span in catalog.spans(1, row(1).end_utc_us, row(3).end_utc_us)] == [
        1002, 1003,
    ]  # fmt: skip
    assert catalog.newest_end_utc_us() == row(5).end_utc_us
    assert catalog.before(1, row(2).start_utc_us) == row(1)
    assert catalog.edges(1) == (row(0).start_utc_us, row(5).end_utc_us)
    assert catalog.edges(2) is None
    assert catalog.closed_paths("gate/main/2026-11-24") == {row(n).path for n in range(6)}
    assert catalog.closed_paths("gate/main/2026-11-2") == set()


def test_cameras_segments_come_by_ascending_end_over_streams(catalog: Catalog) -> None:
    with catalog.transaction():
        for index in range(300):
            catalog.put_segment(row(index), [])
        for index in range(0, 300, 7):
            odd = row(index, stream=2)
            catalog.put_segment(
                odd._replace(path=odd.path.replace("main", "sub"), end_utc_us=odd.end_utc_us - 9),
                [],
            )
        catalog.put_segment(row(301, cause=None), [])
    stored = list(catalog.stored()["gate"])
    assert len(stored) == 300 + 43
    assert [one.end_utc_us for one in stored] == sorted(one.end_utc_us for one in stored)
    assert {one.stream for one in stored} == {"main", "sub"}


def deletion(index: int, reason: str = "maximum") -> SegmentDeleted:
    gone = row(index)
    return SegmentDeleted(
        camera="gate", stream="main", path=gone.path, start_utc_us=gone.start_utc_us,
        end_utc_us=gone.end_utc_us, size_bytes=gone.size_bytes, reason=reason,
    )  # fmt: skip


def test_neighbouring_deletions_are_one_row(catalog: Catalog) -> None:
    with catalog.transaction():
        for index in range(4):
            catalog.put_segment(row(index), [])
        for seq, entry in enumerate(
            [deletion(0), deletion(1), deletion(2, "disk pressure"), deletion(5, "disk pressure")],
            3,
        ):
            catalog.take_line(line(seq, entry))
    runs = [(run.segments, run.reason) for run in catalog.deletions("gate")]
    assert runs == [(2, "maximum"), (1, "disk pressure"), (1, "disk pressure")]
    assert catalog.segment(row(1).path) is None
    assert catalog.segment(row(3).path) is not None


def test_holds_and_gaps_come_from_lines(catalog: Catalog) -> None:
    hold = Hold("a", "gate", T0_US, T0_US + US_PER_HOUR, "Theft", "main", T0_US)
    with catalog.transaction():
        catalog.put_segment(row(0), [])
        catalog.take_line(line(3, HoldPlaced.of(hold)))
        catalog.take_line(line(4, HoldPlaced.of(hold)))
        for _ in range(2):
            gap = GapSeen(camera="gate", stream="main", start_utc_us=1, end_utc_us=2, cause="disk")
            catalog.take_line(line(5, gap))
        nonsense = GapSeen(camera="gate", stream="main", start_utc_us=2, end_utc_us=2, cause="x")
        catalog.take_line(line(6, nonsense))
    assert catalog.holds() == [hold]
    assert catalog.held_bytes() == 1000
    assert catalog.gap_causes(1) == {(1, 2): "disk"}
    with catalog.transaction():
        catalog.take_line(line(7, HoldReleased(id="a")))
    assert catalog.holds() == []
    assert catalog.holds(released=True) == [hold]


def test_a_reader_sees_commits_and_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    reader = open_reader(tmp_path / CATALOG_NAME, ID)
    assert reader.segment_id(row(0).path) is None
    with catalog.transaction():
        catalog.put_segment(row(0), [])
        assert reader.segment_id(row(0).path) is None
    assert reader.segment_id(row(0).path) is not None
    with pytest.raises(CatalogError):
        reader.ask("DELETE FROM segments")
    reader.close()
    with pytest.raises(CatalogBrokenError):
        open_reader(tmp_path / CATALOG_NAME, "1" * 32)
    with pytest.raises(CatalogError):
        open_reader(tmp_path / "nothing", ID)


def test_a_busy_or_full_disk_is_no_damage(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = apsw.Connection(str(tmp_path / CATALOG_NAME))
    catalog._connection.set_busy_timeout(1)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogError) as caught, catalog.transaction():
        pass
    assert not isinstance(caught.value, CatalogBrokenError)
    other.execute("ROLLBACK")
    with catalog.transaction():
        catalog.put_segment(row(0), [])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1), st.booleans()), max_size=40))
def test_disk_use_is_what_remains(changes: list[tuple[int, int, bool]]) -> None:
    """Whatever is added and removed, sums are those of what is there."""
    use = DiskUse()
    there: list[Stored] = []
    for index, stream, add in changes:
        end_us = T0_US + index * US_PER_DAY // 7
        one = Stored(
            "gate", ("main", "sub")[stream], "p", end_us - US_PER_HOUR, end_us, 100 + index
        )
        if add:
            there.append(one)
            use.add(one)
        elif there:
            use.remove(there.pop())
    assert use.total_bytes == sum(one.size_bytes for one in there)
    now_us = T0_US + 6 * US_PER_DAY
    (found,) = use.uses({"gate": DaysPolicy(3660, None)}, {}, now_us) or [None]
    if found is not None and there:
        past = [one for one in there if one.end_utc_us // US_PER_DAY <= now_us // US_PER_DAY]
        assert found.kept_bytes == sum(one.size_bytes for one in past)


# The queue


def segment(file: int = -1) -> Segment:
    return Segment("gate", "main", "gate/main/2026-11-24/010000.000Z.mp4", T0_US, FORMAT, file)


def fragment(of: Segment) -> FragmentCommitted:
    return FragmentCommitted(of, 0, b"", T0_US, 1, 1, 1, 1, 0, False, False)


def test_the_queue_drops_fragments_first(tmp_path: Path) -> None:
    queue = EventQueue(limit=3)
    one, other = segment(), segment()
    queue(SegmentOpened(one, 10))
    for _ in range(5):
        queue(fragment(one))
    queue(SegmentOpened(other, 10))
    assert len(queue) == 4
    assert queue.dropped(one)
    assert not queue.dropped(other)
    queue(SegmentClosed(one, CloseCause.AGE, T0_US, 1))
    queue(SegmentClosed(other, CloseCause.AGE, T0_US, 1))
    assert len(queue) == 6
    assert not queue.take_lost_sight()
    queue(SegmentOpened(one, 10))
    assert queue.take_lost_sight()
    assert not queue.take_lost_sight()
    assert queue.live() == {one}
    assert [type(event).__name__ for event in queue.take(2)] == [
        "SegmentOpened",
        "FragmentCommitted",
    ]
    queue.forget(one)
    assert not queue.dropped(one)
    assert len(queue.take(100)) == 4


def test_the_queue_keeps_its_own_descriptor(tmp_path: Path) -> None:
    queue = EventQueue()
    file = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    one = segment(file)
    queue(SegmentOpened(one, 10))
    os.close(file)  # the number may be another file's by now
    own = queue.take_handle(one)
    assert os.path.samestat(os.fstat(own), (tmp_path / "x").stat())
    os.close(own)
    assert queue.take_handle(one) == -1
    queue(SegmentOpened(segment(10_000), 10))  # no such descriptor: no exception on the loop


# Requests


def test_requests_are_read_in_their_order_and_junk_is_none(tmp_path: Path) -> None:
    hold = Hold("a", "gate", T0_US, T0_US + 1, "Theft", placed_utc_us=T0_US)
    leave_request(tmp_path, HoldReleased(id="a"), T0_US + 2)
    leave_request(tmp_path, HoldPlaced.of(hold), T0_US + 1)
    junk = (
        b"",
        b"{",
        b"[1]",
        b"x" * 100_000,
        b'{"seq":1,"utc":"2026-11-24T04:16:01Z","kind":"end"}',
    )
    for number, data in enumerate(junk):
        (tmp_path / "requests" / f"junk-{number}.json").write_bytes(data)
    (tmp_path / "requests" / "note.txt").write_text("not mine")
    (tmp_path / "requests" / "link.json").symlink_to("/etc/passwd")
    root_fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = waiting_requests(root_fd)
        good = [request.entry for request in found if request.entry is not None]
        assert good == [HoldPlaced.of(hold), HoldReleased(id="a")]
        assert len(found) == 2 + len(junk) + 1
        for request in found:
            settle_request(root_fd, request.name)
        assert waiting_requests(root_fd) == []
    finally:
        os.close(root_fd)
    assert (tmp_path / "requests" / "note.txt").exists()


# The reader


def test_the_reader_answers_the_same_with_and_without_a_catalog(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "archive")
    recording.run(20, "gate", "door")
    recording.hang_up()
    recording.clock.advance(100 * US_PER_S)
    recording.run(20, "gate")
    assert recording.close()

    def answers() -> list[object]:
        with ArchiveReader(recording.root) as reader:
            whole = (0, 1 << 62)
            late = (T0_US + 60 * US_PER_S, 1 << 62)
            return [
                [reader.spans(*key, *time) for key in reader.streams() for time in (whole, late)],
                [len(reader.segments("gate", "main", *time)) for time in (whole, late)],
                reader.streams(),
            ]

    known = answers()
    assert known[1] == [2, 2]  # the first one may reach so far, as names tell
    (recording.root / CATALOG_NAME).write_bytes(b"broken")
    assert answers() == known
    (recording.root / CATALOG_NAME).unlink()
    assert answers() == known

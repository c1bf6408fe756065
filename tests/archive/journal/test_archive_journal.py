"""The journal: every kind there and back, torn at every byte, read beside its writer."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.clock.trust import ClockEvent, ClockFact
from khupho.archive.journal.entries import (
    KINDS,
    BrokenEntry,
    ClockChanged,
    DiskFault,
    Ended,
    Entry,
    FootageLost,
    GapSeen,
    GuaranteeBroken,
    HoldPlaced,
    HoldReleased,
    Line,
    Repaired,
    SegmentDeleted,
    SegmentRecovered,
    Started,
    StreamNumber,
    UnknownEntry,
    decode_line,
    encode_line,
)
from khupho.archive.journal.journal import MAX_LINE_BYTES, Journal, JournalError, read_journal
from khupho.archive.place.append_file import AppendFileError
from khupho.archive.retention.holds import Hold
from khupho.archive.retention.plan import BrokenGuarantee, Deletion, Reason, Stored
from khupho.units import US_PER_HOUR, parse_utc

NOW_US = parse_utc("2026-11-24T04:16:01.000250Z")
SPAN = {"camera": "gate", "stream": "main", "start_utc_us": NOW_US, "end_utc_us": NOW_US + 5}
PATH = "gate/main/2026-11-24/041601.000Z.mp4"
HOLD = Hold("h1", "gate", NOW_US, NOW_US + 9, 'vụ va chạm\n"cổng"', "", NOW_US + 7)
STORED = Stored("gate", "main", PATH, NOW_US, NOW_US + 9, 77)
ENTRIES: list[Entry] = [
    Started(recorder="ab" * 16, version="0.1.0", pid=7, boot="b", last_end="clean", key="k+1+A="),
    Ended(reason="stopped"),
    StreamNumber(number=65_535, camera="gate", stream="main"),
    ClockChanged.of(ClockFact(ClockEvent.HOLDOVER, NOW_US, NOW_US - 1_000_000, 1_000_000, 2)),
    GapSeen(**SPAN, cause="connection"),
    HoldPlaced.of(HOLD),
    HoldReleased(id="h1", reason="closed"),
    SegmentDeleted.of(Deletion(STORED, Reason.GUARANTEE_BROKEN, 86_400_000_000)),
    GuaranteeBroken.of(BrokenGuarantee("gate", 30, 5, 77)),
    SegmentRecovered(**SPAN, path=PATH, fragments=5, cut_bytes=17),
    FootageLost(**SPAN, path=PATH, fragments=2, cause="torn end"),
    DiskFault(state="failed", error="Input/output error", errno=5),
    Repaired(file="proof/leaves", cut_bytes=64, cause="power cut"),
]  # fmt: skip


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path, os.O_RDONLY)
    yield file
    os.close(file)


def written(root_fd: int, entries: list[Entry] = ENTRIES) -> list[Line]:
    journal = Journal(root_fd)
    lines = [journal.append(entry, NOW_US + n) for n, entry in enumerate(entries)]
    journal.sync()
    journal.close()
    return lines


def test_every_kind_there_and_back(root_fd: int) -> None:
    assert {str(type(entry).__struct_config__.tag) for entry in ENTRIES} == set(KINDS)
    lines = written(root_fd)
    assert list(read_journal(root_fd)) == lines
    assert [line.seq for line in lines] == list(range(1, len(ENTRIES) + 1))
    assert [line.entry for line in lines] == ENTRIES
    placed = lines[5].entry
    assert isinstance(placed, HoldPlaced)
    assert placed.hold() == HOLD


def test_the_lines_are_what_the_design_says(root_fd: int, tmp_path: Path) -> None:
    lines = written(root_fd)
    data = (tmp_path / "journal.jsonl").read_bytes()
    assert data == b"".join(line.data + b"\n" for line in lines)
    assert lines[4].data == (
        b'{"seq":5,"utc":"2026-11-24T04:16:01.000254Z","kind":"gap","camera":"gate","stream":"main",'
        b'"start":"2026-11-24T04:16:01.000250Z","end":"2026-11-24T04:16:01.000255Z","cause":"connection"}'
    )
    for line in lines:
        assert data[line.offset : line.offset + len(line.data)] == line.data
        assert json.loads(line.data)["kind"] in KINDS
    # A hold's line has exactly the fields that `Hold` itself makes.
    assert HOLD.to_fields().items() <= json.loads(lines[5].data).items()


def test_the_design_names_every_field() -> None:
    text = (Path(__file__).parents[3] / "docs/design/archive.md").read_text()
    section = text.split("## Journal")[1].split("\n## ")[0]
    rows = {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}
    assert set(rows) == set(KINDS)
    for kind, struct in KINDS.items():
        names = list(struct.__struct_encode_fields__)
        places = [rows[kind].find(f"`{name}`", len(kind) + 3) for name in names]
        assert -1 not in places, (kind, names)
        assert places == sorted(places), kind


def test_appending_goes_on_after_reopening(root_fd: int) -> None:
    first = written(root_fd)
    journal = Journal(root_fd)
    assert (journal.cut_bytes, journal.next_seq) == (0, len(first) + 1)
    line = journal.append(Ended(), NOW_US)
    journal.write()
    assert list(read_journal(root_fd, first[-1].offset)) == [first[-1], line]
    assert list(read_journal(root_fd, line.offset + len(line.data) + 1)) == []


def test_torn_at_every_byte(root_fd: int, tmp_path: Path) -> None:
    lines = written(root_fd, ENTRIES[:4])
    path = tmp_path / "journal.jsonl"
    data = path.read_bytes()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        whole = [line for line in lines if line.offset + len(line.data) < size]
        assert list(read_journal(root_fd)) == whole
        journal = Journal(root_fd)
        end = whole[-1].offset + len(whole[-1].data) + 1 if whole else 0
        assert journal.cut_bytes == size - end
        assert path.stat().st_size == end
        assert journal.append(Ended(), NOW_US).seq == len(whole) + 1
        journal.sync()
        journal.close()
        assert [line.seq for line in read_journal(root_fd)] == list(range(1, len(whole) + 2))


@pytest.mark.parametrize(
    "tail", [b"\0" * 5000, b"\0\n\0\n", b'{"seq":5}\n', b"\xff\xff\n", b"{}\n"]
)
def test_garbage_at_the_end_is_cut(root_fd: int, tmp_path: Path, tail: bytes) -> None:
    lines = written(root_fd)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    journal = Journal(root_fd)
    assert journal.cut_bytes == len(tail)
    journal.close()
    assert list(read_journal(root_fd)) == lines


def test_damage_in_the_middle_stays_and_is_told(root_fd: int, tmp_path: Path) -> None:
    lines = written(root_fd)
    path = tmp_path / "journal.jsonl"
    data = bytearray(path.read_bytes())
    data[lines[3].offset] = 0
    path.write_bytes(data)
    journal = Journal(root_fd)
    assert (journal.cut_bytes, journal.next_seq) == (0, len(lines) + 1)
    journal.close()
    read = list(read_journal(root_fd))
    assert [line.seq for line in read] == [1, 2, 3, -1, *range(5, len(lines) + 1)]
    assert isinstance(read[3].entry, BrokenEntry)
    assert read[4:] == lines[4:]


def test_more_garbage_than_a_power_cut_explains(
    root_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(root_fd)
    monkeypatch.setattr("khupho.archive.journal.journal.MAX_UNSYNCED_BYTES", 1 << 20)
    path = tmp_path / "journal.jsonl"
    before = path.read_bytes() + bytes(3 << 20)
    path.write_bytes(before)
    with pytest.raises(JournalError, match="longer than"):
        Journal(root_fd)
    assert path.read_bytes() == before


def test_long_garbage_is_read_in_little_memory(root_fd: int, tmp_path: Path) -> None:
    lines = written(root_fd)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + bytes(3 << 20) + b"\n" + lines[0].data + b"\n")
    *read, garbage, last = read_journal(root_fd)
    assert read == lines
    assert isinstance(garbage.entry, BrokenEntry)
    assert str(3 << 20) in garbage.entry.error
    assert len(garbage.data) <= MAX_LINE_BYTES
    assert last.offset == garbage.offset + (3 << 20) + 1
    assert last.data == lines[0].data


def test_a_newer_versions_lines(root_fd: int, tmp_path: Path) -> None:
    utc = '"utc":"2026-11-24T04:16:01Z"'
    (tmp_path / "journal.jsonl").write_text(
        f'{{"seq":1,{utc},"kind":"weather","sky":["clear"],"kelvin":3}}\n'
        f'{{"seq":2,{utc},"kind":"end","reason":"stopped","mood":"good"}}\n'
    )
    journal = Journal(root_fd)
    assert (journal.cut_bytes, journal.next_seq) == (0, 3)
    first, second = read_journal(root_fd)
    assert first.entry == UnknownEntry("weather", {"sky": ["clear"], "kelvin": 3})
    assert second.entry == Ended()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"utc":"2026-11-24T04:16:01Z","kind":"end"}',
        '{"seq":1,"kind":"end"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01Z"}',
        '{"seq":0,"utc":"2026-11-24T04:16:01Z","kind":"end"}',
        '{"seq":"1","utc":"2026-11-24T04:16:01Z","kind":"end"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01","kind":"end"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01Z","kind":"stream","number":0,"camera":"a","stream":"b"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01Z","kind":"stream","number":65536,"camera":"a","stream":"b"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01Z","kind":"stream","number":1,"camera":"a"}',
        '{"seq":1,"utc":"2026-11-24T04:16:01Z","kind":"clock","event":"x","machine":5,"known_error_us":1,"era":1}',
        "[" * 50_000,
    ],
)  # fmt: skip
def test_what_is_no_line(text: str) -> None:
    line = decode_line(text.encode())
    assert line.seq == -1
    assert isinstance(line.entry, BrokenEntry)
    assert line.entry.error


def test_a_disk_that_refuses_loses_no_line(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(root_fd)
    first = journal.append(Ended(), NOW_US)

    def refuse(*_args: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", refuse)
        with pytest.raises(AppendFileError):
            journal.sync()
    second = journal.append(Ended(), NOW_US)
    journal.sync()
    assert list(read_journal(root_fd)) == [first, second]


def test_a_line_too_long_is_refused(root_fd: int) -> None:
    journal = Journal(root_fd)
    with pytest.raises(JournalError, match="too long"):
        journal.append(Ended(reason="x" * MAX_LINE_BYTES), NOW_US)
    with pytest.raises(JournalError, match="no Unicode"):
        journal.append(Ended(reason="\udcff"), NOW_US)
    assert (journal.next_seq, journal.size_bytes) == (1, 0)


def test_nothing_where_there_is_no_journal(root_fd: int) -> None:
    assert list(read_journal(root_fd)) == []


def test_a_reader_beside_the_writer_sees_whole_lines(root_fd: int) -> None:
    journal = Journal(root_fd)
    seen: list[Line] = []
    appended: list[Line] = []
    for round_number in range(40):
        appended += [journal.append(ENTRIES[(round_number + n) % 13], NOW_US) for n in range(7)]
        if round_number % 3:
            journal.write()
        offset = seen[-1].offset + len(seen[-1].data) + 1 if seen else 0
        seen += read_journal(root_fd, offset)
        assert seen == appended[: len(seen)]
    journal.write()
    assert list(read_journal(root_fd)) == appended


def test_a_reader_while_a_thread_writes(root_fd: int) -> None:
    journal = Journal(root_fd)
    appended: list[Line] = []

    def write() -> None:
        for number in range(3_000):
            appended.append(journal.append(ENTRIES[number % len(ENTRIES)], NOW_US + number))
            journal.write()

    seen: list[Line] = []
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(100_000):
            is_over = not thread.is_alive()
            offset = seen[-1].offset + len(seen[-1].data) + 1 if seen else 0
            seen += read_journal(root_fd, offset)
            if is_over:
                break
    finally:
        thread.join(60)
    assert seen == appended


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(_TEXTS, _TEXTS, st.integers(1, 1 << 50), st.integers(0, 4_000_000_000_000_000))
def test_any_text_is_one_line(camera: str, cause: str, seq: int, utc_us: int) -> None:
    entry = GapSeen(
        camera=camera, stream="main", start_utc_us=utc_us, end_utc_us=utc_us + 1, cause=cause
    )
    data = encode_line(seq, utc_us, entry)
    assert b"\n" not in data
    assert decode_line(data, 5) == Line(seq, utc_us, entry, 5, data)
    assert json.loads(data)["cause"] == cause


@given(st.sampled_from(ENTRIES), st.data())
def test_damaged_lines_never_raise(entry: Entry, data: st.DataObject) -> None:
    raw = bytearray(encode_line(3, NOW_US, entry))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    line = decode_line(bytes(raw))
    assert line.seq > 0 or isinstance(line.entry, BrokenEntry)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_fields_of_any_type_never_raise(kind: str, data: st.DataObject) -> None:
    names = [*KINDS[kind].__struct_encode_fields__, "seq", "utc"]
    fields = {"seq": 1, "utc": "2026-11-24T04:16:01Z", "kind": kind}
    fields |= {name: data.draw(_JSON | st.just("2026-11-24T04:16:01Z")) for name in names}
    line = decode_line(msgspec.json.encode(fields))
    assert line.seq > 0 or isinstance(line.entry, BrokenEntry)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_file_opens_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, lines: int
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    root_fd = os.open(root, os.O_RDONLY)
    try:
        good = b"".join(encode_line(n + 1, NOW_US, Ended()) + b"\n" for n in range(lines))
        (root / "journal.jsonl").write_bytes(good + garbage)
        journal = Journal(root_fd)
        line = journal.append(Ended(), NOW_US)
        journal.sync()
        journal.close()
        *before, last = read_journal(root_fd)
        assert last == line
        assert [one.seq for one in before[:lines]] == list(range(1, lines + 1))
    finally:
        os.close(root_fd)


def test_a_sector_that_a_power_cut_took_ends_the_journal_though_a_later_one_is_there(
    root_fd: int, tmp_path: Path
) -> None:
    """Found by cutting the power at every moment: unsynced sectors reach the disk in any order."""
    lines = written(root_fd, ENTRIES * 8)
    path = tmp_path / "journal.jsonl"
    data = path.read_bytes()
    for begin in range(0, len(data) - 1024, 512):
        for torn_from in (begin, begin + 100):
            path.write_bytes(
                data[:torn_from] + bytes(begin + 512 - torn_from) + data[begin + 512 :]
            )
            journal = Journal(root_fd)
            journal.append(Ended(), NOW_US)
            journal.sync()
            journal.close()
            read = list(read_journal(root_fd))
            assert [line.seq for line in read] == list(range(1, len(read) + 1))
            whole = [line for line in lines if line.offset + len(line.data) < torn_from]
            assert [line.data for line in read[:-1]] == [line.data for line in whole]


def test_a_sector_of_zeros_in_old_lines_is_damage_and_takes_nothing_with_it(
    root_fd: int, tmp_path: Path
) -> None:
    journal = Journal(root_fd)
    for n in range(40):
        journal.append(Ended(), NOW_US + n * US_PER_HOUR)
    journal.sync()
    journal.close()
    path = tmp_path / "journal.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:512] + bytes(512) + data[1024:])
    journal = Journal(root_fd)
    assert (journal.cut_bytes, journal.next_seq) == (0, 41)
    journal.close()

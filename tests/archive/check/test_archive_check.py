"""Each invariant is broken, exactly it, and the check says exactly its number."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from struct import pack_into, unpack_from
from zlib import crc32

import apsw
import pytest
from recording_by_hand import Recording

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.catalog.catalog import CATALOG_NAME
from khupho.archive.check.check import CheckReport, check_archive
from khupho.archive.check.findings import INVARIANTS, Finding
from khupho.archive.check.segment import check_segment
from khupho.archive.events import CloseCause
from khupho.archive.place.identity import read_identity
from khupho.archive.place.segment_names import segment_path
from khupho.archive.proof.leaf_record import RECORD_BYTES, Leaf, LeafKind, pack_leaf, unpack_leaf
from khupho.archive.proof.leaves_of_files import beginning_hash, leaf_of_stored
from khupho.archive.segments.facts import SEGMENT_FACTS_BYTES, closing_facts_box, segment_facts_box
from khupho.archive.segments.reader import WalkedSegment, walk_segment
from khupho.media.fmp4 import mfra_box

DESIGN = Path(__file__).parents[3] / "docs" / "design" / "archive.md"


@pytest.fixture
def recorded(tmp_path: Path) -> Recording:
    """An orderly archive with two cameras, several segments, losses, a hold-free journal."""
    recording = Recording(tmp_path / "archive")
    recording.run(20, "gate", "door")
    recording.hang_up(CloseCause.CONNECTION)
    recording.clock.advance(5_000_000)
    recording.run(15, "gate", "door", lost_at=100)
    recording.run(62, "gate")
    assert recording.close()
    assert check(recording).is_well
    return recording


def check(recording: Recording, *, deep: bool = True) -> CheckReport:
    return check_archive(recording.root, deep=deep)


def numbers(report: CheckReport) -> list[int]:
    return sorted({finding.invariant for finding in report.findings})


def a_segment(recording: Recording, camera: str = "gate", index: int = 0) -> Path:
    return sorted(recording.root.glob(f"{camera}/main/*/*.mp4"))[index]


def walked(recording: Recording, path: Path) -> WalkedSegment:
    return walk_segment(recording.root, str(path.relative_to(recording.root)))


def without_catalog(recording: Recording) -> None:
    """A catalog may be missing, and is then not judged."""
    (recording.root / CATALOG_NAME).unlink()


def seal_fragment(data: bytearray, begin: int, header_size: int) -> None:
    """The header's checksum, made anew after a change."""
    at = begin + header_size - 12
    pack_into(">I", data, at, crc32(data[begin:at]))


# What holds


def test_an_orderly_archive_is_well(recorded: Recording) -> None:
    report = check(recorded)
    assert report.is_well
    assert (report.segments, report.checkpoints > 0, report.leaves > 100) == (4, True, True)
    assert report.fragments > 200
    quick = check(recorded, deep=False)
    assert quick.is_well
    assert quick.fragments == report.fragments


def test_it_is_well_after_a_kill_before_and_after_the_next_start(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "archive")
    recording.run(25, "gate", "door")
    recording.kill()
    path = a_segment(recording)
    with path.open("ab") as file:
        file.write(bytes(100))  # half a fragment
    assert check(recording).is_well
    recording.restart()
    recording.settle()
    assert recording.close()
    assert check(recording).is_well


def test_it_is_well_beside_a_recorder(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "archive")
    for _ in range(6):
        recording.run(4.8, "gate", "door")
        report = check(recording)
        assert report.is_being_written
        assert report.is_well, report.findings
    recording.hang_up(CloseCause.CONNECTION)
    assert check(recording).is_well  # closed, and not yet in the catalog
    recording.run(12, "gate")
    assert check(recording).is_well


def test_the_numbers_are_those_of_the_design(recorded: Recording) -> None:
    _, _, section = DESIGN.read_text().partition("## Invariants")
    table = [line for line in section.splitlines() if line.startswith("| ")]
    told = {int(line.split("|")[1]) for line in table if line.split("|")[1].strip().isdigit()}
    assert told == set(INVARIANTS) == set(range(1, 14))
    assert all(len(advice) > 20 for _, advice in INVARIANTS.values())


# Each one broken


def break_1_identity(recording: Recording) -> None:
    path = recording.root / "archive.json"
    path.write_text(path.read_text().replace('"khupho_archive": 1', '"khupho_archive": 99'))


def break_1_foreign_segment(recording: Recording) -> None:
    """A segment of another archive, in harmony with itself."""
    path = a_segment(recording)
    one = walked(recording, path)
    data = bytearray(path.read_bytes())
    begin = one.init.size_bytes
    facts = one.facts._replace(archive_id=bytes(16))
    data[begin : begin + SEGMENT_FACTS_BYTES] = segment_facts_box(bytes(data[:begin]), facts)
    path.write_bytes(data)
    put_right_leaves(recording, path)


def break_2_name(recording: Recording) -> None:
    without_catalog(recording)
    path = a_segment(recording, index=1)
    wrong = f"{int(path.name[:6]) + 1:06d}{path.name[6:]}"
    path.rename(path.with_name(wrong))


def break_2_stranger(recording: Recording) -> None:
    (a_segment(recording).parent / "holiday.mp4").write_bytes(b"x")


def break_3_box(recording: Recording) -> None:
    path = a_segment(recording)
    one = walked(recording, path)
    data = bytearray(path.read_bytes())
    at = one.segment.fragments[5].offset
    data[at + 4 : at + 8] = b"free"
    path.write_bytes(data)


def break_3_behind_the_end(recording: Recording) -> None:
    path = a_segment(recording)
    with path.open("ab") as file:
        file.write(b"\0\0\0\x10freeXXXXXXXX")


def break_3_beginning(recording: Recording) -> None:
    path = a_segment(recording)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)


def break_4_facts(recording: Recording) -> None:
    """The moment in `prft` is another than the facts'; the checksum was made anew."""
    path = a_segment(recording)
    fragment = walked(recording, path).segment.fragments[5]
    data = bytearray(path.read_bytes())
    pack_into(">Q", data, fragment.offset + 16, fragment.header.ntp_64 + 1)
    seal_fragment(data, fragment.offset, fragment.header.header_size)
    path.write_bytes(data)


def break_4_sizes(recording: Recording) -> None:
    path = a_segment(recording)
    fragment = walked(recording, path).segment.fragments[5]
    data = bytearray(path.read_bytes())
    size = fragment.header.sizes[0].to_bytes(4, "big")
    at = data.index(size, fragment.offset + 100)
    data[at : at + 4] = (fragment.header.sizes[0] + 1).to_bytes(4, "big")
    seal_fragment(data, fragment.offset, fragment.header.header_size)
    path.write_bytes(data)


def move_decode_time(recording: Recording, ticks: int) -> None:
    """One fragment is decoded at another time; everything else was made to agree."""
    path = a_segment(recording)
    one = walked(recording, path)
    # Not a key fragment: `mfra` tells those's times.
    fragment = next(part for part in one.segment.fragments[3:] if not part.header.is_key[0])
    data = bytearray(path.read_bytes())
    begin, header = fragment.offset, fragment.header
    old, new = header.base_decode_time_90k, header.base_decode_time_90k + ticks
    assert unpack_from(">Q", data, begin + 24)[0] == old
    pack_into(">Q", data, begin + 24, new)
    tfdt = data.index(b"tfdt", begin) + 8
    assert unpack_from(">Q", data, tfdt)[0] == old
    pack_into(">Q", data, tfdt, new)
    seal_fragment(data, begin, header.header_size)
    path.write_bytes(data)
    put_right_leaves(recording, path)


def put_right_leaves(recording: Recording, path: Path) -> None:
    """As if the log had been told this from the beginning: a log of its own, without checkpoints."""
    one = walked(recording, path)
    fragments = {(part.start_utc_us, part.offset): part for part in one.segment.fragments}
    with ArchiveReader(recording.root) as reader:
        number = reader.numbers()[one.segment.camera, one.segment.stream]
    leaves = recording.root / "proof" / "leaves"
    data = bytearray(leaves.read_bytes())
    with path.open("rb") as file:
        beginning = beginning_hash(file.fileno(), one.segment)
        for at in range(0, len(data), RECORD_BYTES):
            leaf = unpack_leaf(data[at : at + RECORD_BYTES], at // RECORD_BYTES)
            fragment = fragments.get((leaf.start_utc_us, leaf.offset))
            if (leaf.kind, leaf.stream) == (LeafKind.FRAGMENT, number) and fragment is not None:
                fresh = leaf_of_stored(
                    file.fileno(), one.segment, beginning, fragment, number, late=False
                )
                data[at : at + RECORD_BYTES] = pack_leaf(fresh)
    leaves.write_bytes(data)
    for name in ("checkpoints", "blocks-8", "blocks-16", "blocks-24"):
        (recording.root / "proof" / name).unlink(missing_ok=True)


def break_5_back(recording: Recording) -> None:
    move_decode_time(recording, -10)


def break_5_leap(recording: Recording) -> None:
    move_decode_time(recording, 3)


def change_payload(recording: Recording, change: Callable[[bytearray, int], None]) -> None:
    """Change a fragment's bytes; hash, header and log are made to agree."""
    path = a_segment(recording)
    fragment = walked(recording, path).segment.fragments[5]
    begin, header = fragment.offset, fragment.header
    data = bytearray(path.read_bytes())
    payload_at = begin + header.header_size
    change(data, payload_at)
    payload = data[payload_at : payload_at + header.data_size]
    at = data.index(fragment.payload_sha256, begin)
    data[at : at + 32] = sha256(payload).digest()
    seal_fragment(data, begin, header.header_size)
    path.write_bytes(data)
    put_right_leaves(recording, path)


def break_6_length(recording: Recording) -> None:
    def change(data: bytearray, at: int) -> None:
        pack_into(">I", data, at, unpack_from(">I", data, at)[0] + 1)

    change_payload(recording, change)


def break_6_key_flag(recording: Recording) -> None:
    def change(data: bytearray, at: int) -> None:
        data[at + 4] = 0x41 if data[at + 4] == 0x65 else 0x65

    change_payload(recording, change)


def break_7_payload(recording: Recording) -> None:
    path = a_segment(recording)
    fragment = walked(recording, path).segment.fragments[5]
    data = bytearray(path.read_bytes())
    data[fragment.offset + fragment.header.header_size + 10] ^= 1
    path.write_bytes(data)


def break_8_overlap(recording: Recording) -> None:
    """A segment that was recorded twice, a little later the second time."""
    without_catalog(recording)
    path = a_segment(recording)
    one = walked(recording, path)
    second = a_segment(recording, index=1)
    second_one = walked(recording, second)
    # The second one's beginning is put into the first one's time by its facts and its name.
    data = bytearray(second.read_bytes())
    begin = second_one.init.size_bytes
    start_us = one.segment.end_utc_us - 1_000_000
    facts = second_one.facts._replace(start_utc_us=start_us)
    data[begin : begin + SEGMENT_FACTS_BYTES] = segment_facts_box(bytes(data[:begin]), facts)
    second.unlink()
    moved = recording.root / segment_path("gate", "main", start_us)
    moved.write_bytes(data)
    put_right_leaves(recording, moved)


def break_9_facts(recording: Recording) -> None:
    path = a_segment(recording)
    one = walked(recording, path)
    closing = one.closing
    assert closing is not None
    data = bytearray(path.read_bytes())
    wrong = closing_facts_box(closing._replace(lost_packets=closing.lost_packets + 1))
    data[one.good_bytes : one.good_bytes + len(wrong)] = wrong
    path.write_bytes(data)


def break_9_no_end(recording: Recording) -> None:
    without_catalog(recording)
    path = a_segment(recording)
    os.truncate(path, walked(recording, path).good_bytes)


def break_9_mfra(recording: Recording) -> None:
    path = a_segment(recording)
    one = walked(recording, path)
    entries = list(one.random_access or ())
    entries[0] = entries[0]._replace(time_90k=entries[0].time_90k + 1)
    tail = mfra_box(entries)
    data = bytearray(path.read_bytes())
    data[-len(tail) :] = tail
    path.write_bytes(data)


def ask_catalog(recording: Recording, sql: str) -> None:
    with contextlib.closing(apsw.Connection(str(recording.root / CATALOG_NAME))) as connection:
        connection.execute(sql)


def break_10_row(recording: Recording) -> None:
    ask_catalog(recording, "UPDATE segments SET frames = frames + 1 WHERE path LIKE 'door%'")


def break_10_minute(recording: Recording) -> None:
    ask_catalog(recording, "UPDATE minutes SET lost_packets = lost_packets + 1")


def break_10_missing(recording: Recording) -> None:
    ask_catalog(recording, "PRAGMA foreign_keys = ON; DELETE FROM segments WHERE path LIKE 'door%'")


def break_10_journal_table(recording: Recording) -> None:
    ask_catalog(recording, "DELETE FROM gaps")


def break_10_no_database(recording: Recording) -> None:
    (recording.root / CATALOG_NAME).write_bytes(b"not a database at all" * 100)


def break_11_removed_file(recording: Recording) -> None:
    without_catalog(recording)
    a_segment(recording).unlink()


def break_11_removed_leaf(recording: Recording) -> None:
    """The log's end is cut away with its checkpoints: late fragments have no leaf."""
    leaves = recording.root / "proof" / "leaves"
    data = leaves.read_bytes()
    leaves.write_bytes(data[: len(data) // 2 // RECORD_BYTES * RECORD_BYTES])
    (recording.root / "proof" / "checkpoints").unlink()


def break_11_invented_leaf(recording: Recording) -> None:
    leaves = recording.root / "proof" / "leaves"
    leaf = Leaf(bytes(32), LeafKind.FRAGMENT, 0, 1, 1_795_482_000_000_000, 1, 1, 1)
    with leaves.open("ab") as file:
        file.write(pack_leaf(leaf))


def break_12_root(recording: Recording) -> None:
    """The log's last leaf is another: of a journal line, which no fragment misses."""
    leaves = recording.root / "proof" / "leaves"
    data = bytearray(leaves.read_bytes())
    last = unpack_leaf(data[-RECORD_BYTES:], 0)
    assert last.kind == LeafKind.JOURNAL
    data[-RECORD_BYTES:] = pack_leaf(last._replace(hash=bytes(32)))
    leaves.write_bytes(data)


def break_12_signature(recording: Recording) -> None:
    path = recording.root / "proof" / "checkpoints"
    lines = path.read_text().split("\n")
    at = next(n for n, line in enumerate(lines) if line.startswith("—"))
    name, _, signature = lines[at].rpartition(" ")
    swapped = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    lines[at] = f"{name} {swapped}"
    path.write_text("\n".join(lines))


def break_13_line(recording: Recording) -> None:
    path = recording.root / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")
    assert b'"clock"' in lines[1]
    lines[1] = b"{" + b"x" * (len(lines[1]) - 1)
    path.write_bytes(b"\n".join(lines))


def break_13_hole(recording: Recording) -> None:
    """A line that the catalog has nothing of is gone, and with it nothing else."""
    path = recording.root / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")
    assert json.loads(lines[1])["kind"] == "clock"
    del lines[1]
    path.write_bytes(b"\n".join(lines))


BREAKS = [
    break_1_identity, break_1_foreign_segment, break_2_name, break_2_stranger, break_3_box,
    break_3_behind_the_end, break_3_beginning, break_4_facts, break_4_sizes, break_5_back, break_5_leap,
    break_6_length, break_6_key_flag, break_7_payload, break_8_overlap, break_9_facts, break_9_no_end,
    break_9_mfra, break_10_row, break_10_minute, break_10_missing, break_10_journal_table,
    break_10_no_database, break_11_removed_file, break_11_removed_leaf, break_11_invented_leaf,
    break_12_root, break_12_signature, break_13_line, break_13_hole,
]  # fmt: skip


@pytest.mark.parametrize("how", BREAKS, ids=lambda how: how.__name__.removeprefix("break_"))
def test_exactly_what_was_broken_is_found(
    recorded: Recording, how: Callable[[Recording], None]
) -> None:
    expected = int(how.__name__.split("_")[1])
    how(recorded)
    report = check(recorded)
    assert numbers(report) == [expected], report.findings
    for finding in report.findings:
        assert finding.file
        assert finding.what
        assert finding.fields()["advice"]
    quick = numbers(check(recorded, deep=False))
    assert quick == ([] if expected in (6, 7) else [expected])


def test_it_may_be_cancelled(recorded: Recording) -> None:
    class Enough(Exception):
        pass

    def progress(done: int, total: int, what: str) -> None:
        assert 0 <= done <= total
        if done:
            raise Enough

    with pytest.raises(Enough):
        check_archive(recorded.root, deep=True, progress=progress)
    assert check(recorded).is_well


def test_any_flipped_bit_of_a_segment_is_found(recorded: Recording) -> None:
    """Every byte of a segment is covered by something."""
    path = a_segment(recorded)
    archive_id = read_identity(recorded.root).archive_id
    whole = path.read_bytes()
    rng = random.Random(7)
    root_fd = os.open(recorded.root, os.O_RDONLY)
    try:
        for _ in range(400):
            data = bytearray(whole)
            at = rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            found = check_segment(
                root_fd, str(path.relative_to(recorded.root)), archive_id,
                may_be_open=False, looked_at=lambda _size: None,
            )  # fmt: skip
            assert found.findings, f"byte {at}"
            assert all(isinstance(one, Finding) for one in found.findings)
    finally:
        os.close(root_fd)


def test_unreadable_directories_are_no_crash(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = check_archive(tmp_path / "empty")
    assert numbers(report) == [1]

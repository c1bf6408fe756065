"""The keeper: what it makes durable and known, and what befalls it."""

from __future__ import annotations

import errno
import json
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from recording_by_hand import FRAME_US, T0_US, Recording

from khupho.archive.archive import Archive
from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog
from khupho.archive.check.check import check_archive
from khupho.archive.check.rebuild import rebuild_catalog
from khupho.archive.events import CloseCause
from khupho.archive.journal.entries import (
    ClockChanged,
    Ended,
    FootageLost,
    GapSeen,
    SegmentRecovered,
    Started,
)
from khupho.archive.journal.journal import read_journal
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.keeper import SILENCE_US
from khupho.archive.keeper.recorded_segment import RecordedSegment
from khupho.archive.place.identity import ArchiveBusyError
from khupho.units import US_PER_S


def dump(recording: Recording) -> list[str]:
    catalog = Catalog.open(recording.root / CATALOG_NAME, recording.archive.archive_id.hex())
    try:
        return list(catalog.dump())
    finally:
        catalog.close()


def entries(recording: Recording) -> list[object]:
    root_fd = os.open(recording.root, os.O_RDONLY)
    try:
        return [line.entry for line in read_journal(root_fd)]
    finally:
        os.close(root_fd)


def of_kind(recording: Recording, kind: type) -> list:
    return [entry for entry in entries(recording) if isinstance(entry, kind)]


def segments(recording: Recording) -> list[Path]:
    return sorted(recording.root.glob("*/*/*/*.mp4"))


def is_well(recording: Recording) -> bool:
    report = check_archive(recording.root, deep=True)
    assert not report.findings
    return True


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "archive")


# In order


def test_what_is_flushed_is_in_the_catalog_and_signed(recording: Recording) -> None:
    recording.run(75, "gate", "gate/sub")
    catalog = recording.archive.keeper._books.catalog
    assert catalog is not None
    row = catalog.segment("gate/main/2026-11-24/010000.000Z.mp4")
    assert row is not None
    assert row.cause is None
    assert row.frames * FRAME_US == row.end_utc_us - T0_US
    assert row.frames >= 64 * 25
    assert row.flushed_bytes == row.size_bytes <= segments(recording)[0].stat().st_size
    assert recording.archive.keeper._books.checkpoints.newest is not None
    assert recording.close()
    assert is_well(recording)
    assert [type(entry) for entry in entries(recording)][:2] == [Started, ClockChanged]
    assert isinstance(entries(recording)[-1], Ended)
    assert not recording.alarms()


def test_an_orderly_end_leaves_nothing_to_make_good(recording: Recording) -> None:
    recording.run(14)
    assert recording.close()
    before = dump(recording)
    recording.restart()
    recording.settle()
    assert recording.close()
    assert dump(recording) == before
    assert not of_kind(recording, SegmentRecovered)


def test_the_second_recorder_is_refused(recording: Recording) -> None:
    with pytest.raises(ArchiveBusyError):
        Recording(recording.root)
    assert recording.close()


def test_gaps_are_journalled_with_their_cause(recording: Recording) -> None:
    recording.run(5)
    recording.hang_up(CloseCause.CONNECTION)
    recording.clock.advance(7 * US_PER_S)
    recording.run(5)
    recording.hang_up(CloseCause.TIMELINE)
    recording.run(5)
    assert recording.close()
    (gap,) = of_kind(recording, GapSeen)
    assert gap.cause == "connection"
    assert gap.end_utc_us - gap.start_utc_us == 7 * US_PER_S
    assert any(line.startswith("gap\t1\t") for line in dump(recording))


# Kills


def test_a_break_before_the_kill_is_made_good_is_a_gap_of_its_own(recording: Recording) -> None:
    recording.run(12)
    recording.kill()
    recording.clock.advance(3 * US_PER_S)
    recording.restart()
    recording.run(5, rounds=False)
    recording.hang_up(CloseCause.CONNECTION)
    recording.clock.advance(2 * US_PER_S)
    recording.run(5, rounds=False)
    recording.hang_up(CloseCause.CONNECTION)
    recording.clock.advance(4 * US_PER_S)
    recording.run(5, rounds=False)
    # As when there is much to make good: the keeper hears of all this first.
    recording.archive.keeper._take_events()
    recording.settle()
    assert recording.close()
    gaps = of_kind(recording, GapSeen)
    assert [gap.cause for gap in gaps] == ["recovered", "connection", "connection"]
    assert [(gap.end_utc_us - gap.start_utc_us) // US_PER_S for gap in gaps[1:]] == [2, 4]
    assert all(before.end_utc_us < after.start_utc_us for before, after in pairwise(gaps))


@pytest.mark.parametrize("seconds", [0.5, 5, 24])
def test_after_a_kill_all_that_was_written_is_there(recording: Recording, seconds: float) -> None:
    recording.run(seconds, "gate", "door")
    frames = recording.roll().frames
    recording.kill()
    recording.restart()
    recording.settle()
    recovered = of_kind(recording, SegmentRecovered)
    assert [one.camera for one in recovered] == (["door", "gate"] if frames > 12 else [])
    recording.run(5, "gate", "door")
    assert recording.close()
    if frames > 12:
        gaps = of_kind(recording, GapSeen)
        assert {gap.cause for gap in gaps} == {"recovered"}
    kept = sum(int(line.split("\t")[8]) for line in dump(recording) if line.startswith("segment"))
    lost_in_memory = 24 if frames > 12 else 2 * frames
    assert kept >= 2 * frames + 2 * 120 - lost_in_memory
    assert is_well(recording)


def test_killed_again_and_again(recording: Recording) -> None:
    rng = random.Random(3)
    for _ in range(8):
        recording.run(rng.choice([0.5, 2, 11, 13]), "gate", "gate/sub", "door")
        if rng.random() < 0.4:
            recording.hang_up(CloseCause.CONNECTION, "gate")
        recording.kill()
        recording.restart()
        if rng.random() < 0.5:
            recording.settle(1)
    recording.settle()
    assert recording.close()
    assert is_well(recording)
    before = dump(recording)
    assert rebuild_catalog(recording.root).left_out == ()
    assert dump(recording) == before


def test_footage_goes_on_while_the_last_run_is_made_good(recording: Recording) -> None:
    recording.run(15, "gate")
    recording.kill()
    recording.restart()
    # The first batches come before the keeper's first round.
    recording.run(3, "gate", rounds=False)
    recording.run(12, "gate")
    assert recording.close()
    assert len(of_kind(recording, GapSeen)) == 1
    assert is_well(recording)


def test_a_power_cut_takes_what_was_not_flushed(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.run(25, "gate")
    recording.kill()
    catalog = Catalog.open(recording.root / CATALOG_NAME, recording.archive.archive_id.hex())
    row = catalog.open_segments()[0]
    catalog.close()
    path = recording.root / row.path
    data = bytearray(path.read_bytes())
    assert row.flushed_bytes < len(data)
    # The file has its size, and what was never flushed is zeros from some fragment on.
    data[row.flushed_bytes + 3_000 :] = bytes(len(data) - row.flushed_bytes - 3_000)
    path.write_bytes(data)
    running = recording.root / "running.json"
    fields = json.loads(running.read_text())
    running.write_text(json.dumps(fields | {"boot": "another"}))
    assert is_well(recording)
    recording.restart()
    recording.settle()
    (recovered,) = of_kind(recording, SegmentRecovered)
    assert recovered.cut_bytes > 0
    assert recovered.end_utc_us >= row.end_utc_us
    assert recording.close()
    assert is_well(recording)


def test_leaves_of_footage_that_a_power_cut_took_are_told(recording: Recording) -> None:
    """The disk lied about a flush: leaves are there, their fragments are not."""
    recording.run(25, "gate")
    recording.kill()
    (path,) = segments(recording)
    os.truncate(path, path.stat().st_size // 2)
    recording.restart()
    recording.settle()
    (lost,) = of_kind(recording, FootageLost)
    assert lost.fragments > 10
    recording.run(2)
    assert recording.close()
    assert is_well(recording)


# The catalog


def test_a_missing_catalog_is_made_anew_with_the_same_answers(recording: Recording) -> None:
    recording.run(20, "gate", "door")
    recording.hang_up()
    recording.clock.advance(9 * US_PER_S)
    recording.run(30, "gate", lost_at=300)
    assert recording.close()
    before = dump(recording)
    (recording.root / CATALOG_NAME).unlink()
    recording.restart()
    recording.settle()
    assert recording.close()
    assert dump(recording) == before


def test_rebuild_gives_the_same_answers(recording: Recording) -> None:
    recording.run(20, "gate", "door", lost_at=250)
    recording.hang_up()
    recording.clock.advance(9 * US_PER_S)
    recording.run(70, "gate/sub", "door")
    with pytest.raises(ArchiveBusyError):
        rebuild_catalog(recording.root)
    assert recording.close()
    before = dump(recording)
    seen: list[tuple[int, int]] = []
    report = rebuild_catalog(recording.root, lambda done, total, _what: seen.append((done, total)))
    assert report.segments == 4
    assert seen[-1] == (4, 4)
    assert dump(recording) == before
    assert sum(line.startswith("minute") for line in before) >= 5


def test_a_cancelled_rebuild_leaves_the_old_catalog(recording: Recording) -> None:
    class Enough(Exception):
        pass

    def progress(_done: int, _total: int, _what: str) -> None:
        raise Enough

    recording.run(5)
    assert recording.close()
    before = dump(recording)
    with pytest.raises(Enough):
        rebuild_catalog(recording.root, progress)
    assert dump(recording) == before
    assert not list(recording.root.glob("*.rebuild*"))


@pytest.mark.parametrize("damage", ["no database", "version", "archive", "cut"])
def test_a_broken_catalog_is_put_aside(recording: Recording, damage: str) -> None:
    recording.run(20, "gate", "door")
    assert recording.close()
    before = dump(recording)
    path = recording.root / CATALOG_NAME
    if damage == "no database":
        path.write_bytes(b"x" * 10_000)
    elif damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        catalog = Catalog.open(path, recording.archive.archive_id.hex())
        sql = "PRAGMA user_version = 99"
        if damage == "archive":
            sql = f"UPDATE catalog SET archive_id = '{'0' * 32}'"
        catalog._connection.execute(sql)
        catalog.close()
    recording.restart()
    recording.run(0.5)
    recording.settle()
    assert list(recording.root.glob(f"{CATALOG_NAME}.broken-*"))
    recording.run(3)
    assert recording.close()
    assert set(before) <= set(dump(recording))
    assert is_well(recording)


def test_flipped_bits_in_the_catalog_never_stop_recording(tmp_path: Path) -> None:
    """Whatever bit flips, footage is recorded, and the catalog is either made anew or told by the check."""
    original = Recording(tmp_path / "original")
    original.run(20, "gate", "door")
    assert original.close()
    whole = (original.root / CATALOG_NAME).read_bytes()
    rng = random.Random(11)
    for number in range(25):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 40])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (original.root / CATALOG_NAME).write_bytes(data)
        original.restart()
        original.run(3, "gate")
        original.settle(1)
        assert original.close(), number
        wrong = {finding.invariant for finding in check_archive(original.root).findings}
        assert wrong <= {10}
        rebuild_catalog(original.root)
        assert is_well(original)
        whole = (original.root / CATALOG_NAME).read_bytes()


def test_a_catalog_that_breaks_in_use_is_made_anew_beside_the_recording(
    recording: Recording,
) -> None:
    recording.run(25, "gate", "door")
    recording.hang_up(CloseCause.CONNECTION, "door")
    catalog = recording.archive.keeper._books.catalog
    assert catalog is not None
    catalog._connection.execute("DROP TABLE minutes")
    recording.run(12, "gate")
    assert list(recording.root.glob(f"{CATALOG_NAME}.broken-*"))
    recording.run(12, "gate")
    assert not recording.alarms()
    assert recording.close()
    assert is_well(recording)


# Trouble


def test_overflow_costs_facts_and_no_footage(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "archive", max_events=20)
    recording.run(30, "gate", "door", rounds=False)
    assert len(recording.archive.keeper.flusher.queue) == 20
    recording.run(10, "gate", "door")
    recording.hang_up(CloseCause.CONNECTION)
    recording.settle(12)
    recording.run(5, "gate")
    assert recording.close()
    before = dump(recording)
    assert is_well(recording)
    rebuild_catalog(recording.root)
    assert dump(recording) == before


def test_openings_that_are_dropped_are_found_in_the_directories(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "archive", max_events=3)
    for _ in range(12):
        recording.run(1, "gate", "door", rounds=False)
        recording.hang_up(CloseCause.CONNECTION)
        recording.clock.advance(US_PER_S)
    recording.run(12, "gate")
    recording.settle()
    assert recording.close()
    assert is_well(recording)
    assert sum(line.startswith("segment") for line in dump(recording)) == 25


def test_a_failed_flush_is_told_and_what_it_cost_is_cut(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.run(12, "gate", "door")
    honest = RecordedSegment.flush

    def flush(recorded: RecordedSegment, root_fd: int) -> None:
        if recorded.segment.camera == "gate":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        honest(recorded, root_fd)

    monkeypatch.setattr(RecordedSegment, "flush", flush)
    recording.run(11, "gate", "door")
    assert any("fails" in alarm for alarm in recording.alarms())
    monkeypatch.setattr(RecordedSegment, "flush", honest)
    catalog = recording.archive.keeper._books.catalog
    assert catalog is not None
    row = catalog.segment("gate/main/2026-11-24/010000.000Z.mp4")
    assert row is not None
    # What the kernel dropped: bytes behind what was flushed before.
    path = recording.root / row.path
    data = bytearray(path.read_bytes())
    at = row.flushed_bytes + 2_000
    data[at : at + 512] = bytes(512)
    path.write_bytes(data)
    recording.hang_up(CloseCause.CONNECTION)
    recording.settle(12)
    assert recording.close()
    assert is_well(recording)
    kept = next(line.split("\t") for line in dump(recording) if "gate/main" in line)
    assert row.end_utc_us <= int(kept[4]) < T0_US + 23 * US_PER_S


def test_a_journal_that_refuses_is_tried_again(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.run(12)
    honest = os.fdatasync

    def refuse(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", refuse)
    recording.run(25)
    assert recording.alarms()
    monkeypatch.setattr(os, "fdatasync", honest)
    recording.run(12)
    assert not [alarm for alarm in recording.alarms() if "full" in alarm]
    recording.hang_up()
    recording.settle(12)
    assert recording.close()
    assert is_well(recording)


def test_a_bug_in_one_part_does_not_stop_the_others(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_books: Books) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recording.archive.keeper, "_look", lambda: bug(recording.archive._books))
    recording.run(25)
    assert any("A fault of this program" in alarm for alarm in recording.alarms())
    catalog = recording.archive.keeper._books.catalog
    assert catalog is not None
    assert catalog.open_segments()[0].frames > 400
    assert recording.close()


def test_a_keeper_that_hangs_is_told(recording: Recording) -> None:
    recording.run(2)
    assert not recording.alarms()
    recording.clock.advance(SILENCE_US + US_PER_S)
    (alarm,) = recording.alarms()
    assert "has not answered for 21 s" in alarm
    recording.archive.keeper.round()
    assert not recording.alarms()
    assert recording.close()


def test_the_snapshot_is_the_keepers(recording: Recording) -> None:
    assert recording.archive.snapshot().taken_utc_us == 0
    recording.run(40, "gate", "door")
    seen = recording.archive.snapshot()
    assert (seen.total_bytes, seen.segments_open) == (recording.room.total_bytes, 2)
    assert [(one.camera, one.stream) for one in seen.streams] == [
        ("door", "main"),
        ("gate", "main"),
    ]
    assert 10 * US_PER_S < seen.streams[0].covered_us <= 40 * US_PER_S
    assert seen.oldest_utc_us == {"door": T0_US, "gate": T0_US}
    recording.archive.set_limits(2, 50)
    recording.run(16, "gate", "door")
    assert recording.close()


def test_with_its_thread(tmp_path: Path) -> None:
    """The thread itself, for a moment: opened, recorded to, closed in time."""
    from recording_by_hand import KEY, Roll

    from khupho.clock import SystemClock

    clock = SystemClock()
    archive = Archive.open(tmp_path / "archive", key=KEY, clock=clock)
    recording = Recording.__new__(Recording)
    recording.archive = archive
    roll = Roll(archive.writer("gate", "main"))
    for _ in range(3):
        recording.send(roll)
    roll.writer.close(CloseCause.STOPPED, archive.arrival())
    assert archive.close()
    report = check_archive(tmp_path / "archive", deep=True)
    assert report.is_well
    assert report.segments == 1


def test_a_closed_segment_whose_leaves_were_not_flushed_gets_them_with_a_new_catalog(
    recording: Recording,
) -> None:
    """Found by cutting the power at every moment: another segment followed within the flush interval."""
    recording.run(12, "gate")
    recording.hang_up(CloseCause.CONNECTION)
    recording.clock.advance(US_PER_S)
    recording.run(2, "gate")
    recording.kill()
    (recording.root / CATALOG_NAME).unlink()
    recording.restart()
    recording.settle()
    assert recording.close()
    assert is_well(recording)


@pytest.mark.parametrize("boot", ["another", None])
def test_a_beginning_that_a_power_cut_tore_is_removed_and_a_damaged_one_stays(
    recording: Recording, boot: str | None
) -> None:
    recording.run(12, "yard")
    recording.run(3, "gate")
    recording.kill()
    (path,) = (recording.root / "gate").glob("*/*/*.mp4")
    data = path.read_bytes()
    path.write_bytes(bytes(512) + data[512:])
    if boot is not None:
        running = recording.root / "running.json"
        running.write_text(json.dumps(json.loads(running.read_text()) | {"boot": boot}))
    recording.restart()
    recording.settle()
    assert path.exists() is (boot is None)
    assert recording.close()
    assert check_archive(recording.root, deep=True).is_well is (boot is not None)

"""Retention carried out on a disk of paper: what goes, what is journalled before, what is told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from recording_by_hand import T0_US, Recording

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.check.check import check_archive
from khupho.archive.events import CloseCause
from khupho.archive.journal.entries import GuaranteeBroken, HoldPlaced, HoldReleased, SegmentDeleted
from khupho.archive.journal.hold_requests import REQUESTS_DIRECTORY, leave_request
from khupho.archive.journal.journal import read_journal
from khupho.archive.keeper import books as books_module
from khupho.archive.retention.holds import Hold
from khupho.archive.retention.plan import DaysPolicy, DiskRoom
from khupho.units import US_PER_DAY, US_PER_MINUTE, US_PER_S

TOTAL = 1_000_000_000_000
PLENTY = DiskRoom(TOTAL, TOTAL // 2)


def deletions(recording: Recording) -> list[SegmentDeleted]:
    root_fd = os.open(recording.root, os.O_RDONLY)
    try:
        lines = [line.entry for line in read_journal(root_fd)]
    finally:
        os.close(root_fd)
    return [entry for entry in lines if isinstance(entry, SegmentDeleted)]


def paths(recording: Recording) -> list[str]:
    return sorted(
        str(path.relative_to(recording.root)) for path in recording.root.glob("*/*/*/*.mp4")
    )


def some_days(recording: Recording, days: int, *cameras: str) -> None:
    """A short segment of each camera on each of so many days."""
    for _ in range(days):
        recording.run(2.4, *cameras)
        recording.hang_up(CloseCause.CONNECTION)
        recording.settle(11)
        recording.clock.advance(US_PER_DAY - 13_400_000)


def rest(recording: Recording, minutes: int = 2) -> None:
    for _ in range(minutes * 4):
        recording.clock.advance(15 * US_PER_S)
        recording.archive.keeper.round()


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(
        tmp_path / "archive",
        room=PLENTY,
        policies={"gate": DaysPolicy(2, 4), "door": DaysPolicy(9, None)},
    )


def finish(recording: Recording) -> None:
    recording.room = PLENTY
    assert recording.close()
    assert not check_archive(recording.root, deep=True).findings


def test_what_is_past_its_maximum_goes(recording: Recording) -> None:
    some_days(recording, 7, "gate", "door")
    rest(recording)
    gone = deletions(recording)
    assert [one.camera for one in gone] == ["gate"] * 4
    assert {one.reason for one in gone} == {"maximum"}
    assert [path.split("/")[0] for path in paths(recording)] == ["door"] * 7 + ["gate"] * 3
    # The days that are empty now have no directory any more.
    assert len(list((recording.root / "gate/main").iterdir())) == 3
    finish(recording)
    catalog = Recording(recording.root).archive.keeper
    catalog.round()
    assert catalog._books.catalog is not None
    (run,) = catalog._books.catalog.deletions("gate")[:1]
    assert run.segments == 1


def test_nothing_goes_for_its_age_while_the_clock_is_doubtful(recording: Recording) -> None:
    some_days(recording, 3, "gate")
    recording.synchronised = False
    recording.clock.step(30 * US_PER_DAY)
    rest(recording)
    assert not deletions(recording)
    assert any("date" in alarm for alarm in recording.alarms())
    recording.synchronised = True
    rest(recording)
    assert len(deletions(recording)) == 3
    finish(recording)


def test_under_pressure_what_is_beyond_goes_first(recording: Recording) -> None:
    some_days(recording, 3, "gate", "door")
    size = sum((recording.root / path).stat().st_size for path in paths(recording)) // 6
    floor = recording.room.floor_bytes
    recording.room = DiskRoom(TOTAL, floor - size)
    rest(recording, 1)
    gone = deletions(recording)
    assert {(one.camera, one.reason) for one in gone} == {("gate", "disk pressure")}
    assert not recording.alarms()
    finish(recording)


def test_a_broken_guarantee_is_journalled_and_told(recording: Recording) -> None:
    some_days(recording, 2, "gate", "door")
    recording.room = DiskRoom(TOTAL, 1000)
    rest(recording, 1)
    assert {one.reason for one in deletions(recording)} >= {"guarantee broken"}
    root_fd = os.open(recording.root, os.O_RDONLY)
    broken = [
        line.entry for line in read_journal(root_fd) if isinstance(line.entry, GuaranteeBroken)
    ]
    os.close(root_fd)
    assert {one.camera for one in broken} == {"door", "gate"}
    assert any("Guaranteed footage had to be deleted" in alarm for alarm in recording.alarms())
    finish(recording)


def test_a_full_disk_is_seen_at_once(recording: Recording) -> None:
    some_days(recording, 4, "door")
    rest(recording)
    recording.room = DiskRoom(TOTAL, 1000)
    recording.settle(2)
    assert deletions(recording)
    finish(recording)


def test_held_footage_stays_and_a_full_disk_of_it_is_told(recording: Recording) -> None:
    some_days(recording, 3, "gate", "door")
    hold = Hold("h1", "gate", T0_US, T0_US + US_PER_DAY // 2, "Theft", placed_utc_us=T0_US)
    leave_request(recording.root, HoldPlaced.of(hold), T0_US)
    recording.settle(2)
    assert not list((recording.root / REQUESTS_DIRECTORY).iterdir())
    recording.room = DiskRoom(TOTAL, 1000)
    rest(recording, 2)
    assert paths(recording) == ["gate/main/2026-11-24/010000.000Z.mp4"]
    assert any("no footage may be deleted" in alarm for alarm in recording.alarms())
    leave_request(recording.root, HoldReleased(id="h1"), T0_US)
    rest(recording, 2)
    assert not paths(recording)
    finish(recording)


def test_a_request_from_before_the_start_counts_before_any_deletion(recording: Recording) -> None:
    some_days(recording, 3, "gate")
    assert recording.close()
    hold = Hold("h1", "gate", T0_US, T0_US + US_PER_DAY // 2, "Theft", placed_utc_us=T0_US)
    leave_request(recording.root, HoldPlaced.of(hold), T0_US)
    (recording.root / REQUESTS_DIRECTORY / "junk.json").write_text("{")
    with ArchiveReader(recording.root) as reader:
        assert [one.id for one in reader.holds()] == ["h1"]
    recording.clock.advance(30 * US_PER_DAY)
    recording.restart()
    rest(recording)
    assert len(paths(recording)) == 1
    assert not list((recording.root / REQUESTS_DIRECTORY).iterdir())
    finish(recording)
    with ArchiveReader(recording.root) as reader:
        assert reader.holds() == [hold]
        assert reader.catalog is not None
        assert reader.catalog.held_bytes() == (recording.root / paths(recording)[0]).stat().st_size


def test_a_gap_that_a_deletion_made_says_so(recording: Recording) -> None:
    some_days(recording, 3, "gate")
    hold = Hold("h1", "gate", T0_US, T0_US + US_PER_DAY // 2, "Theft", placed_utc_us=T0_US)
    leave_request(recording.root, HoldPlaced.of(hold), T0_US)
    recording.settle(2)
    recording.clock.advance(2 * US_PER_DAY)
    recording.run(2.4, "gate")
    rest(recording)
    finish(recording)
    for _ in range(2):
        with ArchiveReader(recording.root) as reader:
            coverage = reader.coverage("gate", "main", 0, 1 << 62)
        assert coverage is not None
        causes = [gap.cause for gap in coverage.gaps]
        assert "deleted (maximum)" in causes
        assert "the connection to the camera broke" not in causes[:1]
        (recording.root / "catalog.sqlite3").unlink(missing_ok=True)


def test_killed_between_the_journal_and_the_file(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_days(recording, 5, "gate")
    rest(recording)
    before = len(paths(recording))

    class Killed(BaseException):
        pass

    def killed(*_args: object, **_kwargs: object) -> None:
        raise Killed

    from khupho.archive.keeper import retention as keeper_retention

    monkeypatch.setattr(keeper_retention, "remove_segment", killed)
    recording.clock.advance(2 * US_PER_DAY)
    with pytest.raises(Killed):
        rest(recording)
    monkeypatch.undo()
    told = {one.path for one in deletions(recording)}
    assert len(paths(recording)) == before
    recording.kill()
    recording.restart()
    recording.settle()
    assert not told & set(paths(recording))
    finish(recording)


def test_a_full_disk_has_room_to_journal_what_goes(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_days(recording, 4, "door")
    rest(recording)
    ballast = recording.root / books_module.BALLAST_NAME
    assert ballast.stat().st_size == books_module.BALLAST_BYTES
    honest = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        if ballast.stat().st_size and paths(recording):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return honest(file, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    recording.room = DiskRoom(TOTAL, 0)
    recording.settle(2)
    monkeypatch.undo()
    assert deletions(recording)
    assert ballast.stat().st_size == 0
    recording.room = PLENTY
    rest(recording, 2)
    assert ballast.stat().st_size == books_module.BALLAST_BYTES
    finish(recording)


def test_a_file_that_cannot_be_removed_is_told(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_days(recording, 6, "gate")
    from khupho.archive.keeper import retention as keeper_retention

    def refused(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "gate/main")

    monkeypatch.setattr(keeper_retention, "remove_segment", refused)
    recording.clock.advance(US_PER_DAY)
    rest(recording)
    assert any("cannot be deleted" in alarm for alarm in recording.alarms())
    assert recording.close()


def test_the_forecast_warns_on_the_first_day(recording: Recording) -> None:
    recording.policies = {"gate": DaysPolicy(30, None)}
    recording.archive.set_policies(recording.policies)
    for _ in range(3):
        recording.run(11 * 60)
        recording.hang_up()
    size = sum((recording.root / path).stat().st_size for path in paths(recording))
    recording.room = DiskRoom(size * 200, size * 199)
    for _ in range(30):
        recording.clock.advance(US_PER_MINUTE)
        recording.archive.keeper.round()
    assert any("too small" in alarm for alarm in recording.alarms())
    seen = recording.archive.snapshot().forecast
    assert seen is not None
    assert not seen.is_kept
    recording.room = PLENTY
    for _ in range(6):
        recording.clock.advance(US_PER_MINUTE)
        recording.archive.keeper.round()
    assert not recording.alarms()
    finish(recording)

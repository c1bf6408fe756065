"""The archive's directory: moved away, replaced, mounted again; slow disks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from segments_by_hand import T0_US, Camera, Recording

from khupho.archive.events import CloseCause
from khupho.archive.place.identity import ArchiveIdentityError, create_archive
from khupho.archive.place.place import PLACE_ALARM, SLOW_ALARM, DiskCalls, DiskError, Place
from khupho.archive.segments.reader import walk_segment
from khupho.clock import ManualClock


def names(recording: Recording) -> list[str]:
    return [alarm.error.what for alarm in recording.alarms.standing()]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "archive")


def test_it_opens_only_its_own_archive(recording: Recording, tmp_path: Path):
    place = recording.place
    with pytest.raises(DiskError, match="not there"):
        Place(tmp_path / "nowhere", place.archive_id, recording.clock, recording.alarms)
    (tmp_path / "empty").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ArchiveIdentityError):
        Place(tmp_path / "empty", place.archive_id, recording.clock, recording.alarms)
    with pytest.raises(DiskError, match="Another archive"):
        Place(recording.root, bytes(16), recording.clock, recording.alarms)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_all_is_well(recording: Recording):
    recording.place.watch()
    assert names(recording) == []


def test_a_directory_that_is_moved_away_is_told_and_still_written(
    recording: Recording, tmp_path: Path
):
    """What was opened stays open: footage goes on into our own directory, and nowhere else."""
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(20)
    recording.root.rename(tmp_path / "elsewhere")
    recording.place.watch()
    assert any("not there" in what for what in names(recording))
    # Another archive is mounted there.
    create_archive(recording.root, "another", T0_US)
    recording.place.watch()
    assert any("Another archive" in what for what in names(recording))
    writer.close(CloseCause.CONNECTION, recording.arrival())
    camera.new_session()
    camera.play(20)
    writer.close(CloseCause.CONNECTION, recording.arrival())
    assert not list(recording.root.rglob("*.mp4"))
    assert len(list((tmp_path / "elsewhere").rglob("*.mp4"))) == 2
    # Set right again.
    recording.root.rename(tmp_path / "the other one")
    (tmp_path / "elsewhere").rename(recording.root)
    recording.place.watch()
    assert names(recording) == []


def test_a_disk_that_is_gone_and_comes_back_is_taken_up_again(recording: Recording, tmp_path: Path):
    """Remounted, the directory is another one with our id; the old descriptors lead nowhere."""
    place = recording.place
    recording.root.rename(tmp_path / "gone")
    identity = (tmp_path / "gone" / "archive.json").read_bytes()
    (tmp_path / "gone" / "archive.json").unlink()
    recording.root.mkdir()
    place.watch()
    assert names(recording)
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    assert recording.events == []
    assert not list(tmp_path.rglob("*.mp4"))
    assert any("gone" in what for what in names(recording))
    (recording.root / "archive.json").write_bytes(identity)
    old_fd = place.root_fd
    place.watch()
    assert place.root_fd != old_fd
    recording.clock.advance(5_000_000)
    camera.play(10)
    camera.play(10)
    assert names(recording) == []
    (opened,) = recording.opened
    writer.close(CloseCause.STOPPED, recording.arrival())
    assert walk_segment(recording.root, opened.segment.relative_path).is_closed
    place.watch()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(old_fd)
    place.close()
    place.close()


def test_slow_writes_raise_an_alarm_for_a_minute(tmp_path: Path):
    clock = ManualClock(T0_US, 5_000_000_000)
    length_us = 0

    def slow(file: int, pieces) -> int:
        clock.advance(length_us)
        return os.writev(file, pieces)

    recording = Recording(tmp_path / "archive", calls=DiskCalls(writev=slow), clock=clock)
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    length_us = 1_900_000
    camera.play(10)
    recording.place.watch()
    assert names(recording) == []
    length_us = 5_100_000
    camera.play(10)
    assert recording.place.drain(5)
    length_us = 0
    (alarm,) = recording.alarms.standing()
    assert "5.1 s" in alarm.error.what
    clock.advance(59_000_000)
    recording.place.watch()
    assert len(names(recording)) == 1
    clock.advance(2_000_000)
    recording.place.watch()
    assert names(recording) == []
    assert (SLOW_ALARM, PLACE_ALARM) == ("disk-slow", "disk-missing")


def test_unfinished_segments_wait_for_the_disk_and_for_deletion(recording: Recording):
    place = recording.place
    path = recording.root / "gate" / "one.mp4"
    path.parent.mkdir()
    path.write_bytes(b"0123456789torn")
    place.leave_unfinished("gate/one.mp4", 10, b"tail")
    place.leave_unfinished("gate/deleted.mp4", 10, b"tail")
    place.leave_unfinished("gate/one.mp4", 400, b"never")
    place.watch()
    assert path.read_bytes() == b"0123456789tail"
    place.watch()
    assert path.read_bytes() == b"0123456789tail"


def test_unfinished_segments_are_tried_until_they_are_done(tmp_path: Path):
    refuses = True

    def truncate(file: int, size: int) -> None:
        if refuses:
            raise OSError(errno.ENOSPC, "full")
        os.ftruncate(file, size)

    recording = Recording(tmp_path / "archive", calls=DiskCalls(ftruncate=truncate))
    path = recording.root / "one.mp4"
    path.write_bytes(b"0123")
    recording.place.leave_unfinished("one.mp4", 4, b"tail")
    recording.place.watch()
    assert path.read_bytes() == b"0123"
    refuses = False
    recording.place.watch()
    assert path.read_bytes() == b"0123tail"


def test_salts_are_of_16_bytes_and_never_the_same(recording: Recording):
    salts = [recording.place.salt() for _ in range(1_000)]
    assert {len(salt) for salt in salts} == {16}
    assert len(set(salts)) == 1_000


def test_streams_are_remembered_over_writers(recording: Recording):
    place = recording.place
    place.memory_of("gate", "main").end_utc_us = T0_US + 3_600_000_000
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    assert recording.opened[0].segment.start_utc_us == T0_US + 3_600_000_000
    assert place.memory_of("gate", "main") is place.memory_of("gate", "main")
    assert place.memory_of("gate", "sub") is not place.memory_of("gate", "main")

"""A slow disk: the loop goes on, order holds, and what doesn't fit is lost in order too."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from segments_by_hand import T0_US, Camera, Recording
from segments_judged import numbers, whole

from khupho.archive.events import CloseCause, FragmentCommitted
from khupho.archive.place.place import DiskCalls
from khupho.archive.place.spill import CALM_US, SLOW_US, Put, Spill
from khupho.clock import ManualClock

PATIENCE_S = 10.0


class StuckDisk:
    """Writes that hang until they are let go. On the loop's thread they only turn the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.length_us = 0
        self.go = threading.Event()
        self.go.set()
        self.refuses = 0
        self.by_thread: list[str] = []

    def writev(self, file: int, pieces) -> int:
        self.by_thread.append(threading.current_thread().name)
        if threading.current_thread() is threading.main_thread():
            self.clock.advance(self.length_us)
        else:
            assert self.go.wait(PATIENCE_S)
        if self.refuses:
            self.refuses -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.writev(file, pieces)


@pytest.fixture
def disk() -> StuckDisk:
    return StuckDisk(ManualClock(T0_US, 5_000_000_000))


@pytest.fixture
def recording(tmp_path: Path, disk: StuckDisk, request: pytest.FixtureRequest):
    made = Recording(
        tmp_path / "archive",
        calls=DiskCalls(writev=disk.writev),
        clock=disk.clock,
        spill_bytes=getattr(request, "param", 1 << 20),
    )
    yield made
    disk.go.set()
    made.place.close()
    thread_ends(made.place.spill)


def make_slow(disk: StuckDisk, camera: Camera) -> None:
    """One write that the loop had to wait for; the next ones hang."""
    disk.length_us = SLOW_US
    camera.play(10)
    disk.length_us = 0
    disk.go.clear()


def be_calm(recording: Recording) -> None:
    recording.clock.advance(CALM_US)
    assert recording.place.drain(PATIENCE_S)
    thread_ends(recording.place.spill)
    assert not recording.place.spill.is_active


def thread_ends(spill: Spill) -> None:
    assert spill.thread is not None
    spill.thread.join(PATIENCE_S)
    assert not spill.thread.is_alive()


def test_the_loop_goes_on_and_events_come_when_it_is_written(recording: Recording, disk: StuckDisk):
    cameras = [Camera(recording, recording.writer(name, settle_us=0), gop=10) for name in "ab"]
    cameras[1].play(10)
    make_slow(disk, cameras[0])
    assert recording.place.spill.is_active
    before = len(recording.events)
    assert before == 4
    for _ in range(5):
        for camera in cameras:
            camera.play(10)
    cameras[0].writer.close(CloseCause.CONNECTION, recording.arrival())
    cameras[0].new_session()
    cameras[0].play(10)
    assert len(recording.events) == before
    assert recording.place.spill.waiting_bytes > 11 * 500
    assert set(disk.by_thread) <= {"MainThread", "archive-spill"}
    assert not recording.place.drain(0)
    disk.go.set()
    assert recording.place.drain(PATIENCE_S)
    for camera in cameras:
        camera.writer.close(CloseCause.STOPPED, recording.arrival())
    assert recording.place.drain(PATIENCE_S)
    assert recording.place.spill.waiting_bytes == 0
    walks = whole(recording)
    assert recording.place.lost_frames == 0
    assert sum(len(numbers(recording, walk)) for walk in walks) == 130
    assert sorted(recording.causes) == [1, 1, 3]


def test_when_the_disk_is_quick_again_the_loop_writes_itself(recording: Recording, disk: StuckDisk):
    camera = Camera(recording, recording.writer(settle_us=0), gop=10)
    make_slow(disk, camera)
    disk.go.set()
    camera.play(10)
    assert recording.place.drain(PATIENCE_S)
    assert disk.by_thread == ["MainThread", "archive-spill"]
    be_calm(recording)
    camera.play(10)
    assert disk.by_thread == ["MainThread", "archive-spill", "MainThread"]
    camera.writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert numbers(recording, walk) == list(range(30))


@pytest.mark.parametrize("recording", [12_000], indirect=True)
def test_a_full_queue_loses_footage_in_order_and_says_so(recording: Recording, disk: StuckDisk):
    camera = Camera(recording, recording.writer(settle_us=0), gop=10)
    make_slow(disk, camera)
    for _ in range(30):
        camera.play(10)
        assert recording.place.spill.waiting_bytes < 14_000
    lost = recording.place.lost_frames
    assert lost > 200
    (alarm,) = recording.alarms.standing()
    assert "so slow that footage is lost" in alarm.error.what
    disk.go.set()
    assert recording.place.drain(PATIENCE_S)
    recording.clock.advance(5_000_000)
    camera.play(10)
    camera.writer.close(CloseCause.STOPPED, recording.arrival())
    assert recording.place.drain(PATIENCE_S)
    assert recording.alarms.standing() == ()
    walks = whole(recording)
    assert sum(len(numbers(recording, walk)) for walk in walks) + lost == camera.number
    assert recording.causes == [CloseCause.DISK, CloseCause.STOPPED]
    assert walks[1].segment.fragments[0].header.is_key[0]


def test_a_write_that_fails_in_the_thread_ends_the_segment(recording: Recording, disk: StuckDisk):
    camera = Camera(recording, recording.writer(settle_us=0), gop=10)
    make_slow(disk, camera)
    for _ in range(3):
        camera.play(10)
    disk.refuses = 1
    disk.go.set()
    assert recording.place.drain(PATIENCE_S)
    assert recording.place.lost_frames == 30
    (alarm,) = recording.alarms.standing()
    assert "fails" in alarm.error.what
    camera.play(10)
    recording.clock.advance(5_000_000)
    camera.play(10)
    camera.writer.close(CloseCause.STOPPED, recording.arrival())
    assert recording.place.drain(PATIENCE_S)
    assert recording.alarms.standing() == ()
    walks = whole(recording)
    assert recording.causes == [CloseCause.DISK, CloseCause.STOPPED]
    assert [numbers(recording, walk) for walk in walks] == [
        list(range(10)), list(range(50, 60)),
    ]  # fmt: skip
    assert recording.place.lost_frames == 40


def test_a_segment_that_fails_before_its_first_fragment_is_never_told(
    recording: Recording, disk: StuckDisk
):
    first = Camera(recording, recording.writer("first", settle_us=0), gop=10)
    make_slow(disk, first)
    second = Camera(recording, recording.writer("second", settle_us=0), gop=10)
    second.play(10)
    second.writer.close(CloseCause.CONNECTION, recording.arrival())
    disk.refuses = 1
    disk.go.set()
    assert recording.place.drain(PATIENCE_S)
    assert {event.segment.camera for event in recording.events} == {"first"}
    assert not list((recording.root / "second").rglob("*.mp4"))
    first.play(10)
    first.writer.close(CloseCause.STOPPED, recording.arrival())
    assert recording.place.drain(PATIENCE_S)
    assert [type(e) for e in recording.events].count(FragmentCommitted) == 2


def test_the_queue_itself():
    clock = ManualClock()
    spill = Spill(clock.mono_us, 5_000)
    done: list[int] = []
    assert spill.put(lambda: done.append(0), 1) is Put.NOT_NEEDED
    spill.note(SLOW_US - 1)
    assert not spill.is_active
    assert spill.drain(0)
    go = threading.Event()
    spill.note(SLOW_US)
    assert spill.put(lambda: done.append(int(go.wait(PATIENCE_S))), 10) is Put.QUEUED
    for number in range(2, 10):
        if spill.put(lambda n=number: done.append(n), 1_000) is Put.FULL:
            break
    else:
        pytest.fail("no bound")
    assert spill.put(lambda: done.append(99), 10_000, must_fit=True) is Put.QUEUED
    go.set()
    assert spill.drain(PATIENCE_S)
    assert done == [1, *range(2, number), 99]
    clock.advance(CALM_US)
    spill.drain(PATIENCE_S)
    thread_ends(spill)
    assert not spill.is_active

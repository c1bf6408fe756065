"""A disk that refuses: footage is lost and told, recording goes on, and nothing on the disk is torn."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segments_by_hand import Camera, Recording

from khupho.archive.events import CloseCause, FragmentCommitted, SegmentOpened
from khupho.archive.place.place import WRITE_ALARM, DiskCalls
from khupho.archive.segments.reader import walk_segment
from khupho.archive.segments.recovery import recover_segment
from khupho.errors import Fault


@dataclass
class BadDisk:
    """The real calls, until told otherwise. `refuse` names a call and its error."""

    refuse: dict[str, int] = field(default_factory=dict)
    room: int | None = None
    """Bytes that still fit; short writes and ENOSPC after that."""
    most: int | None = None
    """Bytes that one call takes."""

    def calls(self) -> DiskCalls:
        real = DiskCalls()
        wrapped = {
            name: self._wrap(name, getattr(real, name))
            for name in ("open", "mkdir", "ftruncate", "close", "unlink")
        }
        return DiskCalls(**wrapped, writev=self._writev)

    def _wrap(self, name: str, call: Callable) -> Callable:
        def wrapped(*arguments, **how):
            if name == "close":
                call(*arguments)
            self._check(name)
            return None if name == "close" else call(*arguments, **how)

        return wrapped

    def _check(self, name: str) -> None:
        if name in self.refuse:
            number = self.refuse[name]
            raise OSError(number, os.strerror(number))

    def _writev(self, file: int, pieces) -> int:
        self._check("writev")
        if self.most is not None:
            return os.write(file, b"".join(pieces)[: self.most])
        if self.room is None:
            return os.writev(file, pieces)
        data = b"".join(pieces)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return os.write(file, data)


@pytest.fixture
def disk() -> BadDisk:
    return BadDisk()


@pytest.fixture
def recording(tmp_path: Path, disk: BadDisk) -> Recording:
    return Recording(tmp_path / "archive", calls=disk.calls())


def alarm(recording: Recording):
    standing = recording.alarms.standing()
    return standing[0].error if standing else None


def holds(recording: Recording) -> None:
    """Whatever was told is on the disk, and every file there is whole up to its last fragment."""
    told = {event.segment.relative_path for event in recording.opened}
    there = {str(path.relative_to(recording.root)) for path in recording.root.rglob("*.mp4")}
    assert there == told
    for path in told:
        walk = walk_segment(recording.root, path)
        assert walk.fault is None
        mine = [event for event in recording.committed if event.segment.relative_path == path]
        assert [event.offset for event in mine] == [f.offset for f in walk.segment.fragments]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "only be read"),
        (errno.EIO, "fails"), (errno.ENOTCONN, "gone"), (errno.ESTALE, "gone"),
        (errno.EACCES, "may not write"), (errno.EMFILE, "open"), (errno.EFBIG, "refuses"),
    ],
)  # fmt: skip
def test_each_refusal_is_told_in_plain_words_and_recording_goes_on(
    recording: Recording, disk: BadDisk, number: int, words: str
):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=10)
    camera.play(20)
    disk.refuse["writev"] = number
    camera.play(10)
    error = alarm(recording)
    assert error is not None
    assert error.fault is Fault.DISK
    assert words in error.what
    assert error.advice
    assert recording.place.lost_frames == 10
    camera.play(30)
    assert recording.place.lost_frames == 40
    disk.refuse.clear()
    for _ in range(4):
        camera.play(25)
    writer.close(CloseCause.STOPPED, recording.arrival())
    assert alarm(recording) is None
    recording.place.watch()
    holds(recording)
    assert recording.causes == [CloseCause.DISK, CloseCause.STOPPED]
    before, after = recording.walks()
    # The closing facts that the disk refused first were appended by the watch.
    assert before.is_closed
    assert before.segment.cause is CloseCause.DISK
    assert after.segment.fragments[0].header.is_key[0]
    assert after.segment.start_utc_us > before.segment.end_utc_us


def test_short_writes_are_gone_on_with_and_a_full_disk_is_cut_back(
    recording: Recording, disk: BadDisk
):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(20)
    path = recording.root / recording.opened[0].segment.relative_path
    good = recording.committed[-1]
    disk.most = 100
    camera.play(10)
    disk.most = None
    assert len(recording.committed) == 3
    good = recording.committed[-1]
    disk.room = 300
    camera.play(10)
    assert recording.causes == [CloseCause.DISK]
    disk.room = None
    assert path.stat().st_size == good.offset + good.size_bytes
    recording.clock.advance(6_000_000)
    camera.play(20)
    writer.close(CloseCause.STOPPED, recording.arrival())
    recording.place.watch()
    holds(recording)
    assert recording.causes == [CloseCause.DISK, CloseCause.STOPPED]


@pytest.mark.parametrize("call", ["open", "mkdir"])
def test_a_segment_that_cannot_begin_is_tried_again_with_pauses(
    recording: Recording, disk: BadDisk, call: str
):
    disk.refuse[call] = errno.ENOSPC
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=5)
    tries = []
    for _ in range(100):
        before = alarm(recording)
        writes = len(tries)
        camera.play(5)
        if alarm(recording) is not before:
            tries.append(recording.clock.mono_us())
        assert len(tries) - writes <= 1
    assert recording.events == []
    pauses = [(b - a) // 1_000_000 for a, b in pairwise(tries)]
    assert pauses[:3] == [1, 2, 5]
    assert set(pauses[3:]) == {5}
    disk.refuse.clear()
    recording.clock.advance(5_000_000)
    camera.play(5)
    assert alarm(recording) is None
    writer.close(CloseCause.STOPPED, recording.arrival())
    holds(recording)


def test_footage_after_a_fault_begins_with_a_key_frame_or_after_long(
    recording: Recording, disk: BadDisk
):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=10**6)
    camera.play(10)
    disk.refuse["writev"] = errno.EIO
    camera.play(10)
    disk.refuse.clear()
    for _ in range(40):
        camera.play(25)
        if len(recording.opened) == 2:
            break
    waited = recording.opened[1].segment.start_utc_us - recording.closed[0].end_utc_us
    assert 10_000_000 <= waited <= 13_000_000
    writer.close(CloseCause.STOPPED, recording.arrival())
    recording.place.watch()
    holds(recording)


def test_the_alarm_stands_until_the_last_stream_writes_again(recording: Recording, disk: BadDisk):
    cameras = [
        Camera(recording, recording.writer(name, settle_us=0), gop=5) for name in ("a", "b", "c")
    ]
    for camera in cameras:
        camera.play(5)
    disk.refuse["writev"] = errno.ENOSPC
    for camera in cameras:
        camera.play(5)
    error = alarm(recording)
    assert error is not None
    assert "3 streams" in error.what
    disk.refuse.clear()
    recording.clock.advance(2_000_000)
    cameras[0].play(5)
    assert alarm(recording) is not None
    cameras[1].play(5)
    cameras[2].writer.close(CloseCause.CONNECTION, recording.arrival())
    assert alarm(recording) is None


def test_where_even_the_end_is_refused_recovery_makes_it_good(recording: Recording, disk: BadDisk):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    camera.play(10)
    disk.room = 50
    disk.refuse["ftruncate"] = errno.EIO
    camera.play(10)
    (opened,) = recording.opened
    walk = walk_segment(recording.root, opened.segment.relative_path)
    assert walk.fault is not None
    assert walk.fault.truncated
    disk.refuse.clear()
    disk.room = None
    recovered = recover_segment(recording.root, opened.segment.relative_path)
    assert recovered.cut_bytes == 50
    assert len(recovered.segment.fragments) == 2


def test_a_fragment_that_never_was_leaves_no_file(recording: Recording, disk: BadDisk):
    disk.room = 700
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    assert recording.events == []
    assert not list(recording.root.rglob("*.mp4"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "ok", "writev", "open", "ftruncate", "room", "close", "unlink"]),
            st.integers(1, 40),
            st.integers(0, 4_000),
        ),
        max_size=25,
    )
)
def test_whatever_the_disk_does(tmp_path_factory: pytest.TempPathFactory, story: list):
    disk = BadDisk()
    recording = Recording(tmp_path_factory.mktemp("bad") / "archive", calls=disk.calls())
    writers = [recording.writer(name, settle_us=0) for name in ("a", "b")]
    cameras = [Camera(recording, writer, gop=7) for writer in writers]
    for what, frames, room in story:
        disk.refuse.clear()
        disk.room = None
        if what == "room":
            disk.room = room
        elif what != "ok":
            disk.refuse[what] = errno.ENOSPC
            if what == "ftruncate":
                disk.refuse["writev"] = errno.ENOSPC
        for camera in cameras:
            camera.play(frames)
    disk.refuse.clear()
    disk.room = None
    recording.clock.advance(6_000_000)
    for camera in cameras:
        camera.play(8)
        camera.writer.close(CloseCause.STOPPED, recording.arrival())
    recording.place.watch()
    assert alarm(recording) is None
    frames = sum(event.frames for event in recording.committed)
    assert frames + recording.place.lost_frames == sum(camera.number for camera in cameras)
    told = {event.segment.relative_path for event in recording.opened}
    for path in told:
        walk = walk_segment(recording.root, path)
        assert walk.is_closed
        mine = [e.offset for e in recording.committed if e.segment.relative_path == path]
        assert mine == [f.offset for f in walk.segment.fragments]
    opened = [event.segment for event in recording.events if isinstance(event, SegmentOpened)]
    assert len(opened) == len(told) == len(recording.closed)
    assert all(e.segment in opened for e in recording.events if isinstance(e, FragmentCommitted))


def test_names_of_alarms_are_stable():
    assert WRITE_ALARM == "disk-write"

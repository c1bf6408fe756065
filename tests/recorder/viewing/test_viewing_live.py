"""Live viewers of a stream whose fragments are written by hand."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from khupho.archive.events import (
    CloseCause,
    Event,
    FragmentCommitted,
    Listener,
    Segment,
    SegmentClosed,
    SegmentOpened,
)
from khupho.archive.following import Following
from khupho.media.formats import AudioFormat, Codec, VideoFormat
from khupho.recorder.viewing import live
from khupho.recorder.viewing.live import (
    Fragment,
    LiveHub,
    LiveViewer,
    Message,
    SegmentBegins,
    Skipped,
    TooManyViewersError,
)

HEAD = b"ftyp-moov-uuid"
VIDEO = VideoFormat(Codec.H264, (b"sps", b"pps"), 640, 360, None, 0, "avc1.64001f", b"")
SOUND = AudioFormat(Codec.PCMU, 8000, 1, "ulaw", b"")


class Writing:
    """Writes a stream's segments as the archive does, and tells of them."""

    def __init__(self, directory: Path) -> None:
        self.kept: list[Event] = []
        self.following = Following(self.kept.append)
        self.watched: list[tuple[str, str, bool]] = []
        self.before_watching: Callable[[], None] = lambda: None
        self._directory = directory
        self._segments = 0
        self.segment: Segment | None = None

    def watch(self, camera: str, stream: str, is_watched: bool) -> None:
        self.watched.append((camera, stream, is_watched))
        if is_watched:
            self.before_watching()

    def begin(self, track: VideoFormat | AudioFormat = VIDEO) -> Segment:
        self._segments += 1
        path = self._directory / f"{self._segments}.mp4"
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(file, HEAD)
        segment = Segment("gate", "main", path.name, self._segments * 1_000_000, track, file)
        segment.head_bytes = segment.written_bytes = len(HEAD)
        self.segment = segment
        self.following(SegmentOpened(segment, len(HEAD)))
        return segment

    def fragment(self, data: bytes, *, is_key: bool = False) -> None:
        segment = self.segment
        assert segment is not None
        offset = segment.written_bytes
        os.pwrite(segment.file, data, offset)
        segment.written_bytes += len(data)
        if is_key:
            segment.newest_key_offset = offset
        self.following(
            FragmentCommitted(
                segment, offset, data[:1], 0, 40_000, len(data), 1, int(is_key), 0, False, False
            )
        )

    def end(self) -> None:
        segment = self.segment
        assert segment is not None
        os.close(segment.file)
        segment.file = -1
        self.following(SegmentClosed(segment, CloseCause.AGE, 0, segment.written_bytes))
        self.segment = None


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    made = Writing(tmp_path)
    yield made
    if made.segment is not None:
        os.close(made.segment.file)


def scene(play: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await play()

    asyncio.run(run())


async def waiting(viewer: LiveViewer) -> list[Message]:
    """All that waits for a viewer."""
    found: list[Message] = []
    while (message := await viewer.next(0)) is not None:
        found.append(message)
    return found


def data_of(messages: list[Message]) -> list[bytes]:
    return [message.data for message in messages if isinstance(message, Fragment)]


def test_who_comes_gets_the_running_group_and_then_each_picture(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        for data, is_key in ((b"K1", True), (b"p1", False), (b"K2", True), (b"p2", False)):
            writing.fragment(data, is_key=is_key)
        viewer = hub.join("gate", "main")
        writing.fragment(b"p3")
        messages = await waiting(viewer)
        begins = messages[0]
        assert isinstance(begins, SegmentBegins)
        assert begins.beginning == HEAD
        assert begins.mime == 'video/mp4; codecs="avc1.64001f"'
        assert (begins.width, begins.height, begins.start_utc_us) == (640, 360, 1_000_000)
        assert messages[1:] == [Fragment(b"K2p2", True), Fragment(b"p3", False)]
        assert writing.watched == [("gate", "main", True)]

    scene(play)


def test_what_the_session_reads_at_once_is_shown_at_once(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        writing.fragment(b"K1", is_key=True)
        writing.before_watching = lambda: writing.fragment(b"p1")
        assert data_of(await waiting(hub.join("gate", "main"))) == [b"K1p1"]

    scene(play)


def test_before_the_first_key_frame_nothing_is_shown(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        early = hub.join("gate", "main")
        writing.begin()
        writing.fragment(b"p0")
        late = hub.join("gate", "main")
        assert await waiting(early) == await waiting(late) == []
        writing.fragment(b"K1", is_key=True)
        for viewer in (early, late):
            assert data_of(await waiting(viewer)) == [b"K1"]

    scene(play)


def test_a_new_segment_is_told_before_its_pictures(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        viewer = hub.join("gate", "main")
        for _ in range(2):
            writing.begin()
            writing.fragment(b"K", is_key=True)
            writing.fragment(b"p")
            writing.end()
        kinds = [type(message) for message in await waiting(viewer)]
        assert kinds == [SegmentBegins, Fragment, Fragment] * 2
        # In between a viewer who comes waits for the next one.
        late = hub.join("gate", "main")
        assert await waiting(late) == []
        writing.begin()
        writing.fragment(b"K3", is_key=True)
        assert data_of(await waiting(late)) == [b"K3"]

    scene(play)


def test_who_is_slow_goes_on_at_a_key_frame_and_nobody_else_notices(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        monkeypatch.setattr(live, "MOST_WAITING_BYTES", 100)
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        slow, quick = hub.join("gate", "main"), hub.join("gate", "main")
        taken: list[Message] = []
        for index in range(30):
            writing.fragment(bytes([index]) * 10, is_key=index % 6 == 0)
            taken += await waiting(quick)
        assert [data[0] for data in data_of(taken)] == list(range(30))
        assert not any(isinstance(message, Skipped) for message in taken)
        messages = await waiting(slow)
        assert isinstance(messages[0], Skipped)
        assert isinstance(messages[1], SegmentBegins)
        first = messages[2]
        assert isinstance(first, Fragment)
        assert first.is_key
        numbers = [data[0] for data in data_of(messages)]
        assert numbers == list(range(numbers[0], 30))
        # It is not told of the segment again, nor that it skipped.
        writing.fragment(b"next")
        assert await waiting(slow) == [Fragment(b"next", False)]

    scene(play)


def test_a_picture_larger_than_all_that_may_wait_is_shown_all_the_same(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        monkeypatch.setattr(live, "MOST_WAITING_BYTES", 100)
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        viewer = hub.join("gate", "main")
        for _ in range(3):
            writing.fragment(b"K" * 500, is_key=True)
            assert data_of(await waiting(viewer)) == [b"K" * 500]

    scene(play)


def test_so_many_small_pictures_wait_and_no_more(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        viewer = hub.join("gate", "main")
        for _ in range(3 * live.MOST_WAITING):
            writing.fragment(b"K", is_key=True)
        assert len(await waiting(viewer)) <= live.MOST_WAITING + 2

    scene(play)


def test_what_cannot_be_read_back_is_a_skip(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        segment = writing.begin()
        viewer = hub.join("gate", "main")
        writing.fragment(b"K1", is_key=True)
        assert len(await waiting(viewer)) == 2
        # It is told of bytes that are not in the file.
        offset = segment.written_bytes
        writing.following(FragmentCommitted(segment, offset, b"", 0, 1, 50, 1, 0, 0, False, False))
        assert await waiting(viewer) == []
        segment.written_bytes += 50
        os.ftruncate(segment.file, segment.written_bytes)
        writing.fragment(b"p")
        assert await waiting(viewer) == []
        writing.fragment(b"K2", is_key=True)
        assert await waiting(viewer) == [Skipped(), Fragment(b"K2", True)]

    scene(play)


def test_sound_is_nothing_to_look_at(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin(SOUND)
        viewer = hub.join("gate", "main")
        writing.fragment(b"K1", is_key=True)
        assert await waiting(viewer) == []

    scene(play)


def test_the_last_one_who_leaves_puts_out_the_light(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        one, other = hub.join("gate", "main"), hub.join("gate", "main")
        assert hub.viewers == 2
        one.leave()
        one.leave()
        assert hub.viewers == 1
        assert writing.watched == [("gate", "main", True)]
        other.leave()
        assert hub.viewers == 0
        assert writing.watched == [("gate", "main", True), ("gate", "main", False)]
        writing.fragment(b"K1", is_key=True)
        assert await waiting(one) == await waiting(other) == []
        assert len(writing.kept) == 2  # the keeper is told of everything, whoever watches

    scene(play)


def test_a_viewer_who_waits_is_woken(writing: Writing) -> None:
    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        viewer = hub.join("gate", "main")
        next_one = asyncio.ensure_future(viewer.next(5))
        await asyncio.sleep(0)
        writing.fragment(b"K1", is_key=True)
        assert isinstance(await next_one, SegmentBegins)

    scene(play)


def test_pictures_that_another_thread_writes_come_in_order(writing: Writing) -> None:
    """While the disk is slow, the spill's thread writes and tells."""

    async def play() -> None:
        hub = LiveHub(writing.following, writing.watch)
        writing.begin()
        viewer = hub.join("gate", "main")

        def write() -> None:
            for index in range(200):
                writing.fragment(b"%03d" % index, is_key=index % 10 == 0)

        thread = threading.Thread(target=write)
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        await asyncio.sleep(0)
        assert data_of(await waiting(viewer)) == [b"%03d" % index for index in range(200)]

    scene(play)


def test_only_so_many_fit(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(live, "MOST_VIEWERS", 2)
        hub = LiveHub(writing.following, writing.watch)
        viewer = hub.join("gate", "main")
        hub.join("yard", "main")
        with pytest.raises(TooManyViewersError):
            hub.join("gate", "main")
        viewer.leave()
        hub.join("gate", "main")

    scene(play)


def test_followers_of_one_stream_hear_nothing_of_another(writing: Writing) -> None:
    heard: list[Event] = []
    follower: Listener = heard.append
    writing.following.follow("yard", "main", follower)
    segment = writing.begin()
    assert heard == []
    assert writing.following.being_written("gate", "main") is segment
    assert writing.following.being_written("yard", "main") is None
    writing.end()
    assert writing.following.being_written("gate", "main") is None

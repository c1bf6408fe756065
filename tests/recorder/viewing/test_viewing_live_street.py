"""Live from the simulated street through the archive: what viewers get is what the file holds."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keeping_room import source
from recorder_street import Street, street

from khupho.archive.archive import Archive
from khupho.archive.segments.reader import read_segment
from khupho.clock import SystemClock
from khupho.media.boxes import box_at
from khupho.recorder.engine import Engine
from khupho.recorder.session import SessionOpener
from khupho.recorder.viewing.live import Fragment, LiveHub, LiveViewer, Message, SegmentBegins


@pytest.fixture(scope="module")
def one(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    with street(clip_file(), "--count", "2", "--sub-video", str(clip_file("h264", "160x120"))) as s:
        yield s


@asynccontextmanager
async def recording(street: Street, root: Path, *streams: str) -> AsyncIterator[LiveHub]:
    clock = SystemClock()
    root.mkdir()  # noqa: ASYNC240 - once, before anything runs
    archive = Archive.open(root, key=Ed25519PrivateKey.generate(), clock=clock)
    engine = Engine(SessionOpener(clock, archive.arrival, archive.writer), clock)
    await engine.start()
    await engine.apply([source(street, 1, stream=stream) for stream in streams])
    try:
        yield LiveHub(archive.following, engine.watch)
    finally:
        await engine.stop()
        assert await asyncio.to_thread(archive.close)


async def collect(viewer: LiveViewer, seconds: float) -> list[Message]:
    found = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        message = await viewer.next(left)
        if message is not None:
            found.append(message)
    return found


def film(messages: list[Message]) -> bytes:
    """What a player would have of one segment."""
    begins = [message for message in messages if isinstance(message, SegmentBegins)]
    assert len(begins) == 1
    assert isinstance(messages[0], SegmentBegins)
    return messages[0].beginning + b"".join(
        message.data for message in messages if isinstance(message, Fragment)
    )


def fragments_in(data: bytes) -> int:
    count, at = 0, 0
    while at < len(data):
        found = box_at(data[at : at + 16], at, len(data))
        count += found.type == b"moof"
        at = found.end
    return count


def test_each_picture_comes_by_itself_and_all_of_it_plays(one: Street, tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "archive"
        async with recording(one, root, "main") as hub:
            await asyncio.sleep(2.5)
            viewer = hub.join("c1", "main")
            messages = await collect(viewer, 3)
            viewer.leave()
            assert isinstance(messages[0], SegmentBegins)
            data = film(messages)
            singles = [m for m in messages if isinstance(m, Fragment)][1:]
            assert len(singles) > 60
            assert all(fragments_in(single.data) == 1 for single in singles)
        with av.open(io.BytesIO(data)) as container:
            pictures = [frame.pts for frame in container.decode(video=0)]
        assert len(pictures) >= len(singles)
        assert len(set(pictures)) == len(pictures)
        held = max((root / "c1" / "main").glob("*/*.mp4")).read_bytes()
        assert held.startswith(messages[0].beginning)
        for single in singles:
            assert single.data in held

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_stream_that_nobody_watches_any_more_gathers_again(one: Street, tmp_path: Path) -> None:
    async def scene() -> None:
        root = tmp_path / "archive"
        async with recording(one, root, "main", "sub") as hub:
            await asyncio.sleep(2.5)
            main, sub = hub.join("c1", "main"), hub.join("c1", "sub")
            for viewer in (main, sub):
                begins = (await collect(viewer, 0.6))[0]
                assert isinstance(begins, SegmentBegins)
                assert begins.width == (320 if viewer is main else 160)
                viewer.leave()
            await asyncio.sleep(3)
        root_fd = os.open(root, os.O_RDONLY)
        try:
            for stream in ("main", "sub"):
                path = max((root / "c1" / stream).glob("*/*.mp4"))
                segment = read_segment(root_fd, str(path.relative_to(root)))
                frames = [len(fragment.header.sizes) for fragment in segment.fragments]
                assert frames.count(1) >= 8  # while it was watched
                assert max(frames[-4:]) >= 8  # before a key frame, or at the end, there may be few
        finally:
            os.close(root_fd)

    asyncio.run(asyncio.wait_for(scene(), 60))

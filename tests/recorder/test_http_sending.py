"""Files on their way: closed once, whatever becomes of the answer; ended with the session."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from khupho.recorder.accounts.roles import Person, Role
from khupho.recorder.http.ranges import ByteRange
from khupho.recorder.http.sending import CHUNK_BYTES, SentFile

PERSON = Person(1, "Hoa", Role.OWNER, None, True, 7, 0)
DATA = bytes(range(256)) * 4096


class Scene:
    """A file in memory, and a session that can be ended."""

    def __init__(self, size_bytes: int = len(DATA)) -> None:
        self.closed = 0
        self.end: Callable[[], None] = lambda: None
        self.forgotten = 0
        self.held = size_bytes
        accounts = SimpleNamespace(watch=self._watch)
        self.door: Any = SimpleNamespace(accounts=accounts)

    def _watch(self, session: int, told: Callable[[], None]) -> Callable[[], None]:
        assert session == 7
        self.end = told

        def forget() -> None:
            self.forgotten += 1

        return forget

    def file(self) -> SentFile:
        async def read(offset: int, size: int) -> bytes:
            return DATA[offset : min(offset + size, self.held)]

        def close() -> None:
            self.closed += 1

        return SentFile(len(DATA), read, close)


def test_a_part_comes_whole_and_then_the_file_is_closed() -> None:
    async def run() -> None:
        scene = Scene()
        part = ByteRange(1000, len(DATA) - 3)
        pieces = [piece async for piece in scene.file().pieces(part, scene.door, PERSON)]
        assert b"".join(pieces) == DATA[1000:-3]
        assert max(map(len, pieces)) == CHUNK_BYTES
        assert (scene.closed, scene.forgotten) == (1, 1)

    asyncio.run(run())


def test_the_end_of_the_session_is_the_end_of_the_bytes() -> None:
    async def run() -> None:
        scene = Scene()
        pieces = []
        async for piece in scene.file().pieces(ByteRange(0, len(DATA)), scene.door, PERSON):
            pieces.append(piece)
            scene.end()
        assert pieces == [DATA[:CHUNK_BYTES]]
        assert (scene.closed, scene.forgotten) == (1, 1)

    asyncio.run(run())


def test_a_file_that_is_shorter_than_it_was_ends_early() -> None:
    async def run() -> None:
        scene = Scene(size_bytes=1000)
        whole = ByteRange(0, len(DATA))
        pieces = [piece async for piece in scene.file().pieces(whole, scene.door, PERSON)]
        assert b"".join(pieces) == DATA[:1000]
        assert scene.closed == 1

    asyncio.run(run())


def test_an_answer_that_was_never_begun_leaves_nothing_open() -> None:
    async def run() -> None:
        scene = Scene()
        pieces = scene.file().pieces(ByteRange(0, 10), scene.door, PERSON)
        del pieces
        gc.collect()
        assert (scene.closed, scene.forgotten) == (1, 0)

    asyncio.run(run())


def test_it_is_closed_once() -> None:
    scene = Scene()
    file = scene.file()
    file.close()
    file.close()
    del file
    gc.collect()
    assert scene.closed == 1

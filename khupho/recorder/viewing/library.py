"""The archive's reading side for the loop: threads read, the loop waits for nothing but their answers.

One thread answers questions about footage, two read bytes: a clip on a slow disk keeps nobody from seeking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from khupho.archive.archive_reader import ArchiveReader
from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.units import US_PER_S

Answer = TypeVar("Answer")
_MOST_WAITING = 200
_FRESH_US = 5 * US_PER_S
"""A reader is opened anew after so long: the catalog may have been made anew meanwhile."""


class LibraryBusyError(KhuphoError):
    """More is asked for than is answered."""


class Library:
    """Answers questions about footage, one after the other."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="library")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="footage")
        self._reader: ArchiveReader | None = None
        self._opened_us = 0
        self._waiting = 0

    async def ask(self, question: Callable[[ArchiveReader], Answer]) -> Answer:
        """Have a question answered in the thread. Raises what it raises, and `LibraryBusyError`."""
        if self._waiting >= _MOST_WAITING:
            raise LibraryBusyError(
                "The recorder has too many questions to answer", advice="Try again in a moment"
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._answer, question)
        finally:
            self._waiting -= 1

    async def read(self, action: Callable[[], Answer]) -> Answer:
        """Have bytes of a file read."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, action)

    def _answer(self, question: Callable[[ArchiveReader], Answer]) -> Answer:
        now_us = self._clock.mono_us()
        if self._reader is not None and now_us - self._opened_us > _FRESH_US:
            self._close_reader()
        if self._reader is None:
            self._reader = ArchiveReader(self._root)
            self._opened_us = now_us
        return question(self._reader)

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Answer nothing more."""
        self._thread.submit(self._close_reader)
        self._thread.shutdown(wait=True)
        self._readers.shutdown(wait=True)

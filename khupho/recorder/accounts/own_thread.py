"""Slow work off the loop: one thread a kind, in order, with an end to what may wait."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from khupho.recorder.accounts.account_errors import AccountError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_running: set[asyncio.Task[Any]] = set()
"""The loop itself keeps only weak references to tasks."""


class OwnThread:
    """One thread that carries out work in the order in which it was given."""

    def __init__(self, name: str, most_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(most_waiting + 1)  # one more runs

    async def run(self, work: Callable[[], _T]) -> _T:
        """What `work` returns or raises. Raises `AccountError` ("busy") where too much waits."""
        if not self._places.acquire(blocking=False):
            raise AccountError(
                "busy",
                "Too many people sign in at this moment",
                advice="Try again in a few seconds",
                retry_after_s=5,
            )
        try:
            future = self._executor.submit(work)
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def call(self, work: Callable[[], _T]) -> _T:
        """As `run`, for whoever has no loop; waits."""
        return self._executor.submit(work).result()

    def give(self, work: Callable[[], object]) -> None:
        """Have it done in its turn; nobody waits for it, and it tells of its own failures."""
        self._executor.submit(work)

    def close(self) -> None:
        """Returns when all that was given is done."""
        self._executor.shutdown(wait=True)


def to_its_end(
    method: Callable[_P, Coroutine[Any, Any, _T]],
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Whoever goes away doesn't stop the work half-way.

    A guesser who hangs up must still be counted, and what is in the file must also be in memory.
    """

    @functools.wraps(method)
    async def whole(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        task = asyncio.ensure_future(method(*args, **kwargs))
        _running.add(task)
        task.add_done_callback(_forget)
        return await asyncio.shield(task)

    return whole


def _forget(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # seen: nobody may be left to be told

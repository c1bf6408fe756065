"""Writes that a slow disk would make the loop wait for, done by a thread in the order they were asked for.

Normally the loop writes itself, which is quickest. Once a write took long, everything that is written to
the archive's disk goes through this queue, until the disk has been quick for a while and nothing waits.
The queue is bounded by bytes: what doesn't fit any more is lost, and told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum

from khupho.units import US_PER_MS, US_PER_S

SLOW_US = 300 * US_PER_MS
"""After a call of the disk that took longer, the loop makes none itself."""
CALM_US = 60 * US_PER_S
"""After so long without such a call, and with nothing waiting, it does again."""
MAX_BYTES = 256 << 20
_OVERHEAD_BYTES = 1_000
_LOOK_S = 1.0


class Put(Enum):
    """What became of an action."""

    QUEUED = 1
    FULL = 2
    NOT_NEEDED = 3
    """The disk is quick: do it yourself."""


class Spill:
    """The queue and its thread, which lives only while the disk is slow."""

    def __init__(self, mono_us: Callable[[], int], most_bytes: int = MAX_BYTES) -> None:
        self.is_active = False
        """To be asked first, since that costs nothing; `put` has the last word."""
        self._mono_us = mono_us
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._actions: deque[tuple[Callable[[], None], int]] = deque()
        self._waiting_bytes = 0
        self._slow_mono_us = 0
        self._is_closing = False
        self.thread: threading.Thread | None = None
        """The newest one."""

    @property
    def waiting_bytes(self) -> int:
        """In memory, not yet written."""
        return self._waiting_bytes

    def note(self, took_us: int) -> None:
        """A call of the disk took so long."""
        if took_us < SLOW_US:
            return
        with self._changed:
            self._slow_mono_us = self._mono_us()
            if not self.is_active:
                self.is_active = True
                self.thread = threading.Thread(target=self._run, name="archive-spill", daemon=True)
                self.thread.start()

    def put(self, action: Callable[[], None], size_bytes: int, *, must_fit: bool = False) -> Put:
        """Have the action done after all before it. It must handle its own errors.

        `must_fit` is for what is small and ends something.
        """
        size_bytes += _OVERHEAD_BYTES
        with self._changed:
            if not self.is_active:
                return Put.NOT_NEEDED
            if self._waiting_bytes + size_bytes > self._most_bytes and not must_fit:
                return Put.FULL
            self._waiting_bytes += size_bytes
            self._actions.append((action, size_bytes))
            self._changed.notify_all()
            return Put.QUEUED

    def drain(self, patience_s: float) -> bool:
        """Wait until nothing waits any more, but no longer than that; whether it came to that."""
        with self._changed:
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting_bytes, patience_s)

    def close(self) -> None:
        """Let the thread end once nothing waits."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._actions:
                    is_calm = self._mono_us() - self._slow_mono_us >= CALM_US
                    if is_calm or self._is_closing:
                        self.is_active = False
                        self._changed.notify_all()
                        return
                    self._changed.wait(_LOOK_S)
                action, size_bytes = self._actions.popleft()
            action()
            with self._changed:
                self._waiting_bytes -= size_bytes
                if not self._waiting_bytes:
                    self._changed.notify_all()

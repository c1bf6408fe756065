"""What is recorded of today, camera by camera: asked of the catalog by a thread, while somebody looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from khupho.archive.catalog.day_minutes import Minute
from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.recorder.http.status import DayMinutes, LocalDay
from khupho.units import US_PER_MINUTE, US_PER_S

LOOKED_AT_US = 30 * US_PER_S
REFRESH_US = 10 * US_PER_S
_SETTLED_MINUTES = 3
"""Minutes so old don't change any more, but for deletion."""
_WHOLE_US = 20 * US_PER_MINUTE
"""So often the whole day is asked again: deletion takes old minutes away."""
_FULL_US = 59 * US_PER_S

logger = logging.getLogger("khupho.recorder.http.today")


class MinuteLedger(Protocol):
    """Where minutes are read from; called by one thread at a time. Raises `KhuphoError`."""

    def minutes(
        self, camera: str, stream: str, first_minute: int, end_minute: int
    ) -> Iterable[Minute]: ...


def runs_of(minutes: Iterable[Minute], first_minute: int, now_minute: int) -> DayMinutes:
    """Neighbouring minutes of one kind as runs, counted from the day's first.

    The present minute and the one before aren't judged: their rest is still on its way to the disk.
    """
    runs: list[tuple[int, int, str]] = []
    covered_us = 0
    for minute in sorted(minutes):
        covered_us += minute.covered_us
        if minute.covered_us <= 0:
            continue
        at = minute.minute - first_minute
        is_judged = minute.minute < now_minute - 1
        kind = "part" if is_judged and minute.covered_us < _FULL_US else "full"
        if minute.damaged_us > 0:
            kind = "hurt"
        if runs and runs[-1][1] == at and runs[-1][2] == kind:
            runs[-1] = (runs[-1][0], at + 1, kind)
        else:
            runs.append((at, at + 1, kind))
    return DayMinutes(tuple(runs), covered_us)


class Today:
    """Keeps today's minutes of each camera's main stream, as new as somebody needs them."""

    def __init__(self, ledger: MinuteLedger, clock: Clock) -> None:
        self.by_camera: dict[str, DayMinutes] = {}
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, dict[int, Minute]] = {}
        self._day_start_us = 0
        self._looked_us: int | None = None
        self._whole_us = 0
        self._due_us = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="today")

    def looked_at(self) -> None:
        """Somebody reads the page."""
        self._looked_us = self._clock.mono_us()

    async def refresh(self, cameras: Sequence[str]) -> None:
        """Called about once a second: ask again if it is time and somebody looks."""
        now_us = self._clock.mono_us()
        if self._looked_us is None or now_us - self._looked_us > LOOKED_AT_US:
            return
        if now_us < self._due_us:
            return
        self._due_us = now_us + REFRESH_US
        loop = asyncio.get_running_loop()
        try:
            self.by_camera = await loop.run_in_executor(self._worker, self.read, tuple(cameras))
        except KhuphoError as error:
            logger.warning("Today's minutes cannot be read: %s", error, extra={"cause": "today"})

    def read(self, cameras: Sequence[str]) -> dict[str, DayMinutes]:
        """Ask the ledger. Raises `KhuphoError`."""
        utc_us, mono_us = self._clock.utc_us(), self._clock.mono_us()
        day = LocalDay.of(utc_us)
        first, now = day.start_utc_us // US_PER_MINUTE, utc_us // US_PER_MINUTE
        if day.start_utc_us != self._day_start_us or mono_us - self._whole_us >= _WHOLE_US:
            self._known.clear()
            self._day_start_us, self._whole_us = day.start_utc_us, mono_us
        for gone in self._known.keys() - set(cameras):
            del self._known[gone]
        made = {}
        for camera in cameras:
            known = self._known.setdefault(camera, {})
            begin = max(first, now - _SETTLED_MINUTES) if known else first
            known.update(
                (minute.minute, minute)
                for minute in self._ledger.minutes(camera, "main", begin, now + 1)
            )
            made[camera] = runs_of(known.values(), first, now)
        return made

    def close(self) -> None:
        """Take no more work. A question that hangs in a dead disk is left behind."""
        self._worker.shutdown(wait=False, cancel_futures=True)

"""The newest still of each camera, for the page: made while somebody looks, and by another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from khupho.clock import Clock
from khupho.units import US_PER_S

FRESH_US = 3 * US_PER_S
"""A still so young is shown again instead of looking for a newer one."""
IDLE_US = 60 * US_PER_S
"""Without a question for so long the process ends and gives its memory back."""
PATIENCE_S = 5.0
_MOST_WAITING = 64
_RESTS = 3
"""After each picture the process rests so many times as long as it took: at most a quarter of a core."""

logger = logging.getLogger("khupho.recorder.stills")


@dataclass(frozen=True, slots=True)
class Still:
    """A picture as JPEG."""

    taken_utc_us: int
    jpeg: bytes


@dataclass(slots=True)
class _Kept:
    still: Still | None
    looked_us: int


class Stills:
    """Hands out stills. One process decodes, one picture at a time."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None
        self._asked_us = 0
        self._rest_until_us = 0

    async def newest(self, camera: str) -> Still | None:
        """The newest still of a camera on the list; None if there is none to be had now."""
        kept = self._kept.get(camera)
        if kept is not None and self._clock.mono_us() - kept.looked_us < FRESH_US:
            return kept.still
        if self._waiting >= _MOST_WAITING:
            return kept.still if kept else None
        self._waiting += 1
        try:
            async with self._turn:
                return await self._look(camera)
        finally:
            self._waiting -= 1

    async def _look(self, camera: str) -> Still | None:
        kept = self._kept.get(camera)
        if kept is not None and self._clock.mono_us() - kept.looked_us < FRESH_US:
            return kept.still  # somebody else asked for it meanwhile
        old = kept.still if kept else None
        await asyncio.sleep(max(0, self._rest_until_us - self._clock.mono_us()) / US_PER_S)
        began_us = self._clock.mono_us()
        self._asked_us = began_us
        still = old
        try:
            async with asyncio.timeout(PATIENCE_S):
                still = await self._ask(camera, old)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            logger.warning(
                "No picture could be made: %s", type(error).__name__,
                extra={"camera": camera, "cause": "still"},
            )  # fmt: skip
            await self._end()
        except BaseException:
            await self._end()  # an answer that nobody took would be taken for the next one's
            raise
        now_us = self._clock.mono_us()
        self._rest_until_us = now_us + _RESTS * (now_us - began_us)
        self._kept[camera] = _Kept(still, now_us)
        return still

    async def _ask(self, camera: str, old: Still | None) -> Still | None:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "khupho.recorder.still_process", str(self._root),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            return old
        known_us = old.taken_utc_us if old else 0
        question = {"camera": camera, "known_utc_us": known_us}
        process.stdin.write(json.dumps(question).encode() + b"\n")
        await process.stdin.drain()
        head = json.loads(await process.stdout.readline())
        jpeg = await process.stdout.readexactly(head["size"])
        if jpeg:
            return Still(head["taken_utc_us"], jpeg)
        return old if old is not None and head["taken_utc_us"] == known_us else None

    async def forget(self, cameras: frozenset[str]) -> None:
        """Called now and then: drop what isn't on the list, end the process if nobody looks."""
        for camera in self._kept.keys() - cameras:
            del self._kept[camera]
        idle = self._clock.mono_us() - self._asked_us > IDLE_US
        if self._process is not None and idle and not self._turn.locked():
            self._kept.clear()
            await self._end()

    async def close(self) -> None:
        """End the process."""
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()

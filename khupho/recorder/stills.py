"""Stills: the newest of each camera, and any key frame. Made while somebody looks, by another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.recorder.newest_picture import KeyFrame
from khupho.units import US_PER_S

FRESH_US = 3 * US_PER_S
"""A still so young is shown again instead of looking for a newer one."""
IDLE_US = 60 * US_PER_S
"""Without a question for so long the process ends and gives its memory back."""
PATIENCE_S = 5.0
_MOST_WAITING = 64
_RESTS = 3
"""After each picture the process rests so many times as long as it took: at most a quarter of a core."""

_MOST_JPEG_BYTES = 64 << 20
_NO_ANSWER = (TimeoutError, OSError, ValueError, KeyError, asyncio.IncompleteReadError)

logger = logging.getLogger("khupho.recorder.stills")


class StillError(KhuphoError):
    """No picture can be made now."""


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

    async def decode(self, frame: KeyFrame, width_px: int) -> bytes | None:
        """A coded picture as JPEG, at most so wide, after those who asked before; None if it cannot be
        decoded. Raises `StillError` where the process died or hung over it."""
        async with self._turn:
            try:
                _, jpeg = await self._ask(_decode_question(frame, width_px))
            except _NO_ANSWER as error:
                raise StillError(
                    f"No picture could be made: {type(error).__name__}",
                    advice="Try again; the recording isn't touched by it",
                ) from error
        return jpeg or None

    async def _look(self, camera: str) -> Still | None:
        kept = self._kept.get(camera)
        if kept is not None and self._clock.mono_us() - kept.looked_us < FRESH_US:
            return kept.still  # somebody else asked for it meanwhile
        old = kept.still if kept else None
        known_us = old.taken_utc_us if old else 0
        question = json.dumps({"camera": camera, "known_utc_us": known_us}).encode() + b"\n"
        still = old
        try:
            taken_us, jpeg = await self._ask(question)
        except _NO_ANSWER as error:
            logger.warning(
                "No picture could be made: %s", type(error).__name__,
                extra={"camera": camera, "cause": "still"},
            )  # fmt: skip
        else:
            if jpeg:
                still = Still(taken_us, jpeg)
            elif taken_us != known_us:
                still = None
        self._kept[camera] = _Kept(still, self._clock.mono_us())
        return still

    async def _ask(self, question: bytes) -> tuple[int, bytes]:
        """The process's answer, after its rest: when the picture was taken, and the JPEG. Needs the turn.

        Raises one of `_NO_ANSWER`, and ends the process then.
        """
        await asyncio.sleep(max(0, self._rest_until_us - self._clock.mono_us()) / US_PER_S)
        began_us = self._asked_us = self._clock.mono_us()
        try:
            async with asyncio.timeout(PATIENCE_S):
                answered = await self._converse(question)
        except BaseException:
            await self._end()  # an answer that nobody took would be taken for the next one's
            raise
        finally:
            now_us = self._clock.mono_us()
            self._rest_until_us = now_us + _RESTS * (now_us - began_us)
        return answered

    async def _converse(self, question: bytes) -> tuple[int, bytes]:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "khupho.recorder.still_process", str(self._root),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        process.stdin.write(question)
        await process.stdin.drain()
        head = json.loads(await process.stdout.readline())
        size_bytes = int(head["size"])
        if not 0 <= size_bytes <= _MOST_JPEG_BYTES:
            raise ValueError(f"a picture of {size_bytes} bytes")
        jpeg = await process.stdout.readexactly(size_bytes)
        return int(head.get("taken_utc_us", 0)), jpeg

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


def _decode_question(frame: KeyFrame, width_px: int) -> bytes:
    asked = {
        "sample_entry": frame.format.sample_entry.hex(),
        "size": len(frame.data),
        "width_px": width_px,
    }
    return json.dumps(asked).encode() + b"\n" + frame.data

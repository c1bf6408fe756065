"""An engine for tests, whose writers keep everything they are handed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from recorder_street import Street

from khupho.archive.events import Arrival, CloseCause
from khupho.clock import SystemClock
from khupho.media.samples import Sample, SampleBatch
from khupho.recorder.engine import Engine
from khupho.recorder.session import SessionOpener
from khupho.recorder.snapshot import StreamSnapshot
from khupho.recorder.source import SourceConfig

PATIENCE_S = 40.0
CLOCK = SystemClock()


class Kept:
    """A writer that keeps samples and a hash of each one's bytes."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.hashes: list[str] = []
        self.closed: list[CloseCause] = []
        self.breaks: list[int] = []
        """How many samples there were at each close."""

    def write(self, batch: SampleBatch, arrival: Arrival) -> None:
        data = b"".join(batch.pieces)
        assert len(data) == batch.size_bytes == sum(sample.size_bytes for sample in batch.samples)
        at = 0
        for sample in batch.samples:
            self.hashes.append(hashlib.sha256(data[at : at + sample.size_bytes]).hexdigest())
            at += sample.size_bytes
        self.samples += batch.samples

    def close(self, cause: CloseCause, now: Arrival) -> None:
        self.closed.append(cause)
        self.breaks.append(len(self.samples))


class KeepingRoom:
    """An engine whose writers keep everything."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Kept] = {}
        opener = SessionOpener(CLOCK, lambda: Arrival(CLOCK.utc_us(), CLOCK.mono_us()), self._of)
        self.engine = Engine(opener, CLOCK)

    def _of(self, camera: str, stream: str) -> Kept:
        return self.kept.setdefault((camera, stream), Kept())

    def stream(self, camera: str, stream: str = "main") -> StreamSnapshot:
        streams = {(one.camera, one.stream): one for one in self.engine.snapshot().streams}
        return streams[camera, stream]

    def frames(self, camera: str, stream: str = "main") -> int:
        return len(self.kept[camera, stream].samples) if (camera, stream) in self.kept else 0

    async def until(self, reached: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not reached():  # noqa: ASYNC110 - the street is another process
                await asyncio.sleep(0.02)


@asynccontextmanager
async def keeping_room(*configs: SourceConfig) -> AsyncIterator[KeepingRoom]:
    made = KeepingRoom()
    await made.engine.start()
    await made.engine.apply(configs)
    try:
        yield made
    finally:
        await made.engine.stop()


def source(street: Street, number: int = 1, stream: str = "main", **more: Any) -> SourceConfig:
    """What it takes to fetch a camera of the street, called `c1` and so on."""
    url = street.url(number, "sub" if stream == "sub" else "")
    return SourceConfig(f"c{number}", stream, url, **more)

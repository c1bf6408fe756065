"""A source opens, fails, waits and opens again; the engine leaves unchanged sources in peace."""

from __future__ import annotations

import asyncio
import random

from khupho.clock import ManualClock
from khupho.errors import Fault, KhuphoError
from khupho.recorder.engine import Engine
from khupho.recorder.measure import SessionMeasures
from khupho.recorder.snapshot import Phase
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_S


class FakeSession:
    def __init__(self) -> None:
        self.ended: asyncio.Future[KhuphoError] = asyncio.get_running_loop().create_future()
        self.measures = SessionMeasures()
        self.closed = False

    def sweep(self, mono_us: int) -> int:
        return mono_us + US_PER_S

    async def close(self) -> None:
        self.closed = True


def config(camera: str, url: str = "rtsp://127.0.0.1/a") -> SourceConfig:
    return SourceConfig(camera, "main", url, "user", "s3cret")


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_password_is_not_in_the_representation() -> None:
    assert "s3cret" not in repr(config("a"))


def test_apply_touches_only_what_changed() -> None:
    async def scene() -> None:
        opened: dict[str, list[FakeSession]] = {}

        async def opener(wanted: SourceConfig) -> FakeSession:
            opened.setdefault(wanted.camera, []).append(FakeSession())
            return opened[wanted.camera][-1]

        rng = random.Random(1)
        rng.randrange = lambda *_bounds: 0  # type: ignore[method-assign]
        engine = Engine(opener, ManualClock(), rng=rng)
        await engine.apply([config("a"), config("b"), config("c")])
        await turns()
        await engine.apply([config("a"), config("b", "rtsp://127.0.0.1/other")])
        await turns()
        assert [len(opened[camera]) for camera in "abc"] == [1, 2, 1]
        assert [opened[camera][0].closed for camera in "abc"] == [False, True, True]
        assert {stream.camera for stream in engine.snapshot().streams} == {"a", "b"}
        await engine.stop()
        assert opened["a"][0].closed
        assert engine.snapshot().streams == ()

    asyncio.run(scene())


def test_a_failing_camera_waits_and_tells_why_while_another_plays() -> None:
    async def scene() -> None:
        async def opener(wanted: SourceConfig) -> FakeSession:
            if wanted.camera == "bad":
                raise KhuphoError("refused", advice="ask", fault=Fault.CREDENTIALS)
            return FakeSession()

        rng = random.Random(1)
        rng.randrange = lambda *_bounds: 0  # type: ignore[method-assign]
        engine = Engine(opener, ManualClock(), rng=rng)
        await engine.apply([config("bad"), config("good")])
        await turns()
        streams = {stream.camera: stream for stream in engine.snapshot().streams}
        assert streams["good"].phase is Phase.PLAYING
        assert streams["good"].trouble is None
        assert streams["bad"].phase is Phase.WAITING
        trouble = streams["bad"].trouble
        assert trouble is not None
        assert (trouble.fault, trouble.what, trouble.advice) == (
            Fault.CREDENTIALS,
            "refused",
            "ask",
        )
        assert streams["bad"].next_try_utc_us is not None
        await engine.stop()

    asyncio.run(scene())

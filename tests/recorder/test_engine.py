"""The sweep: each session when it is due, whatever happens at another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from khupho.clock import ManualClock
from khupho.errors import KhuphoError
from khupho.recorder.engine import Engine
from khupho.recorder.measure import SessionMeasures
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_MS, US_PER_S

STEP_US = 50 * US_PER_MS


class SweptSession:
    """Wants to be swept again so long after each sweep; notes when it was."""

    def __init__(self, clock: ManualClock, interval_us: int) -> None:
        self.ended: asyncio.Future[KhuphoError] = asyncio.get_running_loop().create_future()
        self.measures = SessionMeasures()
        self.server = self.sign_in = ""
        self.media_packets = 0
        self.swept_us: list[int] = []
        self.fails = False
        self._clock = clock
        self._interval_us = interval_us

    def sweep(self, mono_us: int) -> int:
        self.swept_us.append(mono_us)
        if self.fails:
            raise RuntimeError("a bug")
        return mono_us + self._interval_us

    async def close(self) -> None:
        if not self.ended.done():
            self.ended.cancel()


def with_engine(act: Callable[[Engine, ManualClock, dict[str, SweptSession]], None]) -> None:
    """Sessions `slow` (every 750 ms) and `quick` (every 200 ms), swept by hand."""

    async def scene() -> None:
        clock = ManualClock()
        sessions: dict[str, SweptSession] = {}

        async def opener(wanted: SourceConfig) -> SweptSession:
            interval_us = {"slow": 750, "quick": 200}[wanted.camera] * US_PER_MS
            return sessions.setdefault(wanted.camera, SweptSession(clock, interval_us))

        rng = random.Random(1)
        rng.randrange = lambda *_bounds: 0  # type: ignore[method-assign]
        engine = Engine(opener, clock, rng=rng)
        await engine.apply(
            [SourceConfig(name, "main", "rtsp://127.0.0.1/a", "", "") for name in ("slow", "quick")]
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert set(sessions) == {"slow", "quick"}
        act(engine, clock, sessions)
        await engine.stop()

    asyncio.run(scene())


def sweep_for(engine: Engine, clock: ManualClock, duration_us: int) -> None:
    for _ in range(duration_us // STEP_US):
        engine._sweep(clock.mono_us())
        clock.advance(STEP_US)


def test_each_is_swept_when_it_is_due_and_not_before() -> None:
    def act(engine: Engine, clock: ManualClock, sessions: dict[str, SweptSession]) -> None:
        sweep_for(engine, clock, 3 * US_PER_S)
        assert sessions["slow"].swept_us == [n * 750_000 for n in range(4)]
        assert sessions["quick"].swept_us == [n * 200_000 for n in range(15)]

    with_engine(act)


def test_a_bug_at_one_session_keeps_none_from_being_swept() -> None:
    def act(engine: Engine, clock: ManualClock, sessions: dict[str, SweptSession]) -> None:
        sessions["quick"].fails = True
        sweep_for(engine, clock, 3 * US_PER_S)
        assert len(sessions["quick"].swept_us) == 3  # it comes again, each second
        assert len(sessions["slow"].swept_us) >= 3
        sessions["quick"].fails = False
        sweep_for(engine, clock, US_PER_S)
        assert len(sessions["quick"].swept_us) >= 3 + 4

    with_engine(act)


def test_what_has_ended_is_not_swept_again() -> None:
    def act(engine: Engine, clock: ManualClock, sessions: dict[str, SweptSession]) -> None:
        sweep_for(engine, clock, US_PER_S)
        before = len(sessions["quick"].swept_us)
        engine._live.discard(sessions["quick"])
        sweep_for(engine, clock, US_PER_S)
        assert len(sessions["quick"].swept_us) == before
        assert len(engine._due) == 1

    with_engine(act)

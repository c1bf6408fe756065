"""The engine: all sources of a recorder on one loop, and the clockwork that they share."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from heapq import heappop, heappush
from typing import Protocol

from khupho.clock import Clock
from khupho.recorder.logs import StreamLog
from khupho.recorder.snapshot import EngineSnapshot, StreamSnapshot, Trouble
from khupho.recorder.source import LiveSession, Source, SourceConfig
from khupho.units import US_PER_MS, US_PER_S

SWEEP_INTERVAL_US = 100 * US_PER_MS
"""How often it is seen which sessions are due: for a quiet socket to be read, or a timer to run. Waking costs
a virtual machine up to 0.2 ms, whatever there is to do then."""
_CHECK_INTERVAL_US = US_PER_S

_SPREAD_PER_SOURCE_US = 5 * US_PER_MS
_SPREAD_MAX_US = 5 * US_PER_S
"""At start the first calls of many cameras are spread over up to five seconds."""

_LATE_US = 2 * US_PER_S
"""A sweep this late means that something held the loop; it is worth a line in the log."""

logger = logging.getLogger("khupho.recorder.engine")


class SweptSession(LiveSession, Protocol):
    """A live session as the sweep sees it."""

    config: SourceConfig

    def sweep(self, mono_us: int) -> int:
        """Read if the socket stayed quiet, and run whatever timer is due. Returns when the next
        sweep is due at the latest."""
        ...

    def watch(self, is_watched: bool) -> None:
        """Somebody watches, or nobody any longer."""
        ...


SessionOpener = Callable[[SourceConfig], Awaitable[SweptSession]]


class Engine:
    """Keeps the set of sources that it is told to keep.

    `apply` may be called at any time with the whole wanted set: sources that did not change are not
    touched, so that no frame of theirs is lost.
    """

    def __init__(
        self,
        opener: SessionOpener,
        clock: Clock,
        *,
        alarms: Callable[[], Iterable[Trouble]] = tuple,
        rng: random.Random | None = None,
    ) -> None:
        self._opener = opener
        self._clock = clock
        self._alarms = alarms
        self._rng = rng or random.Random()
        self._sources: dict[tuple[str, str], Source] = {}
        self._live: set[SweptSession] = set()
        self._due: list[tuple[int, int, SweptSession]] = []
        """A heap: when each session's next sweep is due. Ended ones leave it then."""
        self._opened = 0
        self._watched: set[tuple[str, str]] = set()
        self._started_utc_us = clock.utc_us()
        self._sweeper: asyncio.Task[None] | None = None
        self._check_us = 0
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Begin the clockwork. Sources come with `apply`."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep_forever(), name="sweep")

    async def apply(self, configs: Iterable[SourceConfig]) -> None:
        """Make the running sources equal `configs`; the unchanged ones are left in peace."""
        async with self._lock:
            wanted = {config.key: config for config in configs}
            ending = [
                source for key, source in self._sources.items() if wanted.get(key) != source.config
            ]
            await asyncio.gather(*(source.stop() for source in ending))
            for source in ending:
                del self._sources[source.config.key]
            fresh = [config for key, config in wanted.items() if key not in self._sources]
            spread_us = min(_SPREAD_MAX_US, _SPREAD_PER_SOURCE_US * len(fresh))
            for config in fresh:
                self._begin(config, self._rng.randrange(spread_us + 1))

    def _begin(self, config: SourceConfig, first_wait_us: int) -> None:
        log = StreamLog(logger, config.camera, config.stream, self._clock)
        source = Source(config, self._open, self._clock, log, self._rng)
        self._sources[config.key] = source
        source.start(first_wait_us)

    async def _open(self, config: SourceConfig) -> SweptSession:
        session = await self._opener(config)
        self._live.add(session)
        if config.key in self._watched:
            session.watch(True)
        self._opened += 1
        heappush(self._due, (0, self._opened, session))
        session.ended.add_done_callback(lambda _ended: self._live.discard(session))
        return session

    async def stop(self) -> None:
        """End every source (each sends its TEARDOWN) and the clockwork."""
        async with self._lock:
            await asyncio.gather(*(source.stop() for source in self._sources.values()))
            self._sources.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    async def _sweep_forever(self) -> None:
        clock = self._clock
        due_us = clock.mono_us()
        while True:
            now_us = clock.mono_us()
            if now_us - due_us > _LATE_US:
                logger.warning(
                    "The loop was held for %.1f s",
                    (now_us - due_us) / US_PER_S,
                    extra={"cause": "late"},
                )
            self._sweep(now_us)
            due_us = max(due_us + SWEEP_INTERVAL_US, clock.mono_us())
            await asyncio.sleep((due_us - clock.mono_us()) / US_PER_S)

    def _sweep(self, now_us: int) -> None:
        try:
            due = self._due
            while due and due[0][0] <= now_us:
                _due_us, number, session = heappop(due)
                if session not in self._live:
                    continue
                next_us = now_us + US_PER_S
                try:
                    next_us = session.sweep(now_us)
                finally:
                    heappush(due, (next_us, number, session))
            if now_us >= self._check_us:
                self._check_us = now_us + _CHECK_INTERVAL_US
                for source in self._sources.values():
                    source.check()
        except Exception:
            # A bug met at one camera: without the clockwork all others would fall silent with it.
            logger.exception("A sweep failed", extra={"cause": "sweep"})

    def watch(self, camera: str, stream: str, is_watched: bool) -> None:
        """Somebody watches a stream, or nobody any longer: holds for its next sessions too."""
        key = camera, stream
        if is_watched:
            self._watched.add(key)
        else:
            self._watched.discard(key)
        for session in self._live:
            if session.config.key == key:
                session.watch(is_watched)

    def stream(self, camera: str, stream: str) -> StreamSnapshot | None:
        """How one stream stands; None where there is none."""
        source = self._sources.get((camera, stream))
        return source.snapshot() if source is not None else None

    def snapshot(self) -> EngineSnapshot:
        """How every stream stands at this moment."""
        return EngineSnapshot(
            taken_utc_us=self._clock.utc_us(),
            started_utc_us=self._started_utc_us,
            streams=tuple(source.snapshot() for source in self._sources.values()),
            alarms=tuple(self._alarms()),
        )

"""One source: a stream of one camera, kept flowing for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from khupho.clock import Clock
from khupho.errors import Fault, KhuphoError
from khupho.recorder.backoff import Backoff
from khupho.recorder.camera_url import redact
from khupho.recorder.logs import StreamLog
from khupho.recorder.measure import SessionMeasures
from khupho.recorder.snapshot import Phase, StreamSnapshot, Trouble
from khupho.units import US_PER_S

_STABLE_US = 20 * US_PER_S
"""Media must flow this long before a failure counts as a new one: a camera that dies after two
seconds each time is not hammered."""

logger = logging.getLogger("khupho.recorder.source")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """What is needed to fetch one stream. Two equal ones need no reconnect."""

    camera: str
    stream: str
    """`main` or `sub`."""
    url: str = field(repr=False)
    """RTSP address; what the device wants inside it may be a password."""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    transport: str = "auto"
    """`auto` (TCP, then UDP), `tcp` or `udp`."""
    audio: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.camera, self.stream


class LiveSession(Protocol):
    """What a source needs of a connection that plays."""

    ended: asyncio.Future[KhuphoError]
    measures: SessionMeasures

    async def close(self) -> None: ...


Sleep = Callable[[float], Awaitable[None]]
Opener = Callable[[SourceConfig], Awaitable[LiveSession]]


class Source:
    """Runs one source: open, watch until it ends, wait, open again. Never gives up by itself."""

    def __init__(
        self,
        config: SourceConfig,
        opener: Opener,
        clock: Clock,
        log: StreamLog,
        rng: random.Random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.config = config
        self.session: LiveSession | None = None
        self._opener = opener
        self._clock = clock
        self._log = log
        self._sleep = sleep
        self._backoff = Backoff(rng)
        self._phase = Phase.CONNECTING
        self._since_utc_us = clock.utc_us()
        self._trouble: Trouble | None = None
        self._next_try_utc_us: int | None = None
        self._connects = 0
        self._last = SessionMeasures()
        self._task: asyncio.Task[None] | None = None

    def start(self, first_wait_us: int = 0) -> None:
        """Begin. `first_wait_us` spreads the first calls of many cameras."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(first_wait_us), name=f"{self.config.camera}/{self.config.stream}"
        )

    async def stop(self) -> None:
        """End it: TEARDOWN is sent, the connection closed. Takes at most about two seconds."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._enter(Phase.STOPPED)

    async def _run(self, first_wait_us: int) -> None:
        await self._sleep(first_wait_us / US_PER_S)
        while True:
            self._enter(Phase.CONNECTING)
            failure = await self._play_once()
            wait_us = self._backoff.wait_us(failure.fault)
            self._report(failure)
            self._enter(Phase.WAITING)
            self._next_try_utc_us = self._clock.utc_us() + wait_us
            await self._sleep(wait_us / US_PER_S)
            self._next_try_utc_us = None

    async def _play_once(self) -> KhuphoError:
        """Connect and play until it fails; the failure is the answer."""
        self._connects += 1
        try:
            session = await self._opener(self.config)
        except KhuphoError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug met by one camera must not end its recording
            return unexpected(error, self.config)
        began_us = self._clock.mono_us()
        self.session = session
        self._enter(Phase.PLAYING)
        try:
            # Shielded: stopping the source cancels the waiting, not the session's own end.
            failure = await asyncio.shield(session.ended)
        finally:
            self.session = None
            self._last = session.measures
            await session.close()
        if session.measures.frames and self._clock.mono_us() - began_us >= _STABLE_US:
            self._backoff.succeeded()
        return failure

    def check(self) -> None:
        """Called now and then: an old trouble is over once frames arrive."""
        if self._trouble is not None and self.session is not None and self.session.measures.frames:
            self._log.info("recovered", "The stream flows again")
            self._trouble = None

    def _report(self, failure: KhuphoError) -> None:
        since = self._trouble.since_utc_us if self._trouble else self._clock.utc_us()
        self._trouble = Trouble(
            failure.fault,
            redact(failure.what),
            redact(failure.where),
            redact(failure.advice),
            since,
        )
        self._log.warning(failure.fault.value, str(failure))

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since_utc_us = self._clock.utc_us()

    def snapshot(self) -> StreamSnapshot:
        """How it stands at this moment."""
        measures = self.session.measures if self.session is not None else self._last
        playing = self._phase is Phase.PLAYING
        return StreamSnapshot(
            camera=self.config.camera,
            stream=self.config.stream,
            phase=self._phase,
            since_utc_us=self._since_utc_us,
            trouble=self._trouble,
            transport=measures.transport if playing else "",
            codec=measures.codec,
            width_px=measures.width_px,
            height_px=measures.height_px,
            declared_fps=measures.declared_fps,
            measured_fps=measures.fps if playing else 0.0,
            bits_per_s=measures.bits_per_s if playing else 0,
            frames=measures.frames,
            lost_packets=measures.lost_packets,
            jitter_us=measures.jitter_us,
            key_interval_us=measures.key_interval_us,
            drift_us=measures.drift_us,
            drift_ppm=measures.drift_ppm,
            last_frame_utc_us=measures.last_frame_utc_us,
            connects=self._connects,
            next_try_utc_us=self._next_try_utc_us,
            audio_note=measures.audio_note,
        )


def unexpected(error: Exception, config: SourceConfig) -> KhuphoError:
    """A fault of this program, met by one camera: logged whole, told, and survived."""
    logger.error(
        "A fault of this program at %s/%s",
        config.camera,
        config.stream,
        exc_info=error,
        extra={"camera": config.camera, "stream": config.stream, "cause": Fault.KHUPHO.value},
    )
    return KhuphoError(
        f"This program failed: {type(error).__name__}",
        where=f"{config.camera}/{config.stream}",
        advice="It is tried again by itself; please report the lines of its log",
        fault=Fault.KHUPHO,
    )

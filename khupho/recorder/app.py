"""The recorder as a program: builds the concrete objects, runs them on one loop, ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from khupho.archive.archive import Archive
from khupho.clock import Clock, SystemClock
from khupho.errors import Fault, KhuphoError
from khupho.recorder.accounts.accounts import Accounts
from khupho.recorder.camera_store import CameraStore
from khupho.recorder.engine import Engine
from khupho.recorder.http.account_routes import account_routes
from khupho.recorder.http.application import make_application
from khupho.recorder.http.camera_routes import camera_routes
from khupho.recorder.http.door import Door
from khupho.recorder.http.footage_routes import Footage, footage_routes
from khupho.recorder.http.guard import Application
from khupho.recorder.http.live_routes import StateMessage, live_routes
from khupho.recorder.http.pages import page_routes
from khupho.recorder.http.server import PageServer, listen
from khupho.recorder.http.status import StatusMaker, StatusView
from khupho.recorder.http.today import Today
from khupho.recorder.http.web_routes import web_routes
from khupho.recorder.http.words import load_vietnamese
from khupho.recorder.known_archives import expect_archive, remember_archive
from khupho.recorder.log_setup import LogFormat, install_logging
from khupho.recorder.page_archive import PageArchive
from khupho.recorder.recording import Recording, standing_troubles
from khupho.recorder.secrets import load_sealer, load_signing_key
from khupho.recorder.service_notice import ServiceNotice
from khupho.recorder.session import SessionOpener
from khupho.recorder.settings import Settings, load_settings
from khupho.recorder.stills import Stills
from khupho.recorder.stopping import Stopping
from khupho.recorder.viewing.library import Library
from khupho.recorder.viewing.live import LiveHub
from khupho.recorder.viewing.moments import MomentStills

ARCHIVE_PATIENCE_S = 6.0
_HOUSEKEEPING_S = 1.0

logger = logging.getLogger("khupho.recorder.app")


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """What the command line asked for."""

    data: Path
    host: str
    port: int
    """0: any free one."""
    log_format: LogFormat = "text"


@dataclass(frozen=True, slots=True)
class Ready:
    """What is told once it runs."""

    url: str
    archive: Path
    cameras: int
    app_url: str = ""
    """The browser app: live, review, people."""
    set_up_url: str = ""
    """With a one-time code; empty once there is an owner."""


def run(options: RecorderOptions, announce: Callable[[Ready], None]) -> bool:
    """Record until SIGTERM or SIGINT; whether it ended in good order. Raises `KhuphoError`."""
    clock = SystemClock()
    under_journal = "JOURNAL_STREAM" in os.environ and not sys.stderr.isatty()
    install_logging(options.log_format, clock, under_journal=under_journal)
    allow_open_files()
    settings = load_settings(options.data)
    root = settings.archive_path(options.data)
    store = CameraStore(options.data, load_sealer(options.data))
    key = load_signing_key(options.data)
    sock = listen(options.host, options.port)
    try:
        accounts = Accounts.open(options.data, clock)
    except BaseException:
        sock.close()
        raise
    try:
        expect_archive(options.data, root)
        make_root(root)
        archive = Archive.open(
            root,
            key=key,
            clock=clock,
            flush_interval_s=settings.flush_interval_s,
            free_space_percent=settings.free_space_percent,
        )
    except BaseException:
        accounts.close()
        sock.close()
        raise
    try:
        remember_archive(options.data, root, archive.archive_id)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            recorder = Recorder(options, clock, store, settings, archive, root, sock, accounts)
            return runner.run(recorder.run(announce))
    except BaseException:
        archive.close(ARCHIVE_PATIENCE_S)
        raise
    finally:
        accounts.close()


class Recorder:
    """Everything that runs on the loop."""

    def __init__(
        self,
        options: RecorderOptions,
        clock: Clock,
        store: CameraStore,
        settings: Settings,
        archive: Archive,
        root: Path,
        sock: socket.socket,
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._archive = archive
        self._root = root
        self._notice = ServiceNotice(os.environ, os.getpid())
        opener = SessionOpener(clock, archive.arrival, archive.writer)
        self._engine = Engine(opener, clock, alarms=lambda: standing_troubles(archive.alarms))
        self._recording = Recording(options.data, store, self._engine, archive, settings)
        self._page_archive = PageArchive(archive, root)
        self._today = Today(self._page_archive, clock)
        self._sock = sock
        self._stills: Stills | None = None
        self._library = Library(root, clock)
        self._moments: MomentStills | None = None
        self._clock = clock
        self._vietnamese = load_vietnamese()
        self._status = StatusMaker(
            version("khupho"), str(options.data.absolute()), self._vietnamese
        )

    def status(self) -> StatusView:
        """How everything stands at this moment."""
        self._today.looked_at()
        return self._status.make(
            self._engine.snapshot(),
            self._recording.cameras,
            self._page_archive.view(),
            self._today.by_camera,
            self._page_archive.refused(),
        )

    async def run(self, announce: Callable[[Ready], None]) -> bool:
        """From the first camera's call to the last byte on the disk."""
        stopping = Stopping()
        stopping.watch_signals()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._recording.reload_soon)
        self._stills = Stills(self._root, self._clock)
        self._moments = MomentStills(self._library, self._stills)
        server = PageServer(self._application(self._stills, self._moments), self._sock)
        await self._engine.start()
        await self._recording.apply()
        tasks = [
            loop.create_task(self._recording.follow(), name="follow"),
            loop.create_task(self._serve(server), name="page"),
        ]
        started = loop.create_task(server.started(), name="started")
        # Or the page has failed: then recording goes on without it.
        await asyncio.wait((started, tasks[1]), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        # What was made by now lives as long as the program: nothing for the collector to walk through.
        gc.collect()
        gc.freeze()
        # Batches come and go without cycles; looking for some after every 700 objects costs 2 % of a core.
        gc.set_threshold(20_000, 20, 20)
        self._notice.say("READY=1")
        tasks.append(loop.create_task(self._keep_house(self._stills), name="housekeeping"))
        cameras, app_url = len(self._recording.cameras), f"{server.address}/app/"
        announce(Ready(server.url, self._root, cameras, app_url, self._set_up_url(server)))
        await stopping.wait()
        return await self._end(server, tasks)

    def _application(self, stills: Stills, moments: MomentStills) -> Application:
        door = Door(self._accounts, self._has_camera, self._sock.getsockname()[1])
        hub = LiveHub(self._archive.following, self._engine.watch)
        footage = Footage(door, self._library, moments, self._clock.utc_us)
        return make_application(
            door,
            [
                *web_routes(),
                *page_routes(self.status, stills),
                *account_routes(door, self._clock),
                *camera_routes(door, lambda: self._recording.cameras),
                *live_routes(door, hub, self._stream_state),
                *footage_routes(footage),
            ],
            version=version("khupho"),
        )

    def _set_up_url(self, server: PageServer) -> str:
        if self._accounts.is_set_up:
            return ""
        return f"{server.address}/app/#/set-up?code={self._accounts.new_setup_code()}"

    def _stream_state(self, camera: str, stream: str) -> StateMessage:
        """For who waits for a picture."""
        found = self._engine.stream(camera, stream)
        if found is None:
            return StateMessage("off")
        trouble = found.trouble
        if trouble is None:
            return StateMessage(found.phase.value)
        return StateMessage(
            found.phase.value,
            self._vietnamese.words(trouble.what),
            self._vietnamese.words(trouble.advice),
        )

    async def _serve(self, server: PageServer) -> None:
        """The page; recording goes on without it."""
        try:
            await server.serve()
        except Exception:
            logger.exception("The page has failed; recording goes on", extra={"cause": "page"})
            self._archive.alarms.sound(
                "recorder/page",
                KhuphoError(
                    "The page has failed", advice="Recording goes on; please report the log's lines"
                ),
            )

    async def _keep_house(self, stills: Stills) -> None:
        beat_us = 0
        while True:
            try:
                cameras = [camera.id for camera in self._recording.cameras]
                await stills.forget(frozenset(cameras))
                await self._today.refresh(cameras)
            except Exception:
                logger.exception("Housekeeping failed", extra={"cause": "housekeeping"})
            now_us = self._clock.mono_us()
            if self._notice.watchdog_us and now_us - beat_us >= self._notice.watchdog_us // 3:
                beat_us = now_us
                self._notice.say("WATCHDOG=1")
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _has_camera(self, camera_id: str) -> bool:
        return any(camera.id == camera_id for camera in self._recording.cameras)

    async def _end(self, server: PageServer, tasks: list[asyncio.Task[None]]) -> bool:
        logger.info("Ending: every session is closed, and its footage brought to the disk")
        self._notice.say("STOPPING=1")
        follow, page, housekeeping = tasks
        for task in (follow, housekeeping):
            task.cancel()
        server.stop()
        await self._engine.stop()
        self._today.close()
        for stills in (self._stills, self._moments):
            if stills is not None:
                await stills.close()
        await asyncio.to_thread(self._library.close)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.gather(follow, housekeeping, page, return_exceptions=True)
        # In a thread, so that a second signal is still heard while the disk takes its time.
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="closing") as closer:
            whole = await loop.run_in_executor(closer, self._archive.close, ARCHIVE_PATIENCE_S)
        if whole:
            logger.info("Ended: all footage is on the disk")
        return whole


def make_root(root: Path) -> None:
    """Make the archive's directory if it is the data directory's own; a mount point must be there."""
    if root.is_dir():
        return
    try:
        root.mkdir(mode=0o700)
    except OSError as error:
        raise KhuphoError(
            f"The archive's directory cannot be made: {error.strerror}",
            where=str(root),
            advice="Is its disk mounted? Else make the directory and give it to the recorder's user",
            fault=Fault.DISK,
        ) from error


def allow_open_files() -> None:
    """Raise the soft limit of open files to the hard one: sockets and segments are many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is to be had: it halves the cost of a wake-up."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop

"""The recording itself: the engine follows the list of cameras, the archive follows the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from khupho.archive.alarms import AlarmBoard
from khupho.archive.retention.plan import DaysPolicy
from khupho.errors import KhuphoError
from khupho.recorder.camera_store import Camera, CameraStore
from khupho.recorder.camera_url import redact
from khupho.recorder.engine import Engine
from khupho.recorder.file_watch import FileWatch
from khupho.recorder.settings import SETTINGS_NAME, Settings, load_settings
from khupho.recorder.snapshot import Trouble
from khupho.recorder.source import SourceConfig

WATCH_INTERVAL_S = 1.0
CAMERAS_ALARM = "recorder/cameras"
SETTINGS_ALARM = "recorder/settings"
_LOGIN_ALARM = "recorder/login/"

logger = logging.getLogger("khupho.recorder.recording")


class PolicyKeeper(Protocol):
    """The archive as the list of cameras and the settings steer it."""

    @property
    def alarms(self) -> AlarmBoard: ...

    def set_policies(self, policies: Mapping[str, DaysPolicy]) -> None: ...

    def set_limits(self, flush_interval_s: int, free_space_percent: int) -> None: ...


class Recording:
    """Keeps engine and archive as `cameras.json` and `settings.json` say, while they run."""

    def __init__(
        self,
        data: Path,
        store: CameraStore,
        engine: Engine,
        archive: PolicyKeeper,
        settings: Settings,
    ) -> None:
        """`settings`: those that the archive was opened with."""
        self.cameras: tuple[Camera, ...] = ()
        """The list in force: the last one that could be read."""
        self.settings = settings
        self._data = data
        self._store = store
        self._engine = engine
        self._archive = archive
        self._configs: dict[tuple[str, str], SourceConfig] = {}
        self._without_login: set[str] = set()
        self._watch = FileWatch((store.path, data / SETTINGS_NAME))
        self._asked = asyncio.Event()

    def reload_soon(self) -> None:
        """Read the files again at once (SIGHUP)."""
        self._asked.set()

    async def follow(self) -> None:
        """Apply every change of the files, for ever."""
        while True:
            try:
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    await self._asked.wait()
            except TimeoutError:
                if not self._watch.changed():
                    continue
            self._asked.clear()
            try:
                await self.apply()
            except Exception:
                # What is running goes on; the next change is another chance.
                logger.exception("The change could not be applied", extra={"cause": "apply"})

    async def apply(self) -> None:
        """Read both files and make everything so. What cannot be read stays as it was, with an alarm."""
        alarms = self._archive.alarms
        try:
            settings = load_settings(self._data)
        except KhuphoError as error:
            self._keep_old(SETTINGS_ALARM, error)
        else:
            alarms.clear(SETTINGS_ALARM)
            if settings != self.settings:
                self._archive.set_limits(settings.flush_interval_s, settings.free_space_percent)
            self.settings = settings
        try:
            cameras = self._store.load()
        except KhuphoError as error:
            self._keep_old(CAMERAS_ALARM, error)
        else:
            alarms.clear(CAMERAS_ALARM)
            self._tell_change(cameras)
            self.cameras = cameras
            self._archive.set_policies(_policies(cameras))
        self._configs = {config.key: config for config in self._wanted(self.cameras)}
        await self._engine.apply(self._configs.values())

    def _keep_old(self, alarm: str, error: KhuphoError) -> None:
        if self._archive.alarms.sound(alarm, error):
            logger.error("%s. The old one stays in force", error, extra={"cause": alarm})

    def _wanted(self, cameras: Iterable[Camera]) -> Iterable[SourceConfig]:
        without_login: set[str] = set()
        for camera in cameras:
            if not camera.enabled:
                continue
            for stream, _source in camera.sources():
                config = self._config(camera, stream == "sub", without_login)
                if config is not None:
                    yield config
        for camera_id in self._without_login - without_login:
            self._archive.alarms.clear(_LOGIN_ALARM + camera_id)
        self._without_login = without_login

    def _config(self, camera: Camera, is_sub: bool, without_login: set[str]) -> SourceConfig | None:
        stream = "sub" if is_sub else "main"
        try:
            url, login = self._store.address(camera, "sub" if is_sub else "main")
        except KhuphoError as error:
            without_login.add(camera.id)
            if self._archive.alarms.sound(_LOGIN_ALARM + camera.id, error):
                logger.error("%s", error, extra={"camera": camera.id, "cause": "login"})
            return self._configs.get((camera.id, stream))
        return SourceConfig(
            camera.id,
            stream,
            url,
            login.user,
            login.password,
            camera.transport,
            audio=camera.audio and not is_sub,
        )

    def _tell_change(self, cameras: tuple[Camera, ...]) -> None:
        if cameras == self.cameras:
            return
        enabled = sum(camera.enabled for camera in cameras)
        logger.info("%d cameras on the list, %d switched on", len(cameras), enabled)


def _policies(cameras: Iterable[Camera]) -> dict[str, DaysPolicy]:
    return {
        camera.id: DaysPolicy(camera.guaranteed_days, camera.maximum_days) for camera in cameras
    }


def standing_troubles(alarms: AlarmBoard) -> tuple[Trouble, ...]:
    """The archive's alarms as the page tells them, oldest first."""
    return tuple(
        Trouble(
            alarm.error.fault,
            redact(alarm.error.what),
            redact(alarm.error.where),
            redact(alarm.error.advice),
            alarm.since_utc_us,
        )
        for alarm in alarms.standing()
    )

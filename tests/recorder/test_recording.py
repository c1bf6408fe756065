"""The engine follows `cameras.json`, the archive follows the settings; what is broken changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from khupho.archive.alarms import AlarmBoard
from khupho.archive.retention.plan import DaysPolicy
from khupho.clock import ManualClock
from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.recording import Recording, standing_troubles
from khupho.recorder.secrets import LoginSealer
from khupho.recorder.settings import Settings, change_setting
from khupho.recorder.source import SourceConfig


class FakeEngine:
    def __init__(self) -> None:
        self.applied: list[dict[tuple[str, str], SourceConfig]] = []
        self.told: asyncio.Queue[None] = asyncio.Queue()

    async def apply(self, configs: Iterable[SourceConfig]) -> None:
        self.applied.append({config.key: config for config in configs})
        self.told.put_nowait(None)


class FakeArchive:
    def __init__(self) -> None:
        self.alarms = AlarmBoard(ManualClock())
        self.policies: Mapping[str, DaysPolicy] = {}
        self.limits: tuple[int, int] | None = None

    def set_policies(self, policies: Mapping[str, DaysPolicy]) -> None:
        self.policies = policies

    def set_limits(self, flush_interval_s: int, free_space_percent: int) -> None:
        self.limits = flush_interval_s, free_space_percent


class Scene:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = CameraStore(data, LoginSealer(bytes(32)))
        self.engine = FakeEngine()
        self.archive = FakeArchive()
        self.recording = Recording(
            data, self.store, self.engine, self.archive, Settings()  # type: ignore[arg-type]  # a fake
        )  # fmt: skip

    def add(self, camera_id: str, url: str = "rtsp://u:p@h/1", **more: object) -> None:
        self.store.add(NewCamera(camera_id, part_url(url), **more), 0)  # type: ignore[arg-type]

    def apply(self) -> dict[tuple[str, str], SourceConfig]:
        asyncio.run(self.recording.apply())
        return self.engine.applied[-1]

    @property
    def alarms(self) -> list[str]:
        return [trouble.what for trouble in standing_troubles(self.archive.alarms)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_sources_and_policies_are_made_of_the_list(scene: Scene) -> None:
    scene.add("a", audio=True, sub=part_url("rtsp://h/2"), guaranteed_days=7, maximum_days=14)
    scene.add("b")
    scene.store.set_enabled("b", False)
    applied = scene.apply()
    assert list(applied) == [("a", "main"), ("a", "sub")]
    main, sub = applied["a", "main"], applied["a", "sub"]
    assert (main.url, main.user, main.password, main.audio) == ("rtsp://h/1", "u", "p", True)
    assert (sub.user, sub.audio) == ("u", False)
    assert scene.archive.policies == {"a": DaysPolicy(7, 14), "b": DaysPolicy(30, 30)}


def test_a_broken_list_keeps_the_old_one_and_raises_an_alarm(scene: Scene) -> None:
    scene.add("a")
    before = scene.apply()
    good = scene.store.path.read_bytes()
    scene.store.path.write_text('{"version": 1, "cameras": [')
    assert scene.apply() == before
    assert [camera.id for camera in scene.recording.cameras] == ["a"]
    assert len(scene.alarms) == 1
    assert scene.alarms[0].startswith("The list of cameras cannot be read")
    scene.store.path.write_bytes(good)
    scene.apply()
    assert scene.alarms == []


def test_changed_settings_reach_the_archive_and_broken_ones_do_not(scene: Scene) -> None:
    scene.apply()
    assert scene.archive.limits is None
    change_setting(scene.data, "flush_interval_s", "5")
    scene.apply()
    assert scene.archive.limits == (5, 5)
    (scene.data / "settings.json").write_text("{")
    scene.apply()
    assert scene.recording.settings.flush_interval_s == 5
    assert scene.alarms[0].startswith("The settings cannot be read")


def test_a_login_that_does_not_open_stops_no_camera_that_runs(scene: Scene) -> None:
    scene.add("a")
    scene.add("b")
    before = scene.apply()
    text = scene.store.path.read_text()
    # The sealed login of `a` stands at `b`: bound to its camera, it doesn't open there.
    [first, second] = [camera.main.login for camera in scene.store.load()]
    scene.store.path.write_text(text.replace(second, first))
    assert scene.apply() == before
    assert scene.alarms == [
        "The camera's stored password cannot be opened with this recorder's key"
    ]
    scene.store.path.write_text(text)
    scene.apply()
    assert scene.alarms == []


def test_a_change_is_seen_without_being_told_of(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("khupho.recorder.recording.WATCH_INTERVAL_S", 0.001)

    async def play() -> None:
        following = asyncio.create_task(scene.recording.follow())
        await asyncio.sleep(0)
        scene.add("a")
        await asyncio.wait_for(scene.engine.told.get(), 5)
        scene.recording.reload_soon()
        await asyncio.wait_for(scene.engine.told.get(), 5)
        following.cancel()

    asyncio.run(play())
    assert list(scene.engine.applied[0]) == [("a", "main")]

"""The list of cameras: complete, private, and never half written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from khupho.recorder.camera_store import CameraStore, CameraStoreError, NewCamera, slug
from khupho.recorder.camera_url import part_url
from khupho.recorder.secrets import LoginSealer, load_sealer

ADDED_US = 1_700_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> CameraStore:
    return CameraStore(tmp_path, LoginSealer(bytes(32)))


def new(name: str, url: str = "rtsp://admin:hunter2@10.0.0.9/1", sub: str = "") -> NewCamera:
    return NewCamera(name, part_url(url), part_url(sub) if sub else None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Cổng chính số 1", "cong-chinh-so-1"), ("Đường Đỏ", "duong-do"), ("  A/B  ", "a-b")],
)
def test_slug_of_vietnamese(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_add_find_and_defaults(store: CameraStore) -> None:
    camera = store.add(new("Cổng chính"), ADDED_US)
    assert store.find("Cổng chính") == store.find("cong-chinh") == camera
    assert (camera.audio, camera.guaranteed_days, camera.maximum_days) == (False, 30, 30)
    assert camera.added_utc == "2023-11-14T22:13:20.000000Z"


def test_no_password_lies_on_disk_and_the_file_is_private(store: CameraStore) -> None:
    camera = store.add(new("gate", "rtsp://root:hunter2@h/x?password=geheim"), ADDED_US)
    raw = store.path.read_text()
    assert "hunter2" not in raw
    assert "geheim" not in raw
    assert "root" not in raw
    assert store.path.stat().st_mode & 0o777 == 0o600
    url, login = store.address(camera, "main")
    assert url == "rtsp://h/x?password=geheim"
    assert (login.user, login.password) == ("root", "hunter2")


def test_no_file_of_a_data_directory_holds_a_password(tmp_path: Path) -> None:
    main = part_url("rtsp://chief:s3cret-word@10.0.0.9:554/Streaming/Channels/101")
    added = CameraStore(tmp_path, load_sealer(tmp_path)).add(NewCamera("gate", main), ADDED_US)
    again = CameraStore(tmp_path, load_sealer(tmp_path))
    assert again.login(again.find("gate"), "main").password == "s3cret-word"
    for path in tmp_path.iterdir():
        assert b"s3cret-word" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    assert "s3cret-word" not in repr(main) + str(main[1]) + repr(added)


def test_a_sub_stream_uses_the_main_login_unless_it_has_its_own(store: CameraStore) -> None:
    shared = store.add(new("a", sub="rtsp://10.0.0.9/2"), ADDED_US)
    own = store.add(new("b", sub="rtsp://viewer:two@10.0.0.9/2"), ADDED_US)
    assert store.login(shared, "sub").password == "hunter2"
    assert store.login(own, "sub").password == "two"


def test_the_same_id_twice_is_refused_unless_replaced(store: CameraStore) -> None:
    store.add(new("gate"), ADDED_US)
    with pytest.raises(CameraStoreError, match="already"):
        store.add(new("Gate"), ADDED_US)
    changed = store.add(new("Gate", "rtsp://10.0.0.7/9"), ADDED_US + 5, replace_existing=True)
    assert [camera.main.url for camera in store.load()] == ["rtsp://10.0.0.7/9"]
    assert changed.added_utc == "2023-11-14T22:13:20.000000Z"


def test_remove_and_switch(store: CameraStore) -> None:
    store.add(new("a"), ADDED_US)
    store.add(new("b"), ADDED_US)
    assert store.set_enabled("a", False).enabled is False
    store.remove("b")
    assert [(camera.id, camera.enabled) for camera in store.load()] == [("a", False)]
    with pytest.raises(CameraStoreError, match="no camera 'b'"):
        store.remove("b")


def test_days_that_contradict_are_refused_and_nothing_is_written(store: CameraStore) -> None:
    wrong = NewCamera("a", part_url("rtsp://h/1"), guaranteed_days=30, maximum_days=7)
    with pytest.raises(CameraStoreError, match="guaranteed"):
        store.add(wrong, ADDED_US)
    assert not store.path.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(version=2),
        lambda file: file["cameras"][0].update(colour="red"),
        lambda file: file["cameras"][0].update(id="../etc"),
        lambda file: file["cameras"][0].update(transport="pigeon"),
        lambda file: file["cameras"][0]["main"].update(url="rtsp://admin:open@h/1"),
        lambda file: file["cameras"].append(file["cameras"][0]),
    ],
)
def test_a_file_that_is_not_right_is_refused_not_guessed(store: CameraStore, change) -> None:  # type: ignore[no-untyped-def]  # lambdas
    store.add(new("a"), ADDED_US)
    file = json.loads(store.path.read_text())
    change(file)
    store.path.write_text(json.dumps(file))
    with pytest.raises(CameraStoreError):
        store.load()


def test_a_failed_write_leaves_the_old_file(
    store: CameraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(new("a"), ADDED_US)
    before = store.path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CameraStoreError, match="No space"):
        store.add(new("b"), ADDED_US)
    assert store.path.read_bytes() == before
    assert sorted(path.name for path in store.path.parent.iterdir()) == [
        "cameras.json",
        "cameras.lock",
    ]

"""Cameras on disk: no password in any file, sealed logins bound to their camera."""

from __future__ import annotations

from pathlib import Path

import pytest

from khupho.recorder.camera_store import CameraStore, CameraStoreError, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.secrets import Login, SecretError, load_sealer


def store(data: Path) -> CameraStore:
    return CameraStore(data, load_sealer(data))


def test_a_camera_comes_back_with_its_login_and_no_file_holds_it(tmp_path: Path) -> None:
    main = part_url("rtsp://chief:s3cret-word@10.0.0.9:554/Streaming/Channels/101")
    added = store(tmp_path).add(NewCamera("Cổng chính", main), 1_700_000_000_000_000)
    assert added.id == "cong-chinh"
    again = store(tmp_path)
    url, login = again.address(again.find("Cổng chính"), "main")
    assert url == "rtsp://10.0.0.9:554/Streaming/Channels/101"
    assert (login.user, login.password) == ("chief", "s3cret-word")
    for path in tmp_path.iterdir():
        if path.is_file():
            assert b"s3cret-word" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    assert "s3cret-word" not in repr(main) + str(login) + repr(added)


def test_a_sealed_login_opens_only_for_its_own_camera(tmp_path: Path) -> None:
    sealer = load_sealer(tmp_path)
    sealed = sealer.seal("gate", "main", Login("u", "p"))
    assert sealer.open("gate", "main", sealed) == Login("u", "p")
    for camera, stream in (("yard", "main"), ("gate", "sub")):
        with pytest.raises(SecretError):
            sealer.open(camera, stream, sealed)


def test_a_removed_camera_is_gone_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    cameras = store(tmp_path)
    cameras.add(NewCamera("gate", part_url("rtsp://10.0.0.9/1")), 1)
    cameras.remove("gate")
    assert cameras.load() == ()
    with pytest.raises(CameraStoreError):
        cameras.find("gate")

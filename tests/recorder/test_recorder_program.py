"""The whole program: recorder and street as child processes, footage compared with what was sent."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from recorder_process import khupho, recorder
from recorder_street import Street, street

from khupho.archive.events import CloseCause
from khupho.archive.segments.reader import read_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.secrets import load_sealer


@pytest.fixture(scope="module")
def city(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    with street(clip_file(), "--count", "4", "--sub-video", str(clip_file("h264", "160x120"))) as s:
        yield s


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def add(data: Path, city: Street, *numbers: int, **more: Any) -> CameraStore:
    store = CameraStore(data, load_sealer(data))
    for number in numbers:
        store.add(
            NewCamera(f"Cổng {number}", part_url(city.url(number)), id=f"c{number}", **more),
            time.time_ns() // 1000,
            replace_existing=True,
        )
    return store


def segments(data: Path, camera: str, stream: str = "main") -> list[StoredSegment]:
    root = data / "archive"
    root_fd = os.open(root, os.O_RDONLY)
    try:
        paths = sorted((root / camera / stream).glob("*/*.mp4"))
        return [read_segment(root_fd, str(path.relative_to(root))) for path in paths]
    finally:
        os.close(root_fd)


def compare(segment: StoredSegment, units: list[dict[str, Any]]) -> None:
    """Frame by frame: key flags, and durations by the camera's clock."""
    headers = [fragment.header for fragment in segment.fragments]
    keys = [is_key for header in headers for is_key in header.is_key]
    durations = [duration for header in headers for duration in header.durations]
    assert 0 <= len(units) - len(keys) <= 5
    assert keys == [unit["is_key"] for unit in units[: len(keys)]]
    sent = [later["pts_90k"] - unit["pts_90k"] for unit, later in pairwise(units)]
    assert durations[:-1] == sent[: len(durations) - 1]
    assert not any(fragment.lost_packets for fragment in segment.fragments)


def units_of(city: Street, number: int) -> list[dict[str, Any]]:
    truth = city.truth(number)
    assert truth is not None
    found: list[dict[str, Any]] = truth["units"]
    return found


def test_what_was_sent_is_on_the_disk_after_a_graceful_stop(data: Path, city: Street) -> None:
    add(data, city, 1, 2, sub=part_url(city.url(1, "sub")))
    with recorder(data) as running:
        running.until(lambda: running.records("c1", "c2", frames=60))
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 10
    for number in (1, 2):
        [segment] = segments(data, f"c{number}")
        assert segment.cause is CloseCause.STOPPED
        compare(segment, units_of(city, number))
    assert segments(data, "c2", "sub")[0].cause is CloseCause.STOPPED
    path = next((data / "archive" / "c1" / "main").glob("*/*.mp4"))
    with av.open(str(path)) as container:
        assert sum(1 for _frame in container.decode(video=0)) >= 60


def test_a_reload_loses_no_frame_of_an_unchanged_camera(data: Path, city: Street) -> None:
    store = add(data, city, 1, 2)
    with recorder(data) as running:
        running.until(lambda: running.records("c1", "c2", frames=10))
        add(data, city, 3)
        running.until(lambda: running.records("c3"), 10)
        store.set_enabled("c2", False)
        running.until(lambda: running.camera("c2")["verdict"] == "off", 5)
        store.remove("c2")
        running.until(lambda: not running.camera("c2"), 5)
        (data / "settings.json").write_text('{"version": 1, "flush_interval_s": 2}')
        frames = running.camera("c1")["streams"][0]["frames"]
        running.until(lambda: running.records("c1", frames=frames + 50))
        assert running.stop() == 0
    [segment] = segments(data, "c1")
    compare(segment, units_of(city, 1))
    assert segments(data, "c2")[0].cause is CloseCause.STOPPED


def test_a_broken_list_is_an_alarm_and_records_on(data: Path, city: Street) -> None:
    store = add(data, city, 1)
    with recorder(data) as running:
        running.until(lambda: running.records("c1"))
        good = store.path.read_bytes()
        store.path.write_text("{ broken")
        running.until(lambda: running.status()["alarms"], 5)
        [alarm] = running.status()["alarms"]
        assert alarm["what"]["en"].startswith("The list of cameras cannot be read")
        assert alarm["what"]["vi"].startswith("Không đọc được danh sách camera")
        assert running.records("c1")
        store.path.write_bytes(good)
        os.kill(running.pid, signal.SIGHUP)
        running.until(lambda: not running.status()["alarms"], 5)
        assert running.camera("c1")["streams"][0]["connects"] == 1


def test_the_page_has_a_picture_of_what_was_recorded(data: Path, city: Street) -> None:
    add(data, city, 1)
    with recorder(data) as running:
        running.until(lambda: running.records("c1", frames=30))
        status, body, headers = running.get("/api/v1/cameras/c1/picture.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert body.startswith(b"\xff\xd8")
        age_us = running.status()["now_utc_us"] - int(headers["x-taken-utc-us"])
        assert 0 <= age_us < 20_000_000
        assert running.get("/api/v1/cameras/nobody/picture.jpg")[0] == 404
        assert running.get("/api/v1/cameras/..%2f..%2fc1/picture.jpg")[0] == 404
        assert running.get("/healthz")[:2] == (200, b"ok\n")
        assert running.get("/", Host="evil.example")[0] == 421


def test_other_machines_need_the_token(data: Path) -> None:
    with recorder(data, "--listen", "0.0.0.0:0") as running:
        address, _, token = running.url.partition("?token=")
        assert len(token) > 30
        assert address.startswith("http://")
        assert running.get("/api/v1/status")[0] == 401
        assert running.get(f"/api/v1/status?token={token}x")[0] == 401
        status, _body, headers = running.get(f"/?token={token}")
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        assert running.get("/api/v1/status", Cookie=cookie)[0] == 200


def test_systemd_is_told(data: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        with recorder(data, **told) as running:
            assert listener.recv(100) == b"READY=1"
            assert listener.recv(100) == b"WATCHDOG=1"
            assert listener.recv(100) == b"WATCHDOG=1"
            running.process.send_signal(signal.SIGTERM)
            assert listener.recv(100) == b"STOPPING=1"
            assert running.process.wait(20) == 0


def test_json_log_lines_hold_no_password(data: Path, city: Street) -> None:
    store = CameraStore(data, load_sealer(data))
    port = city.url(1).rpartition(":")[2].partition("/")[0]
    hidden = f"rtsp://chief:hunter2@127.0.0.1:{port}/user=x_password=geheim_channel=1"
    store.add(NewCamera("gate", part_url(hidden)), time.time_ns() // 1000)
    with recorder(data, "--log-format", "json") as running:
        running.until(lambda: running.camera("gate").get("trouble"))
        told = json.dumps(running.status())
        assert running.stop() == 0
    text = (data.parent / "recorder.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line.get("camera") == "gate" for line in lines)
    for secret in ("hunter2", "geheim"):
        assert secret not in text
        assert secret not in told


def test_a_busy_port_a_locked_archive_and_a_wrong_directory_are_plain_errors(
    data: Path, tmp_path: Path
) -> None:
    with recorder(data) as running:
        port = running.url.rstrip("/").rpartition(":")[2]
        other = tmp_path / "other"
        busy = khupho("recorder", "--data", other, "--listen", f"127.0.0.1:{port}")
        assert busy.returncode == 1
        assert "Another program already listens" in busy.stderr
        assert "--listen" in busy.stderr
        assert not (other / "archive").exists()
        locked = khupho("recorder", "--data", data, "--listen", "127.0.0.1:0", "--json")
        assert locked.returncode == 1
        error = json.loads(locked.stdout)["error"]
        assert "being written by" in error["what"]
        assert running.get("/healthz")[0] == 200
    (tmp_path / "file").write_text("")
    wrong = khupho("recorder", "--data", tmp_path / "file" / "data", "--listen", "127.0.0.1:0")
    assert wrong.returncode == 1
    assert "data directory cannot be made" in wrong.stderr
    (other / "settings.json").write_text('{"version": 1, "archive": "/proc/nowhere/archive"}')
    nowhere = khupho("recorder", "--data", other, "--listen", "127.0.0.1:0")
    assert nowhere.returncode == 1
    assert "archive's directory cannot be made" in nowhere.stderr
    for done in (busy, locked, wrong, nowhere):
        assert "Traceback" not in done.stderr
    assert khupho("recorder", "--listen", "8080").returncode == 2


def test_a_disk_that_is_not_mounted_is_not_replaced_by_the_systems(
    data: Path, tmp_path: Path
) -> None:
    mount = tmp_path / "mnt"
    mount.mkdir()
    (data / "settings.json").write_text(json.dumps({"version": 1, "archive": str(mount)}))
    with recorder(data) as running:
        assert running.stop() == 0
    mount.rename(tmp_path / "unplugged")
    for is_there in (False, True):
        if is_there:
            mount.mkdir()  # the empty mount point
        refused = khupho("recorder", "--data", data, "--listen", "127.0.0.1:0")
        assert refused.returncode == 1
        assert "Mount its disk" in refused.stderr
        assert mount.exists() is is_there
        assert not is_there or not list(mount.iterdir())
    mount.rmdir()
    (tmp_path / "unplugged").rename(mount)
    with recorder(data) as running:
        assert running.get("/healthz")[0] == 200

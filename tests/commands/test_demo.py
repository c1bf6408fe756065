"""`khupho demo`: a street and its recorder, begun and ended together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from khupho.commands.demo import STREET_NAMES
from khupho.recorder.camera_store import load_cameras

PATIENCE_S = 90.0
PROGRAM = [sys.executable, "-c", "from khupho.cli import main; main()", "demo", "--json"]


def start(data: Path, *arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*PROGRAM, "--data", str(data), "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line
    return process, str(json.loads(line)["url"])


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(30)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def status(url: str) -> Any:
    with urllib.request.urlopen(url + "api/v1/status", timeout=10) as answer:
        return json.load(answer)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_a_street_is_recorded_and_nothing_is_left_behind(tmp_path: Path) -> None:
    process, url = start(tmp_path)
    try:
        street = children(process.pid)
        assert len(street) == 1
        deadline = time.monotonic() + PATIENCE_S
        while True:
            cameras = status(url)["cameras"]
            if all(camera["verdict"] in ("recording", "weak") for camera in cameras):
                break
            assert time.monotonic() < deadline, cameras
            time.sleep(0.1)
        assert [camera["name"] for camera in cameras] == list(STREET_NAMES)
    finally:
        code = end(process)
    assert code == 0
    assert not Path(f"/proc/{street[0]}").exists()
    assert len(list((tmp_path / "archive").glob("demo-*/main/*/*.mp4"))) >= len(STREET_NAMES)


def test_cameras_given_take_the_streets_place_and_keep_their_names(tmp_path: Path) -> None:
    urls = "rtsp://admin:hunter2@127.0.0.1:1/a rtsp://127.0.0.1:1/b"
    process, url = start(tmp_path, CAMERAS=urls)
    try:
        assert children(process.pid) == []
        assert [camera["id"] for camera in status(url)["cameras"]] == ["cam-1", "cam-2"]
    finally:
        assert end(process) == 0
    assert "hunter2" not in (tmp_path / "cameras.json").read_text()
    process, url = start(tmp_path, "--camera", "rtsp://127.0.0.1:1/c")
    assert end(process) == 0
    cameras = load_cameras(tmp_path / "cameras.json")
    assert [camera.main.url for camera in cameras] == [
        "rtsp://127.0.0.1:1/c",
        "rtsp://127.0.0.1:1/b",
    ]


def test_an_address_that_is_none_is_said_plainly(tmp_path: Path) -> None:
    from khupho.cli import cli

    done = CliRunner().invoke(cli, ["demo", "--data", str(tmp_path), "--camera", "http://x/"])
    assert done.exit_code == 1
    assert "rtsp://" in done.output

"""A running `khupho recorder` as a child process, asked over its page. Loopback, bounded waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-c", "from khupho.cli import main; main()"]
PATIENCE_S = 40.0


class RunningRecorder:
    """A recorder that said it is ready."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready
        self.url: str = ready["url"]
        self.pid: int = ready["pid"]

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        base = self.url.partition("?")[0].rstrip("/")
        request = urllib.request.Request(base + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def status(self) -> dict[str, Any]:
        """What the page is told."""
        status, body, _headers = self.get("/api/v1/status")
        assert status == 200
        answer: dict[str, Any] = json.loads(body)
        return answer

    def camera(self, camera_id: str) -> dict[str, Any]:
        """A camera of the status; empty if it isn't on the list."""
        return next((one for one in self.status()["cameras"] if one["id"] == camera_id), {})

    def until(self, reached: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        """Wait for it, and for no longer than is bearable."""
        end = time.monotonic() + patience_s
        while not reached():
            assert time.monotonic() < end, self.status()
            time.sleep(0.05)

    def records(self, *cameras: str, frames: int = 1) -> bool:
        """Whether all of them are recorded, and have brought so many frames."""
        seen = {one["id"]: one for one in self.status()["cameras"]}
        return all(
            seen.get(camera, {}).get("verdict") in ("recording", "weak")
            and seen[camera]["streams"][0]["frames"] >= frames
            for camera in cameras
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def khupho(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *(str(argument) for argument in arguments)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def recorder(data: Path, *arguments: str, **environment: str) -> Iterator[RunningRecorder]:
    """The recorder, until the block is left. Its log lies in `data/../recorder.log`."""
    command = [*PROGRAM, "recorder", "--data", str(data), "--listen", "127.0.0.1:0", "--json"]
    with (data.parent / "recorder.log").open("a") as log:
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (data.parent / "recorder.log").read_text()
        yield RunningRecorder(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()

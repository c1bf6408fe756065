"""This project's recorder as a child process: started, killed, started again, stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from cameras.foreign_camera import CameraKind, ForeignCamera
from child_process import ChildProcess, until

PROGRAM = [sys.executable, "-c", "from khupho.cli import main; main()"]
READY_PATIENCE_S = 20.0


class RecorderProcess:
    """A recorder with a data directory of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.archive = data / "archive"
        self.log = data.with_name("recorder.log")
        """What it said in all its runs, for whoever looks into a failure."""
        self._child: ChildProcess | None = None
        self._address = ""

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, Any, str]:
        """As `run_plain`, for commands that want to know the data directory."""
        return self.run_plain(*arguments, "--data", str(self.data), env=env)

    def run_plain(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, Any, str]:
        """Run one of its other commands with `--json`: exit code, what it printed, what it complained of."""
        done = subprocess.run(
            [*PROGRAM, *arguments, "--json"],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env={**_environment(), **(env or {})},
        )
        lines = done.stdout.strip()
        return done.returncode, json.loads(lines) if lines else None, done.stderr

    def add(self, kind: CameraKind, camera: ForeignCamera) -> None:
        login = {"KHUPHO_CAMERA_USER": camera.user, "KHUPHO_CAMERA_PASSWORD": camera.password}
        code, _, complaint = self.run(
            "camera", "add", kind.name, camera.url, "--id", kind.name,
            "--transport", kind.transport, *(["--audio"] if kind.audio else []), env=login,
        )  # fmt: skip
        assert code == 0, complaint

    def start(self) -> None:
        """Returns once it says that it is ready."""
        command = [
            *PROGRAM,
            "recorder",
            "--data",
            str(self.data),
            "--listen",
            "127.0.0.1:0",
            "--json",
        ]
        child = self._child = ChildProcess(command, env=_environment())

        def ready() -> dict[str, Any] | None:
            assert child.returncode is None, f"the recorder ended: {child.said()[-3000:]}"
            lines = [line for line in child.said().splitlines() if line.startswith("{")]
            return json.loads(lines[0]) if lines else None

        self._address = until(ready, "the recorder to be ready", READY_PATIENCE_S)["url"]

    def status(self) -> dict[str, Any]:
        """What its page tells."""
        with urllib.request.urlopen(
            self._address.rstrip("/") + "/api/v1/status", timeout=10
        ) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def until_all_flow(self, streams: int, patience_s: float = READY_PATIENCE_S) -> None:
        """Until so many streams have had pictures since the start."""

        def flowing() -> bool:
            told = [stream for camera in self.status()["cameras"] for stream in camera["streams"]]
            return sum(bool(stream["frames"]) for stream in told) >= streams

        until(flowing, f"{streams} streams to flow", patience_s)

    def kill(self) -> float:
        """SIGKILL; the moment, in seconds since the epoch."""
        assert self._child is not None
        moment = time.time()
        self._child.kill()
        self._keep_log()
        return moment

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._child is not None
        code = self._child.stop()
        self._keep_log()
        return code

    def _keep_log(self) -> None:
        with self.log.open("a") as log:
            log.write(self.said())

    def said(self) -> str:
        """What it has said since its last start."""
        return self._child.said() if self._child else ""


def _environment() -> dict[str, str]:
    """Locale and time zone must not matter; here they are a Vietnamese house's."""
    return {"TZ": "Asia/Ho_Chi_Minh"}

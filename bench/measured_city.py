"""The simulated city as a process of its own, on a core of its own, and how it goes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from khupho_command import KHUPHO
from process_cost import pinned

_START_PATIENCE_S = 180.0
_STOP_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class RunningCity:
    """Where the cameras are to be had."""

    pid: int
    address: str
    """HOST:PORT of the cameras."""
    control: tuple[str, int]

    @property
    def url_pattern(self) -> str:
        """With `%04d` for the camera's number."""
        return f"rtsp://{self.address}/camera-%04d"

    def url(self, number: int) -> str:
        return self.url_pattern % number

    def state(self) -> dict[str, int]:
        """Cameras, connections, how many play, and the worst lateness since the last call."""
        answer: dict[str, int] = self._ask("state")
        return answer

    def frames_skipped(self, number: int) -> int:
        """Pictures that the camera's last session could not send: its reader was too slow."""
        truth = self._ask(f"truth camera-{number:04d} {10**12}")
        return sum(entry["pictures"] for entry in truth["skipped"]) if truth else 0

    def _ask(self, line: str) -> Any:
        with socket.create_connection(self.control, 10.0) as connection:
            connection.sendall(line.encode() + b"\n")
            return json.loads(connection.makefile().readline())


@contextmanager
def running_city(
    video: Path, count: int, cores: frozenset[int], extra: tuple[str, ...] = ()
) -> Iterator[RunningCity]:
    """`khupho city cameras`, from its first camera to the end of its process."""
    command = [
        *KHUPHO, "city", "cameras", "--count", str(count),
        "--video", str(video), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
        "--session-timeout", "3600", *extra,
    ]  # fmt: skip
    process = subprocess.Popen(pinned(cores, command), stderr=subprocess.PIPE, text=True)
    try:
        yield _await_start(process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_start(process: subprocess.Popen[str]) -> RunningCity:
    """Read what it announces: the address of the cameras, then that of the control port."""
    assert process.stderr is not None
    watchdog = threading.Timer(_START_PATIENCE_S, process.kill)
    watchdog.start()
    address = ""
    try:
        for line in process.stderr:
            if found := re.search(r"rtsp://([^/\s]+)/camera-", line):
                address = found[1]
            if found := re.search(r"--control (\S+):(\d+)", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return RunningCity(process.pid, address, (found[1], int(found[2])))
            if not address:
                print(line, end="", file=sys.stderr)
    finally:
        watchdog.cancel()
    raise SystemExit("The simulated city did not start")

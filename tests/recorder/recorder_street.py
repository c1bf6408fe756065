"""A simulated street as a child process, and what tests ask of it. Loopback, free ports, bounded waits."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-c", "from khupho.cli import main; main()"]
PATIENCE_S = 30.0


class Street:
    """A running `khupho city cameras`."""

    def __init__(self, process: subprocess.Popen[str], start: dict[str, Any]) -> None:
        self._process = process
        self._address: str = start["address"]
        host, _, port = start["control"].rpartition(":")
        self._control = host, int(port)

    def url(self, number: int = 1, stream: str = "") -> str:
        """Where a camera's stream is to be had."""
        return self._address.replace("NNNN", f"{number:04d}") + (f"/{stream}" if stream else "")

    def ask(self, line: str) -> Any:
        """One line to the control port, its answer."""
        with socket.create_connection(self._control, PATIENCE_S) as connection:
            connection.settimeout(PATIENCE_S)
            connection.sendall(line.encode() + b"\n")
            with connection.makefile(encoding="utf-8") as reader:
                answer = json.loads(reader.readline())
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def fault(self, spec: str) -> None:
        """`camera-0001:stall=3`, as on the command line."""
        self.ask(f"fault {spec}")

    def truth(self, number: int = 1, stream: str = "main") -> dict[str, Any] | None:
        """What the camera's newest session sent."""
        sub = " sub" if stream == "sub" else ""
        answer: dict[str, Any] | None = self.ask(f"truth camera-{number:04d}{sub} 0")
        return answer


@contextmanager
def street(video: Path, *arguments: str) -> Iterator[Street]:
    """The street, until the block is left."""
    command = [
        *PROGRAM, "city", "cameras", "--video", str(video), "--listen", "127.0.0.1:0",
        "--control", "127.0.0.1:0", "--json", *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield Street(process, json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

"""Child processes of these tests: started with an ear on what they say, ended by their own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 30.0


def free_port() -> int:
    """A TCP port of the loop-back address that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(wanted: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """What `wanted` gives once it gives something; fails the test after `patience_s`."""
    end_s = time.monotonic() + patience_s
    while True:
        found = wanted()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end_s:
            raise AssertionError(f"waited {patience_s:.0f} s in vain for {what}")
        time.sleep(0.05)


class ChildProcess:
    """A program that runs until `stop`. What it says is kept in a file, for the failure's message."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        as_nobody: bool = False,
        cwd: Path | None = None,
    ) -> None:
        """`as_nobody`: as the user `nobody`, if we are root (VLC refuses to run as root)."""
        # Killed with the tests, also where these are killed themselves.
        privileges = ["setpriv", "--pdeathsig=KILL"]
        if as_nobody and os.geteuid() == 0:
            privileges += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        self.command = [*privileges, *command]
        self._said = tempfile.NamedTemporaryFile(prefix="khupho-e2e-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            cwd=cwd,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def said(self) -> str:
        """Everything it has written so far."""
        return Path(self._said.name).read_text(errors="replace")

    def wait_for_port(self, port: int, patience_s: float = PATIENCE_S) -> None:
        """Until somebody listens at that port."""

        def is_open() -> bool:
            assert self.returncode is None, f"{self.command} ended: {self.said()[-2000:]}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        until(is_open, f"{self.command} to listen at port {port}", patience_s)

    def kill(self) -> None:
        """SIGKILL, to this process alone."""
        self._process.kill()
        self._process.wait(10)

    def stop(self, patience_s: float = 10.0) -> int:
        """Its exit code after SIGTERM; killed with all of its own session's processes after `patience_s`."""
        if self.returncode is None:
            self._process.terminate()
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(10)
        self._said.flush()
        return int(self._process.returncode)

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._said.close()

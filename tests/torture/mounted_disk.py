"""Mounts `fault_disk` in a process of its own, for tests."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).parent / "fault_disk.py"
_PATIENCE_S = 15.0
_DETACH = 2


def needs_fuse() -> None:
    """Skip the test where this machine has no FUSE for us."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse")
    pytest.importorskip("mfusepy", exc_type=Exception)


class MountedDisk:
    """A mounted fault disk. `root` is where it is to be used; `backing` is what really lies there."""

    def __init__(self, directory: Path, *, traced: bool = False) -> None:
        self.directory = directory
        self.backing = directory / "backing"
        self.root = directory / "disk"
        self.trace = directory / "trace" if traced else None
        self._control = directory / "control"
        self._process: subprocess.Popen[bytes] | None = None
        for path in (self.backing, self.root):
            path.mkdir(parents=True, exist_ok=True)

    def mount(self) -> None:
        """Mount it. Whatever lies in `root` itself is hidden meanwhile."""
        self._control.unlink(missing_ok=True)
        words = [
            sys.executable,
            str(_PROGRAM),
            str(self.backing),
            str(self.root),
            str(self._control),
        ]
        if self.trace is not None:
            words.append(str(self.trace))
        log = (self.directory / "fuse.log").open("ab")
        self._process = subprocess.Popen(words, stdout=log, stderr=log)
        end_s = time.monotonic() + _PATIENCE_S
        while not (os.path.ismount(self.root) and self._control.exists()):
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise AssertionError((self.directory / "fuse.log").read_text(errors="replace"))
            time.sleep(0.02)

    def fault(self, **faults: object) -> None:
        """Have these faults, and no others, from now on; none without arguments."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(self._control))
            connection.sendall(json.dumps(faults).encode() + b"\n")
            assert connection.recv(16) == b"ok\n"

    def yank(self) -> None:
        """Tear it out: whoever has files open on it gets errors; `root` is a plain directory again."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        _unmount(self.root)

    def unmount(self) -> None:
        """Take it away for good at the end of a test."""
        if self._process is None:
            return
        _unmount(self.root)
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _unmount(root: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    while os.path.ismount(root) or _is_dead(root):
        if (
            libc.umount2(os.fsencode(root), _DETACH)
            and subprocess.run(
                ["fusermount3", "-u", "-z", str(root)], capture_output=True, check=False
            ).returncode
        ):
            raise OSError(ctypes.get_errno(), f"cannot unmount {root}")


def _is_dead(root: Path) -> bool:
    """Whether its file system's process is gone, but not the mount."""
    try:
        root.stat()
    except OSError:
        return True
    return False


@contextmanager
def mounted_disk(directory: Path, *, traced: bool = False) -> Iterator[MountedDisk]:
    """A mounted disk, unmounted at the end whatever happens."""
    needs_fuse()
    disk = MountedDisk(directory, traced=traced)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()

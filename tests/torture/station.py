"""A recorder of the real program under simulated cameras, and all that is asked of it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from khupho.clock import SystemClock
from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.secrets import Login, load_sealer
from khupho.recorder.settings import change_setting

KHUPHO = (sys.executable, "-m", "khupho.cli")
READY_PATIENCE_S = 60.0
CHECK_PATIENCE_S = 600.0


class Station:
    """A data directory, and the recorder that runs on it now, if one does."""

    def __init__(self, data: Path, *, archive: Path | None = None, flush_s: int = 10) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        if archive is not None:
            change_setting(data, "archive", str(archive))
        change_setting(data, "flush_interval_s", str(flush_s))
        self.root = archive or data / "archive"
        self.log = data.parent / "recorder.log"
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.prefix: tuple[str, ...] = ()
        """What the recorder is started with, as `ip netns exec NAME`."""

    def add_cameras(self, urls: Mapping[str, str], *, transport: str = "auto") -> None:
        """Put cameras on the list: id to address."""
        store = CameraStore(self.data, load_sealer(self.data))
        for name, url in urls.items():
            store.add(
                NewCamera(
                    name=name, main=(url, Login("", "", False)), sub=None, id=name,
                    transport=transport, audio=False, guaranteed_days=30, maximum_days=None,
                ),
                SystemClock().utc_us(),
            )  # fmt: skip

    # The recorder

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it says that it is ready."""
        assert self.process is None
        words = [
            *self.prefix,
            *KHUPHO,
            "recorder",
            "--data",
            str(self.data),
            "--listen",
            "127.0.0.1:0",
            "--json",
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the recorder did not start: {self.log_tail()}"
        self.url = json.loads(line)["url"].rstrip("/")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._gone()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._gone()

    def _gone(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process.stdout.close()
        self.process = None
        return code

    def close(self) -> None:
        """End it if it runs."""
        if self.process is not None:
            self.process.kill()
            self._gone()

    def log_tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])

    def status(self) -> dict:
        """What `/api/v1/status` says."""
        with urllib.request.urlopen(f"{self.url}/api/v1/status", timeout=30) as answer:
            return json.load(answer)

    def alarms(self) -> list[str]:
        """The standing alarms, in words."""
        return [_english(alarm["what"]) for alarm in self.status()["alarms"]]

    def phases(self) -> dict[str, str]:
        """Camera to the phase of its main stream."""
        return {
            camera["id"]: stream["phase"]
            for camera in self.status()["cameras"]
            for stream in camera["streams"]
            if stream["stream"] == "main"
        }

    # The archive

    def check(self, *, deep: bool = True) -> dict:
        """`khupho archive check --json`."""
        words = [*KHUPHO, "archive", "check", "--data", str(self.data), "--json"]
        done = subprocess.run(
            words + ["--deep"] * deep, capture_output=True, text=True, timeout=CHECK_PATIENCE_S,
            check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def list_footage(self) -> str:
        """`khupho archive list --json`, as it is printed."""
        words = [*KHUPHO, "archive", "list", "--data", str(self.data), "--json", "--zone", "UTC"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _english(words: object) -> str:
    if isinstance(words, dict):
        return str(words.get("en", words))
    return str(words)


def wait_until(
    reached: Callable[[], bool], what: str, patience_s: float = 30.0, every_s: float = 0.1
) -> float:
    """Wait for a condition; how long that took."""
    begin_s = time.monotonic()
    while not reached():
        waited_s = time.monotonic() - begin_s
        assert waited_s < patience_s, f"{what}: not within {patience_s:.0f} s"
        time.sleep(every_s)
    return time.monotonic() - begin_s


def assert_clean(report: dict) -> None:
    """Every invariant holds."""
    assert report["well"], json.dumps(report["findings"][:20], indent=1)


class Committed:
    """The hash of everything that was once committed, to find what was changed afterwards."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, tuple[int, str]] = {}
        """Segment to the bytes that were committed and their hash."""
        self.fragments = 0

    def remember(self, segments: Iterable) -> None:
        """These walked segments' good parts. What they had before must still be there."""
        for walked in segments:
            path = walked.segment.relative_path
            self._files[path] = (walked.good_bytes, self._hash(path, walked.good_bytes))
        self.fragments = max(self.fragments, len(self._files))

    def assert_unchanged(self) -> None:
        """Every committed byte is as it was."""
        for path, (size, digest) in self._files.items():
            assert (self._root / path).exists(), f"{path} is gone"
            assert self._hash(path, size) == digest, f"{path}: what was committed was changed"

    def _hash(self, path: str, size: int) -> str:
        hasher = sha256()
        with (self._root / path).open("rb") as file:
            while size > 0:
                data = file.read(min(size, 1 << 20))
                assert data, f"{path} became shorter"
                hasher.update(data)
                size -= len(data)
        return hasher.hexdigest()


class AppendOnly:
    """A file that may only grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0
        self._hasher = sha256()

    def check(self, *, torn_bytes: int = 0) -> int:
        """What was there is unchanged; takes up what is new but for a torn end. Returns its size."""
        if not self._path.exists():
            assert not self._size, f"{self._path.name} is gone"
            return 0
        data = self._path.read_bytes()
        assert len(data) >= self._size, f"{self._path.name} became shorter"
        again = sha256(data[: self._size])
        assert again.digest() == self._hasher.digest(), f"{self._path.name} was changed"
        keep = max(len(data) - torn_bytes, self._size)
        self._hasher.update(data[self._size : keep])
        self._size = keep
        return keep

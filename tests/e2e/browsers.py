"""Chromium and Firefox as players.

No driver is needed: the browser opens one page of ours, which asks our HTTP server for files to play and
tells it what it saw.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from child_process import ChildProcess

_PAGE = Path(__file__).with_name("player_page.html")
_JOB_WAIT_S = 2.0
PATIENCE_S = 300.0
RATE = 8.0
"""Files are played that much faster."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser saw of one file."""

    error: str
    buffered: list[list[float]]
    """Of the element, once it ended: beginning and end of each range, seconds."""
    appended: list[list[float]] | None
    """Of the source buffer after the append; None without MSE."""
    duration_s: float | None
    current_s: float
    ended: bool
    times: list[float]
    width: int
    height: int
    frames: int
    """Decoded, shown or not."""
    dropped: int
    corrupted: int


@dataclass(slots=True)
class _Desk:
    """Where the page takes its jobs and brings its findings."""

    jobs: queue.Queue[dict[str, Any]]
    waiting: dict[int, Future[dict[str, Any]]]
    files: dict[str, Path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    desk: _Desk

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, _PAGE.read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/job":
            try:
                job = self.desk.jobs.get(timeout=_JOB_WAIT_S)
            except queue.Empty:
                job = {}
            self._answer(200, json.dumps(job or None).encode(), "application/json")
        elif self.path in self.desk.files:
            self._file(self.desk.files[self.path].read_bytes())
        else:
            self._answer(404, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        future = self.desk.waiting.pop(int(self.path.rsplit("/", 1)[1]), None)
        if future is not None:
            future.set_result(json.loads(body))
        self._answer(200, b"", "text/plain")

    def _file(self, data: bytes) -> None:
        """With byte ranges (RFC 9110 section 14), which browsers want of video."""
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            self._answer(200, data, "video/mp4", {"Accept-Ranges": "bytes"})
            return
        first, _, last = wanted[6:].partition("-")
        begin = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) + 1 if first and last else len(data), len(data))
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Range": f"bytes {begin}-{end - 1}/{len(data)}",
        }
        if begin >= len(data):
            self._answer(416, b"", "video/mp4", {"Content-Range": f"bytes */{len(data)}"})
        else:
            self._answer(206, data[begin:end], "video/mp4", headers)

    def _answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Browser:
    """A browser that runs and plays what it is handed."""

    def __init__(self, name: str, desk: _Desk, child: ChildProcess) -> None:
        self.name = name
        self._desk = desk
        self._child = child
        self._numbers = count(1)

    def ask(
        self, path: Path, how: str, mime: str, is_video: bool = True, rate: float = RATE
    ) -> Future[dict[str, Any]]:
        """Hand it a file; `how` is `mse` or `src`, `mime` with codecs as in RFC 6381."""
        number = next(self._numbers)
        url = f"/file/{number}/{path.name}"
        self._desk.files[url] = path
        future: Future[dict[str, Any]] = Future()
        self._desk.waiting[number] = future
        self._desk.jobs.put(
            {"id": number, "url": url, "how": how, "mime": mime, "rate": rate, "is_video": is_video}
        )
        return future

    def seen(self, future: Future[dict[str, Any]]) -> Seen:
        """What it saw; fails the test if it doesn't say in time."""
        try:
            told = future.result(PATIENCE_S)
        except TimeoutError:
            raise AssertionError(
                f"no word from the browser: {self._child.said()[-2000:]}"
            ) from None
        return Seen(
            told.get("error", ""), told["buffered"], told["appended"], told["duration"],
            told["current"], told["ended"], told["times"], told["width"], told["height"],
            told["frames"], told["dropped"], told["corrupted"],
        )  # fmt: skip

    def play(self, path: Path, how: str, mime: str) -> Seen:
        return self.seen(self.ask(path, how, mime))


_FIREFOX_PREFERENCES = {
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "services.settings.server": "http://127.0.0.1:9",
}


def chromium_command(profile: Path, url: str) -> list[str]:
    return [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={profile}", url,
    ]  # fmt: skip


def firefox_command(profile: Path, url: str) -> list[str]:
    lines = [
        f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _FIREFOX_PREFERENCES.items()
    ]
    (profile / "user.js").write_text("\n".join(lines))
    return ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), url]


_COMMANDS = {"chromium": chromium_command, "firefox": firefox_command}
NAMES = tuple(_COMMANDS)
_PROGRAMS = {"chromium": "chromium", "firefox": "firefox-esr"}


def is_here(name: str) -> bool:
    """Whether this machine has it (Debian: chromium, firefox-esr)."""
    return shutil.which(_PROGRAMS[name]) is not None


@contextmanager
def running_browser(name: str) -> Iterator[Browser]:
    """`chromium` or `firefox`, headless, with a profile of its own."""
    desk = _Desk(queue.Queue(), {}, {})
    handler = type("Handler", (_Handler,), {"desk": desk})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    profile = Path(tempfile.mkdtemp(prefix=f"khupho-{name}-"))
    command = _COMMANDS[name](profile, f"http://127.0.0.1:{server.server_port}/")
    try:
        env = {
            "HOME": str(profile),
            "MOZ_DISABLE_AUTO_SAFE_MODE": "1",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        }
        with ChildProcess(command, env=env) as child:
            yield Browser(name, desk, child)
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(profile, ignore_errors=True)

"""A page in headless Firefox, steered over WebDriver BiDi; the same few verbs as `chromium_page`."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE_S = 60.0
_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.enabled": False,
}


class FirefoxPage:
    """One tab. `errors` are what its console complained of."""

    def __init__(self, connection: ClientConnection) -> None:
        self.errors: list[str] = []
        self._connection = connection
        self._number = 0
        self._call("session.new", capabilities={})
        self._call("session.subscribe", events=["log.entryAdded"])
        tree = self._call("browsingContext.getTree")
        self._tab: str = tree["contexts"][0]["context"]

    def open(self, url: str, width: int, height: int, *, dark: bool = False) -> None:
        """Load a page in a window of that size."""
        assert not dark
        self._call(
            "browsingContext.setViewport",
            context=self._tab,
            viewport={"width": width, "height": height},
        )
        self._call("browsingContext.navigate", context=self._tab, url=url, wait="interactive")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise's once it is kept."""
        answer = self._call(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({script})) ?? null))()",
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def until(self, script: str) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while not (value := self.run(script)):
            assert time.monotonic() < end, script
            time.sleep(0.1)
        return value

    def picture(self, path: Path) -> None:
        """A PNG of what is seen."""
        answer = self._call("browsingContext.captureScreenshot", context=self._tab)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(call))
        while True:
            message = json.loads(self._connection.recv(PATIENCE_S))
            if message.get("id") == self._number:
                assert message["type"] == "success", message
                return message["result"]
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.errors.append(str(message["params"].get("text")))


@contextmanager
def firefox_page() -> Iterator[FirefoxPage]:
    """A fresh browser with one tab."""
    assert FIREFOX is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in _PREFERENCES.items()
        ]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        command = [
            FIREFOX, "--headless", "--no-remote", "--profile", profile,
            "--remote-debugging-port", "0", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            with connect(f"{_address(process)}/session", max_size=None) as connection:
                yield FirefoxPage(connection)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens, as it says itself."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        _, found, address = line.partition("WebDriver BiDi listening on ")
        if found:
            return address.strip()
    raise AssertionError("".join(said))

"""A person at a running recorder's API: signs in, asks, watches. Loopback, bounded waits."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 30.0
OWNER, PASSWORD = "Chị Hoa", "một mật khẩu dài"


class Person:
    """One browser."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )

    def ask(
        self, path: str, body: object = None, method: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of an answer."""
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers = {"content-type": "application/json", **headers}
        request = urllib.request.Request(
            self.origin + path,
            data,
            {"origin": self.origin, **headers},
            method=method or ("GET" if data is None else "POST"),
        )
        try:
            with self._opener.open(request, timeout=PATIENCE_S) as answer:
                return answer.status, _lower(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _lower(error.headers), error.read()

    def json(self, path: str, body: object = None, method: str = "", wanted: int = 0) -> Any:
        """The answer's JSON; its status must be the wanted one, or a good one."""
        status, _headers, data = self.ask(path, body, method)
        assert status == wanted or (not wanted and status < 300), (status, data)
        return json.loads(data) if data else None

    def set_up(self, set_up_url: str) -> None:
        """Make the owner's account by the link that was printed."""
        code = set_up_url.partition("code=")[2]
        self.json("/api/v1/set-up", {"code": code, "name": OWNER, "password": PASSWORD})

    def sign_in(self, name: str = OWNER, password: str = PASSWORD) -> None:
        self.json("/api/v1/sign-in", {"name": name, "password": password})

    def invite(self, name: str, role: str, **more: Any) -> tuple[Person, int]:
        """Another person with an account of that role, signed in; and the account's id."""
        made = self.json("/api/v1/accounts", {"name": name, "role": role, **more})
        guest = Person(self.origin)
        guest.json(
            "/api/v1/invitations/accept", {"code": made["code"], "password": PASSWORD + name}
        )
        return guest, made["account"]["id"]

    def cookie(self) -> str:
        """What the browser sends along."""
        return "; ".join(f"{one.name}={one.value}" for one in self._cookies)

    def live(self, camera: str, stream: str = "main", origin: str = "") -> ClientConnection:
        """An open view. Raises `InvalidStatus` where it is refused."""
        return connect(
            f"{self.origin.replace('http', 'ws')}/api/v1/cameras/{camera}/{stream}/live",
            origin=origin or self.origin,  # type: ignore[arg-type]  # a str by another name
            additional_headers={"cookie": self.cookie()},
            open_timeout=PATIENCE_S,
            max_size=None,
            compression=None,
        )


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

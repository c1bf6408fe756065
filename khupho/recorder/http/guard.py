"""Who may see the page, until accounts come: this machine, or whoever holds the token.

Wraps any ASGI application. Against DNS rebinding the Host header must be a number or one of this
machine's own names: a page of another site that makes its name point here cannot send either.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/healthz"})
"""Answered without a token: they tell nothing but that a recorder is there."""

_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::\d{1,5})?\.?", re.I)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)

_WHOLE_ADDRESS_NEEDED = (
    "Trang này cần địa chỉ đầy đủ, có mã truy cập, như đầu ghi đã in ra khi khởi động.\n"
    "This page needs the whole address with its token, as the recorder printed it at its start.\n"
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks every request, and puts the security headers on every answer."""

    def __init__(
        self, application: Application, *, own_names: Iterable[str], port: int, token: str = ""
    ) -> None:
        """`own_names`: names (not numbers) by which this machine may be called. An empty token: the
        page is on loopback, and none is asked for."""
        self._application = application
        self._names = {"localhost", *(name.lower() for name in own_names if name)}
        self._cookie = f"khupho-{port}"
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here
        more_headers: list[tuple[bytes, bytes]] = []

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, *more_headers]
            await send(message)

        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            headers.setdefault(bytes(name).lower(), bytes(value))
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(send_guarded, 405, "Only GET and HEAD.\n")
        elif not self._is_own_host(headers.get(b"host", b"").decode("latin-1")):
            await _refuse(send_guarded, 421, "This recorder has no such name.\n")
        elif scope["path"] in OPEN_PATHS or not self._token:
            await self._application(scope, receive, send_guarded)
        elif self._in_address(scope):
            # No redirect: coming from a link, the browser would not send a strict cookie along.
            more_headers.append(
                (
                    b"set-cookie",
                    f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict".encode(),
                )
            )
            await self._application(scope, receive, send_guarded)
        elif self._in_headers(headers):
            await self._application(scope, receive, send_guarded)
        else:
            await _refuse(send_guarded, 401, _WHOLE_ADDRESS_NEEDED)

    def _is_own_host(self, text: str) -> bool:
        match = _HOST.fullmatch(text.strip())
        if match is None:
            return False
        host = match[1].strip("[]").lower().rstrip(".")
        try:
            ipaddress.ip_address(host.split("%")[0])
        except ValueError:
            return host in self._names
        return True

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    def _in_address(self, scope: Scope) -> bool:
        query = bytes(scope.get("query_string", b""))[:1_000].decode("latin-1")
        return any(self._is_token(value) for value in parse_qs(query).get("token", ()))

    def _in_headers(self, headers: MutableMapping[bytes, bytes]) -> bool:
        scheme, _, word = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(word.strip()):
            return True
        for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie and self._is_token(value):
                return True
        return False


async def _refuse(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

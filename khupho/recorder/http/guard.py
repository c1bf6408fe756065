"""What no request passes without: one of this machine's names, and for what changes something its own page.

Wraps any ASGI application. Against DNS rebinding the Host header must be a number or one of this
machine's own names; against forgery across sites whatever isn't a mere question, and every WebSocket, must
carry an Origin of that same host. The state of the recorder is shown to this machine and to whoever holds
the token (`TRUSTED`); everything with people and footage asks `door`.
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
APP = "/app"
"""The browser app's own files, which are no secret; what it shows it asks of the API."""
API = "/api/v1/"
"""Below it the application itself asks who is there, and answers in its own form."""
TRUSTED = "khupho.trusted"
"""In the scope: whether this machine asks, or somebody with the token."""
_QUESTIONS = frozenset({"GET", "HEAD"})
_CHANGES = frozenset({"POST", "PATCH", "DELETE"})

_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::\d{1,5})?\.?", re.I)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        b"media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'",
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
        if scope["type"] == "websocket":
            await self._web_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        more_headers: list[tuple[bytes, bytes]] = []

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, *more_headers]
            await send(message)

        headers = _first_of_each(scope)
        is_api = scope["path"].startswith(API)
        is_question = scope["method"] in _QUESTIONS
        scope[TRUSTED] = not self._token or self._in_address(scope) or self._in_headers(headers)
        if not is_question and not (is_api and scope["method"] in _CHANGES):
            await _refuse(send_guarded, 405, "Only GET and HEAD.\n")
        elif not self._is_own_host(headers.get(b"host", b"").decode("latin-1")):
            await _refuse(send_guarded, 421, "This recorder has no such name.\n")
        elif not is_question and not _is_own_origin(headers):
            await _refuse(send_guarded, 403, "Only the recorder's own page may change anything.\n")
        elif is_api or _is_open(scope["path"]) or not self._token:
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
        elif scope[TRUSTED]:
            await self._application(scope, receive, send_guarded)
        else:
            await _refuse(send_guarded, 401, _WHOLE_ADDRESS_NEEDED)

    async def _web_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _first_of_each(scope)
        is_own = self._is_own_host(headers.get(b"host", b"").decode("latin-1"))
        if not is_own or not _is_own_origin(headers):
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": ""})
            return
        scope[TRUSTED] = False
        await self._application(scope, receive, send)

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


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path == APP or path.startswith(APP + "/")


def _first_of_each(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers.setdefault(bytes(name).lower(), bytes(value))
    return headers


def _is_own_origin(headers: MutableMapping[bytes, bytes]) -> bool:
    """Whether the browser says that a page of this very address asks (RFC 6454)."""
    scheme, separator, host = headers.get(b"origin", b"").partition(b"://")
    is_web = scheme in (b"http", b"https") and bool(separator)
    return is_web and host.lower() == headers.get(b"host", b"").strip().lower()


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

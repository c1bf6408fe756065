"""Who may see the page."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from khupho.recorder.http.guard import (
    TRUSTED,
    Application,
    Guard,
    Message,
    Receive,
    Scope,
    Send,
    is_loopback,
)

TOKEN = "a-token-of-many-letters"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    path: str = "/", host: str = "127.0.0.1:8080", method: str = "GET", query: str = "",
    token: str = "", inside: Application = application, **headers: str,
) -> Answer:  # fmt: skip
    guard = Guard(inside, own_names=["Recorder-7", "recorder-7.local"], port=8080, token=token)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    pairs = [(b"host", host.encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": pairs,
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], fields, sent[1]["body"])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "localhost", "LOCALHOST:9000", "[::1]:8080", "192.168.1.9", "recorder-7",
     "recorder-7.local:8080", "localhost."],
)  # fmt: skip
def test_own_names_and_numbers_are_let_in(host: str) -> None:
    assert ask(host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "", "a b",
             "evil.example:8080@127.0.0.1", "127.0.0.1:80:80"],
)  # fmt: skip
def test_a_rebound_name_is_refused(host: str) -> None:
    assert ask(host=host)[:1] == (421,)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed_here(method: str) -> None:
    answer = ask(method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("answer", [ask(), ask(host="evil.example"), ask(token=TOKEN)])
def test_every_answer_has_the_security_headers(answer: Answer) -> None:
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_without_the_token_nothing_is_told() -> None:
    for answer in (
        ask(token=TOKEN),
        ask(token=TOKEN, query="token=wrong"),
        ask(token=TOKEN, cookie="khupho-8080="),
        ask(token=TOKEN, cookie=f"khupho-9999={TOKEN}"),
        ask(token=TOKEN, authorization=f"Basic {TOKEN}"),
        ask(token=TOKEN, path="/application"),
    ):
        assert (answer.status, answer.body != b"inside") == (401, True)
        assert "set-cookie" not in answer.headers
    assert ask(token=TOKEN, path="/healthz").status == 200


def test_the_address_gives_a_cookie_that_then_suffices() -> None:
    answer = ask(token=TOKEN, query=f"a=b&token={TOKEN}")
    assert answer.body == b"inside"
    cookie = answer.headers["set-cookie"]
    assert cookie == f"khupho-8080={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    again = ask(token=TOKEN, cookie=f"other=1; {cookie.partition(';')[0]}")
    assert again.body == b"inside"
    assert ask(token=TOKEN, authorization=f"Bearer {TOKEN}").body == b"inside"


def test_loopback_is_known() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(h) for h in ("0.0.0.0", "::", "192.168.1.9", "recorder")] == [False] * 4


def test_the_api_is_told_whether_somebody_holds_the_token() -> None:
    for query, is_trusted in (("", False), (f"token={TOKEN}", True)):
        seen: list[Scope] = []

        async def inside(
            scope: Scope, receive: Receive, send: Send, seen: list[Scope] = seen
        ) -> None:
            seen.append(scope)
            await application(scope, receive, send)

        assert ask(path="/api/v1/status", token=TOKEN, query=query, inside=inside).status == 200
        assert seen[0][TRUSTED] is is_trusted


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8080", 200),
        ("https://127.0.0.1:8080", 200),
        ("http://127.0.0.1:9090", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("file://127.0.0.1:8080", 403),
    ],
)
def test_only_a_page_of_this_recorder_changes_anything(origin: str, status: int) -> None:
    fields = {"origin": origin} if origin else {}
    for method in ("POST", "PATCH", "DELETE"):
        assert ask(path="/api/v1/accounts", method=method, **fields).status == status
        assert ask(path="/page/page.js", method=method, **fields).status == 405
    assert ask(path="/api/v1/accounts", method="PUT", **fields).status == 405


@pytest.mark.parametrize(
    ("host", "origin", "is_in"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("recorder-7:8080", "http://Recorder-7:8080", True),
        ("127.0.0.1:8080", "http://evil.example", False),
        ("127.0.0.1:8080", "", False),
        ("evil.example", "http://evil.example", False),
    ],
)
def test_a_web_socket_needs_its_own_origin(host: str, origin: str, is_in: bool) -> None:
    sent: list[Message] = []
    entered: list[Scope] = []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        entered.append(scope)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    headers = [(b"host", host.encode())]
    if origin:
        headers.append((b"origin", origin.encode()))
    guard = Guard(inside, own_names=["Recorder-7"], port=8080, token=TOKEN)
    scope = {"type": "websocket", "path": "/api/v1/x", "query_string": b"", "headers": headers}
    asyncio.run(guard(scope, receive, send))
    assert bool(entered) is is_in
    assert [message["type"] for message in sent] == ([] if is_in else ["websocket.close"])

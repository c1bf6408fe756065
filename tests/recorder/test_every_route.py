"""Every route of the recorder says which action it needs, and asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.handlers.base import BaseRouteHandler
from litestar.testing import TestClient

from khupho.clock import SystemClock
from khupho.recorder.accounts.accounts import Accounts
from khupho.recorder.accounts.roles import Action
from khupho.recorder.http.account_routes import account_routes
from khupho.recorder.http.application import make_application
from khupho.recorder.http.camera_routes import camera_routes
from khupho.recorder.http.door import Door
from khupho.recorder.http.footage_routes import Footage, footage_routes
from khupho.recorder.http.live_routes import live_routes
from khupho.recorder.http.pages import page_routes
from khupho.recorder.http.web_routes import web_routes

OPEN = {
    "/api/v1/me", "/api/v1/set-up", "/api/v1/sign-in", "/api/v1/invitations/accept",
    "/api/v1/passkey-sign-in", "/api/v1/passkey-sign-in/options", "/api/v1/openapi.json",
    "/api/v1", "/api/v1/{path}", "/healthz", "/app", "/app/{path}",
}  # fmt: skip
BY_CAMERA = {Action.LIVE, Action.PLAYBACK, Action.STILL, Action.EXPORT}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    accounts = Accounts.open(tmp_path, SystemClock())
    yield Door(accounts, {"gate"}.__contains__, 8080)
    accounts.close()


def application(door: Door, *more: BaseRouteHandler) -> Litestar:
    nothing: Any = None  # no handler runs here
    made = make_application(
        door,
        [
            *web_routes(), *page_routes(nothing, nothing), *account_routes(door, SystemClock()),
            *camera_routes(door, list), *live_routes(door, nothing, nothing),
            *footage_routes(Footage(door, nothing, nothing, nothing)), *more,
        ],
        version="0",
    )  # fmt: skip
    assert isinstance(made, Litestar)
    return made


def handlers(made: Litestar) -> Iterator[tuple[str, BaseRouteHandler]]:
    for route in made.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr]  # each kind has one of the two
            if not handler.handler_name.startswith("options_handler"):
                yield route.path_format, handler


def test_every_route_says_its_action(door: Door) -> None:
    found = list(handlers(application(door)))
    assert len(found) > 30
    for path, handler in found:
        action = handler.opt.get("action")
        assert isinstance(action, Action), path
        if action is Action.OPEN:
            assert path in OPEN, path
        is_media = "{camera}" in path
        assert is_media == (action in BY_CAMERA), path


def test_no_closed_route_answers_a_stranger(door: Door) -> None:
    made = application(door)
    with TestClient(made, base_url="http://127.0.0.1:8080") as client:
        for path, handler in handlers(made):
            if handler.opt["action"] is Action.OPEN or not hasattr(handler, "http_methods"):
                continue
            address = path.replace("{camera}", "gate").replace("{stream}", "main")
            for name in ("account", "session", "passkey"):
                address = address.replace("{" + name + "}", "1")
            address = address.replace("{name}", "1.mp4")
            for method in handler.http_methods - {"OPTIONS"}:
                answer = client.request(method, address, json={})
                assert answer.status_code == 401, (method, address, answer.text)
                assert answer.json()["type"] == "not-signed-in"


def test_a_route_that_forgot_to_say_is_closed(door: Door) -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "secret"

    with TestClient(application(door, forgotten)) as client:
        assert client.get("/forgotten").status_code == 403


def test_before_set_up_nothing_but_that_is_open(door: Door) -> None:
    assert not door.accounts.is_set_up
    with TestClient(application(door)) as client:
        assert client.get("/api/v1/me").json() == {
            "is_set_up": False, "person": None, "actions": ["open"],
        }  # fmt: skip
        wrong = {"code": "no such code", "name": "Hoa", "password": "một mật khẩu dài"}
        assert client.post("/api/v1/set-up", json=wrong).status_code == 410
        assert client.post("/api/v1/set-up", json={"name": 1}).status_code == 400

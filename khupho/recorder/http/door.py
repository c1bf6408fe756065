"""One check for every route: its action, of the person behind the session, for the camera in the address.

Until the new page is the only one, whoever may see the status page (`guard`: this machine, or the token)
may do so without an account; routes for that say `trusted` beside their action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.handlers.base import BaseRouteHandler

from khupho.recorder.accounts.accounts import Accounts, Caller, SignedIn
from khupho.recorder.accounts.roles import Action, Person, allows
from khupho.recorder.http.guard import TRUSTED
from khupho.recorder.http.problems import forbidden, no_such_camera, not_signed_in
from khupho.units import US_PER_S

Connection = ASGIConnection[Any, Any, Any, State]
STREAMS = frozenset({"main", "sub"})
_MOST_AGENT = 200


class Door:
    """Knows who asks, and what they may."""

    def __init__(self, accounts: Accounts, has_camera: Callable[[str], bool], port: int) -> None:
        self.accounts = accounts
        self._has_camera = has_camera
        self._cookie = f"khupho-session-{port}"

    def person(self, connection: Connection) -> Person | None:
        """Who is signed in on this connection."""
        token = connection.cookies.get(self._cookie, "")
        return self.accounts.person(token) if token else None

    def known(self, connection: Connection) -> Person:
        """As `person`, where a route has let only those in. Raises `ProblemError`."""
        person = self.person(connection)
        if person is None:
            raise not_signed_in()
        return person

    def require(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Litestar's guard of the whole application. Raises `ProblemError`."""
        action = handler.opt.get("action")
        if not isinstance(action, Action):
            raise forbidden()  # a route that forgot to say; a test finds it
        camera = connection.path_params.get("camera")
        stream = connection.path_params.get("stream", "main")
        if camera is not None and (not self._has_camera(camera) or stream not in STREAMS):
            # Who isn't signed in learns that first, whether there is such a camera or not.
            raise no_such_camera() if self._may_ask(connection, handler) else not_signed_in()
        if handler.opt.get("trusted") and connection.scope.get(TRUSTED):
            return
        person = self.person(connection)
        if allows(person, action, camera):
            return
        if person is None:
            raise not_signed_in()
        raise forbidden() if camera is None else no_such_camera()

    def _may_ask(self, connection: Connection, handler: BaseRouteHandler) -> bool:
        is_trusted = handler.opt.get("trusted") and connection.scope.get(TRUSTED)
        return bool(is_trusted) or self.person(connection) is not None

    def caller(self, connection: Connection) -> Caller:
        """From where, for the log."""
        address = connection.client.host if connection.client is not None else ""
        return Caller(address, connection.headers.get("user-agent", "")[:_MOST_AGENT])

    def cookie(self, signed_in: SignedIn, now_utc_us: int) -> Cookie:
        """What keeps a browser signed in."""
        left_s = max(0, (signed_in.expires_utc_us - now_utc_us) // US_PER_S)
        return self._made(signed_in.token, left_s)

    def cookie_to_forget(self) -> Cookie:
        return self._made("", 0)

    def _made(self, value: str, max_age_s: int) -> Cookie:
        return Cookie(
            key=self._cookie,
            value=value,
            path="/",
            httponly=True,
            samesite="strict",
            max_age=max_age_s,
        )

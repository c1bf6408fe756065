"""Routes about people: set-up, sign-in, invitations, sessions, passwords, passkeys, accounts, access log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromQuery, JSONBody, QueryParameter

from khupho.clock import Clock
from khupho.recorder.accounts.access_log import AccessEntry
from khupho.recorder.accounts.accounts import AccountView, SessionView, SignedIn
from khupho.recorder.accounts.roles import Action, Person, Role, allows
from khupho.recorder.http.door import Door
from khupho.recorder.http.problems import FAILURES, Problem, ProblemError

_Asked = Request[object, object, State]
_NO_STORE = {"cache-control": "no-store"}
_MOST_NUMBER = (1 << 53) - 1
"""Of what is numbered; every JSON reader can hold it."""


class SetUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first owner's account."""

    code: str
    """From the link that the recorder printed."""
    name: str
    password: str


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and password."""

    name: str
    password: str


class AcceptInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new person chooses a password."""

    code: str
    password: str


class ChangePassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both, so that a browser left open doesn't give the account away."""

    old: str
    new: str


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite."""

    name: str
    role: Role
    cameras: list[str] | None = None
    """Ids; null for all, also those to come."""
    may_export: bool = False


class ChangeAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not given stays as it is."""

    role: Role | msgspec.UnsetType = msgspec.UNSET
    cameras: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    may_export: bool | msgspec.UnsetType = msgspec.UNSET
    is_disabled: bool | msgspec.UnsetType = msgspec.UNSET


class PasskeyAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `navigator.credentials` gave (WebAuthn section 5.1, as JSON)."""

    answer: dict[str, Any]
    label: str = ""


class PersonView(msgspec.Struct, frozen=True):
    """Who is signed in."""

    name: str
    role: Role
    cameras: list[str] | None
    may_export: bool


class Me(msgspec.Struct, frozen=True):
    """What the page needs to know first."""

    is_set_up: bool
    person: PersonView | None
    actions: list[str]


class Invited(msgspec.Struct, frozen=True):
    """A new account, and the code with which its person chooses a password; told once."""

    account: AccountView
    code: str


class Code(msgspec.Struct, frozen=True):
    """A one-time code; told once."""

    code: str


class AccessPage(msgspec.Struct, frozen=True):
    """Part of the access log, newest first."""

    entries: Sequence[AccessEntry]
    next: int | None
    """`before` of the following part; null at the end."""


def account_routes(door: Door, clock: Clock) -> list[BaseRouteHandler]:
    """Handlers for Litestar."""
    return [
        *_entrance_routes(door, clock),
        *_own_routes(door),
        *_passkey_routes(door, clock),
        *_owner_routes(door),
    ]


def _entrance_routes(door: Door, clock: Clock) -> list[BaseRouteHandler]:
    accounts = door.accounts

    def entered(signed_in: SignedIn) -> Response[Me]:
        return Response(
            _me(is_set_up=True, person=signed_in.person),
            cookies=[door.cookie(signed_in, clock.utc_us())],
            headers=_NO_STORE,
        )

    @get("/api/v1/me", opt={"action": Action.OPEN}, responses=FAILURES, sync_to_thread=False)
    def me(request: _Asked) -> Response[Me]:
        """Who is signed in, and what they may do."""
        view = _me(is_set_up=accounts.is_set_up, person=door.person(request))
        return Response(view, headers=_NO_STORE)

    @post("/api/v1/set-up", opt={"action": Action.OPEN}, responses=FAILURES, status_code=200)
    async def set_up(request: _Asked, data: JSONBody[SetUp]) -> Response[Me]:
        """Make the first owner's account."""
        caller = door.caller(request)
        return entered(await accounts.set_up(data.code, data.name, data.password, caller))

    @post("/api/v1/sign-in", opt={"action": Action.OPEN}, responses=FAILURES, status_code=200)
    async def sign_in(request: _Asked, data: JSONBody[SignIn]) -> Response[Me]:
        """Sign in with name and password."""
        return entered(await accounts.sign_in(data.name, data.password, door.caller(request)))

    @post(
        "/api/v1/invitations/accept",
        opt={"action": Action.OPEN},
        responses=FAILURES,
        status_code=200,
    )
    async def accept(request: _Asked, data: JSONBody[AcceptInvitation]) -> Response[Me]:
        """Choose a password for an account one was invited to."""
        caller = door.caller(request)
        return entered(await accounts.accept_invitation(data.code, data.password, caller))

    @post("/api/v1/sign-out", opt={"action": Action.SELF}, responses=FAILURES, status_code=204)
    async def sign_out(request: _Asked) -> Response[None]:
        """End this session."""
        await accounts.sign_out(door.known(request))
        return Response(None, cookies=[door.cookie_to_forget()], headers=_NO_STORE)

    return [me, set_up, sign_in, accept, sign_out]


def _own_routes(door: Door) -> list[BaseRouteHandler]:
    accounts = door.accounts

    @get("/api/v1/me/sessions", opt={"action": Action.SELF}, responses=FAILURES)
    async def sessions(request: _Asked) -> Response[list[SessionView]]:
        """Where one is signed in."""
        person = door.known(request)
        found = await accounts.sessions(person.account_id, person.session_id)
        return Response(found, headers=_NO_STORE)

    @delete("/api/v1/sessions/{session:int}", opt={"action": Action.SELF}, responses=FAILURES)
    async def end_session(request: _Asked) -> None:
        """End a session of one's own; an owner ends anybody's."""
        await accounts.end_session(door.known(request), _number(request, "session"))

    @post("/api/v1/me/password", opt={"action": Action.SELF}, responses=FAILURES, status_code=204)
    async def password(request: _Asked, data: JSONBody[ChangePassword]) -> None:
        """Change the password; other sessions of the account end."""
        await accounts.change_password(door.known(request), data.old, data.new)

    return [sessions, end_session, password]


def _passkey_routes(door: Door, clock: Clock) -> list[BaseRouteHandler]:
    accounts = door.accounts

    @post(
        "/api/v1/me/passkeys/options",
        opt={"action": Action.SELF},
        responses=FAILURES,
        status_code=200,
    )
    async def options(request: _Asked) -> Response[dict[str, Any]]:
        """What `navigator.credentials.create` is to be asked with."""
        rp_id, _origin = _site(request)
        found = await accounts.passkey_options(door.known(request), rp_id)
        return Response(found, headers=_NO_STORE)

    @post("/api/v1/me/passkeys", opt={"action": Action.SELF}, responses=FAILURES, status_code=204)
    async def add(request: _Asked, data: JSONBody[PasskeyAnswer]) -> None:
        """Take a new passkey."""
        rp_id, origin = _site(request)
        await accounts.add_passkey(door.known(request), rp_id, origin, data.answer, data.label)

    @get("/api/v1/me/passkeys", opt={"action": Action.SELF}, responses=FAILURES)
    async def passkeys(request: _Asked) -> Response[list[Any]]:
        """One's own passkeys."""
        return Response(list(await accounts.list_passkeys(door.known(request))), headers=_NO_STORE)

    @delete("/api/v1/me/passkeys/{passkey:int}", opt={"action": Action.SELF}, responses=FAILURES)
    async def remove(request: _Asked) -> None:
        """Forget a passkey."""
        await accounts.remove_passkey(door.known(request), _number(request, "passkey"))

    @post(
        "/api/v1/passkey-sign-in/options",
        opt={"action": Action.OPEN},
        responses=FAILURES,
        status_code=200,
    )
    async def sign_in_options(request: _Asked) -> Response[dict[str, Any]]:
        """What `navigator.credentials.get` is to be asked with."""
        rp_id, _origin = _site(request)
        return Response(await accounts.passkey_sign_in_options(rp_id), headers=_NO_STORE)

    @post(
        "/api/v1/passkey-sign-in", opt={"action": Action.OPEN}, responses=FAILURES, status_code=200
    )
    async def sign_in(request: _Asked, data: JSONBody[PasskeyAnswer]) -> Response[Me]:
        """Sign in with a passkey."""
        rp_id, origin = _site(request)
        caller = door.caller(request)
        signed_in = await accounts.passkey_sign_in(rp_id, origin, data.answer, caller)
        return Response(
            _me(is_set_up=True, person=signed_in.person),
            cookies=[door.cookie(signed_in, clock.utc_us())],
            headers=_NO_STORE,
        )

    return [options, add, passkeys, remove, sign_in_options, sign_in]


def _owner_routes(door: Door) -> list[BaseRouteHandler]:
    accounts = door.accounts

    @get("/api/v1/accounts", opt={"action": Action.ACCOUNTS}, responses=FAILURES)
    async def list_accounts() -> Response[dict[str, list[AccountView]]]:
        """Everybody who has an account."""
        return Response({"accounts": await accounts.list_accounts()}, headers=_NO_STORE)

    @post("/api/v1/accounts", opt={"action": Action.ACCOUNTS}, responses=FAILURES)
    async def create(request: _Asked, data: JSONBody[NewAccount]) -> Response[Invited]:
        """Invite somebody."""
        cameras = None if data.cameras is None else frozenset(data.cameras)
        account, code = await accounts.create_account(
            door.known(request), data.name, data.role, cameras, data.may_export
        )
        return Response(Invited(account, code), headers=_NO_STORE)

    @patch("/api/v1/accounts/{account:int}", opt={"action": Action.ACCOUNTS}, responses=FAILURES)
    async def change(request: _Asked, data: JSONBody[ChangeAccount]) -> Response[AccountView]:
        """Change role, cameras or rights; open views that lose their right end."""
        changes = {
            name: value
            for name in ("role", "cameras", "may_export", "is_disabled")
            if (value := getattr(data, name)) is not msgspec.UNSET
        }
        if changes.get("cameras") is not None:
            changes["cameras"] = frozenset(changes["cameras"])
        changed = await accounts.change_account(
            door.known(request), _number(request, "account"), **changes
        )
        return Response(changed, headers=_NO_STORE)

    @delete("/api/v1/accounts/{account:int}", opt={"action": Action.ACCOUNTS}, responses=FAILURES)
    async def remove(request: _Asked) -> None:
        """Remove an account; its sessions end, what it did stays in the log."""
        await accounts.remove_account(door.known(request), _number(request, "account"))

    @post(
        "/api/v1/accounts/{account:int}/reset-password",
        opt={"action": Action.ACCOUNTS},
        responses=FAILURES,
        status_code=200,
    )
    async def reset(request: _Asked) -> Response[Code]:
        """A new one-time code for somebody who forgot the password."""
        account = _number(request, "account")
        code = await accounts.reset_password(door.known(request), account)
        return Response(Code(code), headers=_NO_STORE)

    @get("/api/v1/access-log", opt={"action": Action.ACCESS_LOG}, responses=FAILURES)
    async def access_log(
        limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 100,
        before: Annotated[int | None, QueryParameter(ge=1, le=_MOST_NUMBER)] = None,
        camera: FromQuery[str | None] = None,
        account: FromQuery[str | None] = None,
    ) -> Response[AccessPage]:
        """Who looked at what, from where, and what was refused."""
        entries = await accounts.log.page(limit, before, camera, account)
        following = entries[-1].id if len(entries) == limit else None
        return Response(AccessPage(entries, following), headers=_NO_STORE)

    return [list_accounts, create, change, remove, reset, access_log]


def _me(*, is_set_up: bool, person: Person | None) -> Me:
    if person is None:
        return Me(is_set_up, None, [Action.OPEN.value])
    cameras = None if person.cameras is None else sorted(person.cameras)
    # What is bound to a camera is told if it is allowed for one that the person has.
    some = cameras[0] if cameras else ("*" if cameras is None else None)
    actions = [action.value for action in Action if allows(person, action, some)]
    return Me(is_set_up, PersonView(person.name, person.role, cameras, person.may_export), actions)


def _number(request: _Asked, name: str) -> int:
    """A number in the address. Raises `ProblemError`."""
    number: int = request.path_params[name]
    if not 0 < number <= _MOST_NUMBER:
        raise ProblemError(Problem("not-found", f"There is no such {name}", 404))
    return number


def _site(request: _Asked) -> tuple[str, str]:
    """Relying party and origin, as the browser names this recorder."""
    origin = request.headers.get("origin", "")
    parts = urlsplit(origin)
    if not parts.hostname:
        raise ProblemError(Problem("no-origin", "The request doesn't say where it comes from", 400))
    return parts.hostname, origin

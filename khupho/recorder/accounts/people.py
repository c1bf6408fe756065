"""Accounts and one-time codes in their tables. All of it runs in the database's thread."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field

from khupho.recorder.accounts.account_errors import (
    AccountError,
    code_expired,
    last_owner,
    not_found,
)
from khupho.recorder.accounts.database import Database
from khupho.recorder.accounts.names import compared_name
from khupho.recorder.accounts.roles import Person, Role
from khupho.recorder.accounts.views import AccountView

_USER_HANDLE_BYTES = 32
_MOST_CAMERAS = 10_000
_MOST_CAMERA_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Account:
    """A row; columns as `accounts.sql` says."""

    id: int
    name: str
    role: Role
    cameras: frozenset[str] | None
    may_export: bool
    is_disabled: bool
    password: str | None = field(repr=False)
    user_handle: bytes
    created_utc_us: int
    last_sign_in_utc_us: int | None

    def person(self, session_id: int, signed_in_utc_us: int) -> Person:
        """With the rights as the role has them."""
        is_viewer = self.role is Role.VIEWER
        return Person(
            account_id=self.id,
            name=self.name,
            role=self.role,
            cameras=self.cameras if is_viewer else None,
            may_export=self.may_export if is_viewer else self.role is Role.OWNER,
            session_id=session_id,
            signed_in_utc_us=signed_in_utc_us,
        )

    def view(self) -> AccountView:
        return AccountView(
            id=self.id,
            name=self.name,
            role=self.role,
            cameras=None if self.cameras is None else tuple(sorted(self.cameras)),
            may_export=self.may_export,
            is_disabled=self.is_disabled,
            is_invited=self.password is None,
            created_utc_us=self.created_utc_us,
            last_sign_in_utc_us=self.last_sign_in_utc_us,
        )


_SELECT = (
    "SELECT id, name, role, cameras, may_export, is_disabled, password, user_handle, "
    "created_utc_us, last_sign_in_utc_us FROM accounts"
)


def check_cameras(cameras: frozenset[str] | None) -> None:
    """Raises `AccountError` ("bad-cameras") unless these can be ids of cameras."""
    if cameras is None:
        return
    if len(cameras) > _MOST_CAMERAS or not all(
        0 < len(camera) <= _MOST_CAMERA_CHARACTERS and camera.isprintable() for camera in cameras
    ):
        raise AccountError(
            "bad-cameras", "These are no cameras' names", advice="Choose them from the list"
        )


class People:
    """Accounts, by id and by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        return int(self._database.ask("SELECT count(*) FROM accounts")[0][0])

    def all(self) -> list[Account]:
        """In the order of their names."""
        rows = self._database.ask(f"{_SELECT} ORDER BY compared_name")
        return [_account(*row) for row in rows]

    def find(self, name: str) -> Account | None:
        rows = self._database.ask(f"{_SELECT} WHERE compared_name = ?", (compared_name(name),))
        return _account(*rows[0]) if rows else None

    def get(self, account_id: int) -> Account:
        """Raises `AccountError` ("not-found")."""
        rows = self._database.ask(f"{_SELECT} WHERE id = ?", (account_id,))
        if not rows:
            raise not_found("account")
        return _account(*rows[0])

    def add(
        self,
        name: str,
        role: Role,
        cameras: frozenset[str] | None,
        may_export: bool,
        password: str | None,
        utc_us: int,
    ) -> Account:
        """Raises `AccountError` ("name-taken")."""
        if self.find(name) is not None:
            raise AccountError(
                "name-taken", "Somebody has this name already", advice="Choose another name"
            )
        rows = self._database.ask(
            "INSERT INTO accounts (name, compared_name, role, cameras, may_export, password, "
            "user_handle, created_utc_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                name, compared_name(name), role.value, _cameras_text(cameras), may_export, password,
                os.urandom(_USER_HANDLE_BYTES), utc_us,
            ),
        )  # fmt: skip
        return self.get(rows[0][0])

    def put(self, account: Account) -> None:
        """Write role, rights and password. Raises `AccountError` ("last-owner")."""
        self._database.ask(
            "UPDATE accounts SET role = ?, cameras = ?, may_export = ?, is_disabled = ?, "
            "password = ?, last_sign_in_utc_us = ? WHERE id = ?",
            (
                account.role.value, _cameras_text(account.cameras), account.may_export,
                account.is_disabled, account.password, account.last_sign_in_utc_us, account.id,
            ),
        )  # fmt: skip
        self.require_owner()

    def remove(self, account_id: int) -> None:
        """With all that is the account's. Raises `AccountError` ("last-owner")."""
        self._database.ask("DELETE FROM accounts WHERE id = ?", (account_id,))
        self.require_owner()

    def require_owner(self) -> None:
        """Raises `AccountError` ("last-owner") unless an owner is left who can sign in."""
        rows = self._database.ask(
            "SELECT 1 FROM accounts WHERE role = 'owner' AND NOT is_disabled AND (password IS NOT "
            "NULL OR EXISTS (SELECT 1 FROM passkeys WHERE account = accounts.id)) LIMIT 1"
        )
        if not rows:
            raise last_owner()


class Codes:
    """One-time codes; only their hashes are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, code: str, account_id: int | None, expires_utc_us: int) -> None:
        """In place of the earlier one of this account; None: of the set-up."""
        self._database.ask("DELETE FROM codes WHERE account IS ?", (account_id,))
        self._database.ask(
            "INSERT INTO codes VALUES (?, ?, ?)", (secret_sha256(code), account_id, expires_utc_us)
        )

    def account_of(self, code: str, now_utc_us: int) -> int | None:
        """Whose it is; None: the set-up's. Raises `AccountError` ("code-expired")."""
        rows = self._database.ask(
            "SELECT account FROM codes WHERE code_sha256 = ? AND expires_utc_us > ?",
            (secret_sha256(code), now_utc_us),
        )
        if not rows:
            raise code_expired()
        return None if rows[0][0] is None else int(rows[0][0])

    def forget(self, account_id: int | None) -> None:
        """The account's code, or the set-up's, is good no more."""
        self._database.ask("DELETE FROM codes WHERE account IS ?", (account_id,))


def secret_sha256(secret: str) -> bytes:
    """How tokens and codes are kept. They are random, so that a quick hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _cameras_text(cameras: frozenset[str] | None) -> str | None:
    return None if cameras is None else json.dumps(sorted(cameras), ensure_ascii=False)


def _account(
    id: int,
    name: str,
    role: str,
    cameras: str | None,
    may_export: int,
    is_disabled: int,
    password: str | None,
    user_handle: bytes,
    created_utc_us: int,
    last_sign_in_utc_us: int | None,
) -> Account:
    return Account(
        id=id,
        name=name,
        role=Role(role),
        cameras=None if cameras is None else frozenset(json.loads(cameras)),
        may_export=bool(may_export),
        is_disabled=bool(is_disabled),
        password=password,
        user_handle=user_handle,
        created_utc_us=created_utc_us,
        last_sign_in_utc_us=last_sign_in_utc_us,
    )

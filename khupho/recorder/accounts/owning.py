"""What owners do with accounts: invite, change, remove, reset."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from khupho.recorder.accounts.house import CODE_BYTES, House
from khupho.recorder.accounts.names import shown_name
from khupho.recorder.accounts.own_thread import to_its_end
from khupho.recorder.accounts.people import Account, check_cameras
from khupho.recorder.accounts.roles import Person, Role
from khupho.recorder.accounts.views import AccountView
from khupho.units import US_PER_DAY

INVITATION_US = US_PER_DAY


class Unchanged:
    """The type of `UNCHANGED`."""


UNCHANGED = Unchanged()
"""What is not given to `Owning.change_account`."""


class Owning(House):
    """Each method but the list asks whether `by` is an owner at this moment."""

    async def list_accounts(self) -> list[AccountView]:
        """Everybody, by name."""
        accounts = await self._file_thread.run(self._people.all)
        return [account.view() for account in accounts]

    @to_its_end
    async def create_account(
        self,
        by: Person,
        name: str,
        role: Role,
        cameras: frozenset[str] | None = None,
        may_export: bool = False,
    ) -> tuple[AccountView, str]:
        """A new account, and the one-time code with which its person chooses a password within a day."""
        by = self._owner(by)
        name = shown_name(name)
        check_cameras(cameras)

        def write() -> tuple[AccountView, str]:
            now_us = self._clock.utc_us()
            code = secrets.token_urlsafe(CODE_BYTES)
            with self._database.transaction():
                account = self._people.add(name, role, cameras, may_export, None, now_us)
                self._codes.put(code, account.id, now_us + INVITATION_US)
                self._note(by, f"account {account.id} {name} made, {_rights(account)}")
            return account.view(), code

        return await self._file_thread.run(write)

    @to_its_end
    async def change_account(
        self,
        by: Person,
        account_id: int,
        *,
        role: Role | Unchanged = UNCHANGED,
        cameras: frozenset[str] | Unchanged | None = UNCHANGED,
        may_export: bool | Unchanged = UNCHANGED,
        is_disabled: bool | Unchanged = UNCHANGED,
    ) -> AccountView:
        """Change what is given. Open views are told; a disabled account's sessions end."""
        by = self._owner(by)
        if not isinstance(cameras, Unchanged):
            check_cameras(cameras)
        given = {
            "role": role, "cameras": cameras, "may_export": may_export, "is_disabled": is_disabled,
        }  # fmt: skip
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if not isinstance(value, Unchanged)
        }

        def write() -> Account:
            with self._database.transaction():
                account = replace(self._people.get(account_id), **changes)
                self._people.put(account)
                if account.is_disabled:
                    self._delete_sessions(account.id)
                self._note(by, f"account {account.id} {account.name} changed, {_rights(account)}")
            return account

        account = await self._file_thread.run(write)
        if account.is_disabled:
            self._sessions.forget(self._sessions.of_account(account.id), write=False)
        else:
            self._sessions.change(account)
        return account.view()

    @to_its_end
    async def remove_account(self, by: Person, account_id: int) -> None:
        """Remove an account with its sessions, passkeys and codes. What it did stays in the log."""
        by = self._owner(by)

        def write() -> None:
            with self._database.transaction():
                account = self._people.get(account_id)
                self._people.remove(account_id)
                self._note(by, f"account {account_id} {account.name} removed")

        await self._file_thread.run(write)
        self._sessions.forget(self._sessions.of_account(account_id), write=False)

    @to_its_end
    async def reset_password(self, by: Person, account_id: int) -> str:
        """A one-time code, good for a day, with which its person chooses a password. The old one is good
        no more, and the account's sessions end. Raises `AccountError` ("last-owner", "not-found")."""
        by = self._owner(by)
        code = secrets.token_urlsafe(CODE_BYTES)

        def write() -> None:
            with self._database.transaction():
                account = self._people.get(account_id)
                self._people.put(replace(account, password=None))
                self._codes.put(code, account_id, self._clock.utc_us() + INVITATION_US)
                self._delete_sessions(account_id)
                self._note(by, f"password of account {account_id} {account.name} reset")

        await self._file_thread.run(write)
        self._sessions.forget(self._sessions.of_account(account_id), write=False)
        return code


def _rights(account: Account) -> str:
    """For the log."""
    cameras = "all cameras" if account.cameras is None else f"cameras {sorted(account.cameras)}"
    export = "may export" if account.may_export else "may not export"
    state = ", disabled" if account.is_disabled else ""
    return f"{account.role.value}, {cameras}, {export}{state}"

"""People of this recorder, as the rest of the program has them. Used from one asyncio loop."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from khupho.clock import Clock
from khupho.recorder.accounts.account_errors import (
    AccountError,
    code_expired,
    not_found,
    wrong_sign_in,
)
from khupho.recorder.accounts.database import ACCOUNTS_NAME, AccountsFileError, Database
from khupho.recorder.accounts.house import CODE_BYTES
from khupho.recorder.accounts.names import compared_name, shown_name
from khupho.recorder.accounts.own_thread import to_its_end
from khupho.recorder.accounts.owning import Owning
from khupho.recorder.accounts.passwords import (
    USUAL_COST,
    PasswordCost,
    check_strength,
)
from khupho.recorder.accounts.people import Account
from khupho.recorder.accounts.roles import Action, Person, Role, allows
from khupho.recorder.accounts.sessions import LONGEST_US, Session
from khupho.recorder.accounts.views import (
    AccountView,
    Caller,
    PasskeyView,
    SessionView,
    SignedIn,
)
from khupho.units import US_PER_HOUR

__all__ = [
    "AccountError",
    "AccountView",
    "Accounts",
    "AccountsFileError",
    "Caller",
    "PasskeyView",
    "SessionView",
    "SignedIn",
]

SET_UP_US = US_PER_HOUR


class Accounts(Owning):
    """Accounts, sign-in, sessions, and the access log as `log`. Methods raise `AccountError`, and
    `AccountsFileError` where the file refuses."""

    @classmethod
    def open(cls, data: Path, clock: Clock, *, params: PasswordCost = USUAL_COST) -> Accounts:
        """The accounts of a data directory; the file is made if there is none."""
        database = Database.open(data / ACCOUNTS_NAME)
        try:
            return cls(database, clock, params)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Finish what was begun and let go of the file."""
        self._sessions.close()
        self._hash_thread.close()
        self._file_thread.close()
        self._database.close()

    # First run

    @property
    def is_set_up(self) -> bool:
        """There is an account."""
        return self._is_set_up

    def new_setup_code(self) -> str:
        """A one-time code for the first owner's account, good for an hour; the earlier one is not any more.

        Waits for the file. Raises `AccountError` ("already-set-up").
        """
        code = secrets.token_urlsafe(CODE_BYTES)
        expires_utc_us = self._clock.utc_us() + SET_UP_US

        def write() -> None:
            with self._database.transaction():
                if self._people.count():
                    raise AccountError(
                        "already-set-up",
                        "This recorder has an owner already",
                        advice="Ask the owner for an account",
                    )
                self._codes.put(code, None, expires_utc_us)

        self._file_thread.call(write)
        return code

    @to_its_end
    async def set_up(self, code: str, name: str, password: str, caller: Caller) -> SignedIn:
        """Make the first owner's account, and sign in. The code is used up."""
        now_us = self._clock.utc_us()
        if await self._file_thread.run(lambda: self._codes.account_of(code, now_us)) is not None:
            raise code_expired()
        name = shown_name(name)
        check_strength(name, password)
        kept = await self._hash_thread.run(lambda: self._passwords.hash(password))

        def write() -> tuple[str, Session]:
            with self._database.transaction():
                # Asked again: somebody else may have been quicker.
                if self._codes.account_of(code, now_us) is not None or self._people.count():
                    raise code_expired()
                self._codes.forget(None)
                account = self._people.add(name, Role.OWNER, None, True, kept, now_us)
                self.log.note("account", account.id, account.name, caller, "recorder set up")
                return self._enter(account, caller, "set-up link")

        signed_in = self._signed_in(await self._file_thread.run(write))
        self._is_set_up = True
        return signed_in

    # Signing in and out

    @to_its_end
    async def sign_in(self, name: str, password: str, caller: Caller) -> SignedIn:
        """Raises `AccountError` ("wrong-sign-in", "locked", "busy")."""
        key = compared_name(name)
        account = await self._file_thread.run(lambda: self._people.find(name))
        try:
            fits = await self._try_password(key, account, password)
        except AccountError as error:
            await self._refused(account, caller, f"sign-in: {error.kind}")
            raise
        if account is None or account.is_disabled or not fits:
            await self._refused(account, caller, "sign-in: wrong-sign-in")
            raise wrong_sign_in()
        self._lockout.succeeded(key)
        kept = account.password
        if kept is not None and self._passwords.is_outdated(kept):
            kept = await self._hash_thread.run(lambda: self._passwords.hash(password))

        def write() -> tuple[str, Session]:
            with self._database.transaction():
                now = self._people.find(name)
                if now is None or now.is_disabled or now.password != account.password:
                    raise wrong_sign_in()  # changed while the password was compared
                return self._enter(replace(now, password=kept), caller, "password")

        return self._signed_in(await self._file_thread.run(write))

    def person(self, token: str) -> Person | None:
        """Who has this token, with the rights of this moment; that is a use of the session. Doesn't wait."""
        return self._sessions.person(token)

    @to_its_end
    async def sign_out(self, person: Person) -> None:
        """End this session."""
        await self._end([person.session_id], person, "signed out")

    async def sessions(
        self, account_id: int, current_session_id: int | None = None
    ) -> list[SessionView]:
        """Where somebody is signed in, last used first."""
        return self._sessions.views(account_id, current_session_id)

    @to_its_end
    async def end_session(self, person: Person, session_id: int) -> None:
        """End one's own session; an owner ends anybody's. Raises `AccountError` ("not-found")."""
        person = self._current(person)
        session = self._sessions.get(session_id)
        if session is None or not (
            session.person.account_id == person.account_id or allows(person, Action.ACCOUNTS, None)
        ):
            raise not_found("session")
        await self._end([session_id], person, f"session of {session.person.name} ended")

    def watch(self, session_id: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called on the loop's thread when the session ended, or its person's rights changed.

        Called at once if the session has ended already. Being watched is no use of the session: it runs
        out all the same, which is seen within three seconds. Returns what takes the watch back.
        """
        return self._sessions.watch(session_id, callback)

    # Passwords

    @to_its_end
    async def accept_invitation(self, code: str, password: str, caller: Caller) -> SignedIn:
        """Choose a password with a one-time code, and sign in. The code is used up."""
        now_us = self._clock.utc_us()

        def find() -> Account:
            account_id = self._codes.account_of(code, now_us)
            if account_id is None:
                raise code_expired()
            account = self._people.get(account_id)
            if account.is_disabled:
                raise code_expired()
            return account

        account = await self._file_thread.run(find)
        check_strength(account.name, password)
        kept = await self._hash_thread.run(lambda: self._passwords.hash(password))

        def write() -> tuple[str, Session]:
            with self._database.transaction():
                account = replace(
                    find(), password=kept
                )  # asked again: used or withdrawn meanwhile?
                self._codes.forget(account.id)
                self.log.note("account", account.id, account.name, caller, "password chosen")
                return self._enter(account, caller, "invitation")

        entered = await self._file_thread.run(write)
        self._lockout.succeeded(compared_name(account.name))
        return self._signed_in(entered)

    @to_its_end
    async def change_password(self, person: Person, old: str, new: str) -> None:
        """Change one's own password; the account's other sessions end.

        Raises `AccountError` ("wrong-sign-in", "locked", "busy", "weak-password").
        """
        person = self._current(person)
        account = await self._file_thread.run(lambda: self._people.get(person.account_id))
        check_strength(account.name, new)
        key = compared_name(account.name)
        if not await self._try_password(key, account, old):
            await self._refused(account, self._caller(person), "password: wrong-sign-in")
            raise wrong_sign_in()
        self._lockout.succeeded(key)
        kept = await self._hash_thread.run(lambda: self._passwords.hash(new))

        def write() -> None:
            with self._database.transaction():
                now = self._people.get(account.id)
                if now.password != account.password:
                    raise wrong_sign_in()
                self._people.put(replace(now, password=kept))
                self._delete_sessions(account.id, but=person.session_id)
                self._note(person, "password changed")

        await self._file_thread.run(write)
        others = self._sessions.of_account(account.id)
        self._sessions.forget(
            [one for one in others if one.person.session_id != person.session_id], write=False
        )

    # Passkeys

    async def passkey_options(self, person: Person, rp_id: str) -> dict[str, Any]:
        """What `navigator.credentials.create` is to be asked with, as JSON."""
        who = self._current(person)
        return await self._file_thread.run(
            lambda: self._passkeys.options(who.account_id, who.session_id, rp_id)
        )

    @to_its_end
    async def add_passkey(
        self, person: Person, rp_id: str, origin: str, answer: dict[str, Any], label: str
    ) -> None:
        """Keep a new passkey of one's own. Raises `AccountError` ("bad-passkey")."""
        who = self._current(person)

        def write() -> None:
            with self._database.transaction():
                self._passkeys.add(who.account_id, who.session_id, rp_id, origin, answer, label)
                self._note(who, "passkey added")

        await self._file_thread.run(write)

    async def list_passkeys(self, person: Person) -> list[PasskeyView]:
        """One's own."""
        return await self._file_thread.run(lambda: self._passkeys.list(person.account_id))

    @to_its_end
    async def remove_passkey(self, person: Person, passkey_id: int) -> None:
        """Forget one of one's own. Raises `AccountError` ("not-found", "last-owner")."""
        who = self._current(person)

        def write() -> None:
            with self._database.transaction():
                self._passkeys.remove(who.account_id, passkey_id)
                self._note(who, "passkey removed")

        await self._file_thread.run(write)

    async def passkey_sign_in_options(self, rp_id: str) -> dict[str, Any]:
        """What `navigator.credentials.get` is to be asked with, as JSON."""
        return await self._file_thread.run(lambda: self._passkeys.sign_in_options(rp_id))

    @to_its_end
    async def passkey_sign_in(
        self, rp_id: str, origin: str, answer: dict[str, Any], caller: Caller
    ) -> SignedIn:
        """Raises `AccountError` ("wrong-sign-in"). Passkeys cannot be guessed: a lock doesn't bar them."""

        def write() -> tuple[str, Session]:
            with self._database.transaction():
                account = self._passkeys.account_of(rp_id, origin, answer)
                if account.is_disabled:
                    raise wrong_sign_in()
                return self._enter(account, caller, "passkey")

        try:
            return self._signed_in(await self._file_thread.run(write))
        except AccountError as error:
            await self._refused(None, caller, f"passkey: {error.kind}")
            raise

    # What several of them need

    async def _try_password(self, key: str, account: Account | None, password: str) -> bool:
        """One counted try; where there is no account it costs the same time."""
        self._lockout.attempt(key)
        kept = None if account is None else account.password
        try:
            return await self._hash_thread.run(lambda: self._passwords.fits(kept, password))
        except AccountError:
            self._lockout.undo(key)  # busy: nothing was compared
            raise

    def _enter(self, account: Account, caller: Caller, how: str) -> tuple[str, Session]:
        """A session in the file, within a transaction."""
        self._people.put(replace(account, last_sign_in_utc_us=self._clock.utc_us()))
        self.log.note("sign_in", account.id, account.name, caller, how)
        return self._sessions.begin(account, caller)

    def _signed_in(self, entered: tuple[str, Session]) -> SignedIn:
        token, session = entered
        self._sessions.take(session)
        return SignedIn(token, session.person, session.created_utc_us + LONGEST_US)

    async def _refused(self, account: Account | None, caller: Caller, detail: str) -> None:
        left_out = self._refusals.take()
        if left_out is None:
            return
        if left_out:
            detail += f"; {left_out} more before were not written"
        # What was typed as a name isn't written: it may have been a password.
        account_id, name = (None, "") if account is None else (account.id, account.name)

        def write() -> None:
            with self._database.transaction():
                self.log.note("refused", account_id, name, caller, detail)

        await self._file_thread.run(write)

    async def _end(self, session_ids: list[int], by: Person, detail: str) -> None:
        def write() -> None:
            with self._database.transaction():
                for session_id in session_ids:
                    self._database.ask("DELETE FROM sessions WHERE id = ?", (session_id,))
                self._note(by, detail)

        await self._file_thread.run(write)
        found = [self._sessions.get(session_id) for session_id in session_ids]
        self._sessions.forget([one for one in found if one is not None], write=False)

"""Who is signed in: in memory for every request, in the file for the next start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from khupho.clock import Clock
from khupho.recorder.accounts.access_log import MOST_ADDRESS, MOST_AGENT
from khupho.recorder.accounts.database import AccountsFileError, Database
from khupho.recorder.accounts.names import one_line
from khupho.recorder.accounts.own_thread import OwnThread
from khupho.recorder.accounts.people import Account, People, secret_sha256
from khupho.recorder.accounts.roles import Person
from khupho.recorder.accounts.views import Caller, SessionView
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE

UNUSED_US = 12 * US_PER_HOUR
LONGEST_US = 30 * US_PER_DAY
MOST_OF_ONE_ACCOUNT = 50
"""The one that was used longest ago makes room."""
_TOKEN_BYTES = 32
_WRITTEN_EVERY_US = US_PER_MINUTE
_LOOK_EVERY_S = 3.0
"""How soon an open view learns that its session ran out."""

logger = logging.getLogger("khupho.recorder.accounts")


@dataclass(slots=True)
class Session:
    """One session, as the loop has it."""

    token_sha256: bytes
    person: Person
    caller: Caller
    created_utc_us: int
    used_utc_us: int
    written_utc_us: int
    """`used_utc_us` as it is in the file."""
    known_mono_us: int
    """When this process came to know it."""
    used_mono_us: int

    def is_over(self, utc_us: int, mono_us: int) -> bool:
        """By either clock: one that is set back doesn't lengthen a session."""
        unused_us = max(utc_us - self.used_utc_us, mono_us - self.used_mono_us)
        age_us = max(utc_us - self.created_utc_us, mono_us - self.known_mono_us)
        return unused_us >= UNUSED_US or age_us >= LONGEST_US


class Sessions:
    """All sessions. Belongs to the loop's thread, but for methods that say otherwise."""

    def __init__(self, database: Database, thread: OwnThread, clock: Clock) -> None:
        self._database = database
        self._thread = thread
        self._clock = clock
        self._by_token: dict[bytes, Session] = {}
        self._by_id: dict[int, Session] = {}
        self._watching: dict[int, dict[object, Callable[[], None]]] = {}
        self._look: asyncio.TimerHandle | None = None

    def load(self, people: People) -> None:
        """Take up what the file has; those that ran out are left out."""
        accounts = {account.id: account for account in people.all()}
        rows = self._database.ask(
            "SELECT id, account, token_sha256, created_utc_us, used_utc_us, address, agent "
            "FROM sessions"
        )
        for session_id, account_id, token_sha256, created, used, address, agent in rows:
            person = accounts[account_id].person(session_id, created)
            mono_us = self._clock.mono_us()
            session = Session(
                token_sha256, person, Caller(address, agent), created, used, used, mono_us, mono_us
            )
            if session.is_over(self._clock.utc_us(), mono_us):
                self._database.ask("DELETE FROM sessions WHERE id = ?", (session_id,))
            else:
                self._add(session)

    def begin(self, account: Account, caller: Caller) -> tuple[str, Session]:
        """A new session in the file, within a transaction, in the database's thread; then `take` it."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now_us, mono_us = self._clock.utc_us(), self._clock.mono_us()
        caller = Caller(one_line(caller.address, MOST_ADDRESS), one_line(caller.agent, MOST_AGENT))
        rows = self._database.ask(
            "INSERT INTO sessions (account, token_sha256, created_utc_us, used_utc_us, address, "
            "agent) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (account.id, secret_sha256(token), now_us, now_us, caller.address, caller.agent),
        )
        person = account.person(rows[0][0], now_us)
        return token, Session(
            secret_sha256(token), person, caller, now_us, now_us, now_us, mono_us, mono_us
        )

    def take(self, session: Session) -> None:
        """From now on its token is known."""
        self.end_expired()
        others = self.of_account(session.person.account_id)
        if len(others) >= MOST_OF_ONE_ACCOUNT:
            self.forget([min(others, key=lambda one: one.used_utc_us)], write=True)
        self._add(session)

    def _add(self, session: Session) -> None:
        self._by_token[session.token_sha256] = session
        self._by_id[session.person.session_id] = session

    def person(self, token: str) -> Person | None:
        """Who has this token; that is a use of the session."""
        session = self._by_token.get(secret_sha256(token))
        if session is None:
            return None
        now_us, mono_us = self._clock.utc_us(), self._clock.mono_us()
        if session.is_over(now_us, mono_us):
            self.forget([session], write=True)
            return None
        session.used_utc_us, session.used_mono_us = now_us, mono_us
        if abs(now_us - session.written_utc_us) >= _WRITTEN_EVERY_US:
            self._write_use(session)
        return session.person

    def get(self, session_id: int) -> Session | None:
        """The session, if it has not ended."""
        session = self._by_id.get(session_id)
        if session is None or session.is_over(self._clock.utc_us(), self._clock.mono_us()):
            return None
        return session

    def of_account(self, account_id: int) -> list[Session]:
        return [one for one in self._by_id.values() if one.person.account_id == account_id]

    def views(self, account_id: int, current_session_id: int | None) -> list[SessionView]:
        """Last used first."""
        self.end_expired()
        found = [
            SessionView(
                id=one.person.session_id,
                created_utc_us=one.created_utc_us,
                used_utc_us=one.used_utc_us,
                address=one.caller.address,
                agent=one.caller.agent,
                is_current=one.person.session_id == current_session_id,
            )
            for one in self.of_account(account_id)
        ]
        return sorted(found, key=lambda view: (-view.used_utc_us, -view.id))

    def forget(self, sessions: Iterable[Session], *, write: bool) -> None:
        """They end now; whoever watches them is told. `write`: take them out of the file too."""
        for session in sessions:
            session_id = session.person.session_id
            if self._by_id.pop(session_id, None) is None:
                continue
            del self._by_token[session.token_sha256]
            if write:
                self._in_background("DELETE FROM sessions WHERE id = ?", (session_id,))
            self._tell(session_id)

    def change(self, account: Account) -> None:
        """Rights of an account are others now; whoever watches its sessions is told."""
        for session in self.of_account(account.id):
            session_id = session.person.session_id
            session.person = account.person(session_id, session.created_utc_us)
            self._tell(session_id)

    def end_expired(self) -> None:
        """End those that ran out."""
        now_us, mono_us = self._clock.utc_us(), self._clock.mono_us()
        over = [one for one in self._by_id.values() if one.is_over(now_us, mono_us)]
        self.forget(over, write=True)

    # Watching

    def watch(self, session_id: int, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Accounts.watch`."""
        loop = asyncio.get_running_loop()
        if self.get(session_id) is None:
            callback()  # it ended before anybody could watch it
            return lambda: None
        key = object()
        # call_soon: a callback that fails must not keep others from being told.
        self._watching.setdefault(session_id, {})[key] = lambda: _soon(loop, callback)
        if self._look is None:
            self._look = loop.call_later(_LOOK_EVERY_S, self._look_again, loop)

        def forget() -> None:
            callbacks = self._watching.get(session_id, {})
            callbacks.pop(key, None)
            if not callbacks:
                self._watching.pop(session_id, None)

        return forget

    def _tell(self, session_id: int) -> None:
        for tell in list(self._watching.get(session_id, {}).values()):
            tell()

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.end_expired()
        watched = bool(self._watching)
        self._look = loop.call_later(_LOOK_EVERY_S, self._look_again, loop) if watched else None

    # The file

    def _write_use(self, session: Session) -> None:
        session.written_utc_us = session.used_utc_us
        self._in_background(
            "UPDATE sessions SET used_utc_us = ? WHERE id = ?",
            (session.used_utc_us, session.person.session_id),
        )

    def _in_background(self, sql: str, values: tuple[int, ...]) -> None:
        def write() -> None:
            try:
                self._database.ask(sql, values)
            except AccountsFileError as error:
                # In memory it is right; the next start judges the row by the clock again.
                logger.warning("A session's row could not be written: %s", error)

        self._thread.give(write)

    def close(self) -> None:
        """Write the last uses, and look no more."""
        for session in self._by_id.values():
            if session.used_utc_us != session.written_utc_us:
                self._write_use(session)
        self._watching.clear()
        if self._look is not None:
            self._look.cancel()


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
        loop.call_soon_threadsafe(callback)

"""What signing in and keeping accounts have in common: the file, its thread, and who may."""

from __future__ import annotations

from khupho.clock import Clock
from khupho.recorder.accounts.access_log import AccessLog
from khupho.recorder.accounts.account_errors import forbidden
from khupho.recorder.accounts.database import Database
from khupho.recorder.accounts.lockout import Lockout, RefusalBudget
from khupho.recorder.accounts.own_thread import OwnThread
from khupho.recorder.accounts.passkeys import Passkeys
from khupho.recorder.accounts.passwords import PasswordCost, Passwords
from khupho.recorder.accounts.people import Codes, People
from khupho.recorder.accounts.roles import Action, Person, allows
from khupho.recorder.accounts.sessions import Sessions
from khupho.recorder.accounts.views import Caller

MOST_WAITING_HASHES = 16
CODE_BYTES = 16
_MOST_WAITING_QUESTIONS = 1_000
_NOWHERE = Caller("", "")


class House:
    """The parts, and what is asked of several. The file has one thread, Argon2 another, so that a guesser
    doesn't delay the access log."""

    log: AccessLog

    def __init__(self, database: Database, clock: Clock, cost: PasswordCost) -> None:
        self._database = database
        self._clock = clock
        self._file_thread = OwnThread("accounts", _MOST_WAITING_QUESTIONS)
        self._hash_thread = OwnThread("passwords", MOST_WAITING_HASHES)
        self._passwords = Passwords(cost)
        self._people = People(database)
        self._codes = Codes(database)
        self._sessions = Sessions(database, self._file_thread, clock)
        self._passkeys = Passkeys(database, self._people, clock)
        self._lockout = Lockout(clock)
        self._refusals = RefusalBudget(clock)
        self.log = AccessLog(database, self._file_thread, clock)
        self._sessions.load(self._people)
        self._is_set_up = self._people.count() > 0

    def _delete_sessions(self, account_id: int, but: int = 0) -> None:
        self._database.ask("DELETE FROM sessions WHERE account = ? AND id <> ?", (account_id, but))

    def _note(self, by: Person, detail: str) -> None:
        self.log.note("account", by.account_id, by.name, self._caller(by), detail)

    def _caller(self, person: Person) -> Caller:
        session = self._sessions.get(person.session_id)
        return _NOWHERE if session is None else session.caller

    def _current(self, person: Person) -> Person:
        """With the rights of this moment: they may have changed since the request came."""
        session = self._sessions.get(person.session_id)
        if session is None:
            raise forbidden()
        return session.person

    def _owner(self, by: Person) -> Person:
        by = self._current(by)
        if not allows(by, Action.ACCOUNTS, None):
            raise forbidden()
        return by

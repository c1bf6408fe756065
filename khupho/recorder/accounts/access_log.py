"""The access log: who looked at what. Rows are added, never changed; each seals the one before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from khupho.clock import Clock
from khupho.recorder.accounts.account_errors import not_found
from khupho.recorder.accounts.database import Database
from khupho.recorder.accounts.names import one_line
from khupho.recorder.accounts.own_thread import OwnThread, to_its_end
from khupho.recorder.accounts.roles import Person
from khupho.recorder.accounts.views import Caller

MOST_ADDRESS, MOST_AGENT, MOST_DETAIL = 64, 200, 500
_FIRST = bytes(32)
_COLUMNS = (
    "id, utc_us, account, account_name, address, agent, kind, camera, stream, start_utc_us, "
    "end_utc_us, detail, begun, before_sha256, sha256"
)
_SELECT_ALL = f"SELECT {_COLUMNS} FROM access_log ORDER BY id"  # noqa: S608 - ours
_INSERT = f"INSERT INTO access_log ({_COLUMNS}) VALUES (?{', ?' * 14})"  # noqa: S608 - ours


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One access."""

    id: int
    utc_us: int
    account_id: int | None
    """None: nobody known."""
    account: str
    """The name at that time; empty: nobody known."""
    address: str
    agent: str
    kind: str
    """live, playback, still, export, sign_in, refused or account."""
    camera: str
    stream: str
    start_utc_us: int | None
    """Span of the footage."""
    end_utc_us: int | None
    detail: str
    ended_utc_us: int | None
    """When a view that went on ended; None: it goes on, or is of a kind that doesn't."""


def row_sha256(row: tuple[Any, ...]) -> bytes:
    """SHA-256 of a row: its columns up to `before_sha256`, in their order, as compact JSON in UTF-8."""
    *columns, before = row
    text = json.dumps([*columns, before.hex()], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


class AccessLog:
    """Adds rows and reads them. Errors are `AccountsFileError` and `AccountError` ("not-found")."""

    def __init__(self, database: Database, thread: OwnThread, clock: Clock) -> None:
        self._database = database
        self._thread = thread
        self._clock = clock

    @to_its_end
    async def begin(
        self,
        person: Person | None,
        caller: Caller,
        kind: str,
        camera: str | None = None,
        stream: str | None = None,
        start_utc_us: int | None = None,
        end_utc_us: int | None = None,
        detail: str = "",
    ) -> int:
        """Write one access; returns its id once it is on the disk. Nothing may leave before."""
        account_id = None if person is None else person.account_id
        name = "" if person is None else person.name

        def write() -> int:
            with self._database.transaction():
                return self._append(
                    (account_id, name), caller, kind, camera or "", stream or "",
                    (start_utc_us, end_utc_us), detail,
                )  # fmt: skip

        return await self._thread.run(write)

    @to_its_end
    async def end(self, entry_id: int) -> None:
        """Write that a view ended, in a row of its own. A second time changes nothing."""

        def write() -> None:
            with self._database.transaction():
                rows = self._database.ask(
                    "SELECT account, account_name, address, agent, camera, stream FROM access_log "
                    "WHERE id = ? AND kind <> 'end'",
                    (entry_id,),
                )
                if not rows:
                    raise not_found("entry of the access log")
                if self._database.ask("SELECT 1 FROM access_log WHERE begun = ?", (entry_id,)):
                    return
                account, name, address, agent, camera, stream = rows[0]
                self._append(
                    (account, name), Caller(address, agent), "end", camera, stream, (None, None),
                    "", entry_id,
                )  # fmt: skip

        await self._thread.run(write)

    async def page(
        self,
        limit: int,
        before_id: int | None = None,
        camera: str | None = None,
        account: str | None = None,
    ) -> list[AccessEntry]:
        """At most `limit` accesses, newest first: before that one, of that camera, of that name.

        Rows that only say that a view ended are told as `ended_utc_us` of its entry.
        """

        def read() -> list[AccessEntry]:
            conditions, values = ["a.begun IS NULL"], list[Any]()
            for condition, value in (
                ("a.id < ?", before_id), ("a.camera = ?", camera), ("a.account_name = ?", account),
            ):  # fmt: skip
                if value is not None:
                    conditions.append(condition)
                    values.append(value)
            rows = self._database.ask(
                "SELECT a.id, a.utc_us, a.account, a.account_name, a.address, a.agent, a.kind, "  # noqa: S608
                "a.camera, a.stream, a.start_utc_us, a.end_utc_us, a.detail, e.utc_us "
                "FROM access_log AS a LEFT JOIN access_log AS e ON e.begun = a.id "
                f"WHERE {' AND '.join(conditions)} ORDER BY a.id DESC LIMIT ?",
                (*values, max(0, limit)),
            )
            return [AccessEntry(*row) for row in rows]

        return await self._thread.run(read)

    def verify(self) -> int | None:
        """The first row that is not as it was written, or that follows a row which is gone. Waits."""
        return self._thread.call(self._first_broken)

    def _first_broken(self) -> int | None:
        before, expected_id = _FIRST, 1
        for row in self._database.each(_SELECT_ALL):
            *columns, sha256 = row
            if row[0] != expected_id or columns[-1] != before:
                return int(row[0])
            if row_sha256(tuple(columns)) != sha256:
                return int(row[0])
            before, expected_id = sha256, expected_id + 1
        return None

    def note(
        self, kind: str, account_id: int | None, name: str, caller: Caller, detail: str
    ) -> int:
        """A row about people, within whoever's transaction, in the database's thread."""
        return self._append((account_id, name), caller, kind, "", "", (None, None), detail)

    def _append(
        self,
        who: tuple[int | None, str],
        caller: Caller,
        kind: str,
        camera: str,
        stream: str,
        span_utc_us: tuple[int | None, int | None],
        detail: str,
        begun: int | None = None,
    ) -> int:
        last = self._database.ask("SELECT id, sha256 FROM access_log ORDER BY id DESC LIMIT 1")
        last_id, before = last[0] if last else (0, _FIRST)
        row = (
            last_id + 1, self._clock.utc_us(), *who, one_line(caller.address, MOST_ADDRESS),
            one_line(caller.agent, MOST_AGENT), kind, camera, stream, *span_utc_us,
            one_line(detail, MOST_DETAIL), begun, before,
        )  # fmt: skip
        self._database.ask(_INSERT, (*row, row_sha256(row)))
        return int(row[0])

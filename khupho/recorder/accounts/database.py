"""The file of accounts: made, opened, believed. See `accounts.sql`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

from khupho.durable_file import PRIVATE_MODE
from khupho.errors import Fault, KhuphoError

ACCOUNTS_NAME = "accounts.db"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x4B704163
"""`KpAc`: another number is another program's database."""
_BUSY_MS = 5_000
_BROKEN = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)


class AccountsFileError(KhuphoError):
    """The file of accounts cannot be used."""

    fault = Fault.DISK


class Database:
    """One connection. All methods raise `AccountsFileError`; they belong into one thread."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Database:
        """The file at `path`, made if there is none; readable by its owner only."""
        with _file_errors(path):
            # Made before SQLite does, so that it is never readable by others; its WAL takes the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE))
            if path.stat().st_mode & 0o077:
                path.chmod(PRIVATE_MODE)
            made = cls(path, apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE))
            try:
                # What isn't ours is left as it is, to the last bit.
                is_empty = made._is_empty()
                if not is_empty:
                    made._believe()
                made._configure()
                if is_empty:
                    made._fill()
            except BaseException:
                made.close()
                raise
        return made

    def close(self) -> None:
        with contextlib.suppress(apsw.Error):
            self._connection.close()

    def ask(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Carry out a statement; all its rows."""
        with _file_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """As `ask`, row by row, for what may be long."""
        with _file_errors(self._path):
            yield from self._connection.execute(sql, values)

    def changed_rows(self) -> int:
        """Of the last statement that changes rows."""
        return self._connection.changes()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All within is committed together, or not at all."""
        with _file_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(apsw.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    def _configure(self) -> None:
        connection = self._connection
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cell_size_check = ON")

    def _is_empty(self) -> bool:
        tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return tables == [(0,)] and self._numbers() == (0, 0)

    def _fill(self) -> None:
        execute = self._connection.execute
        with self.transaction():
            if not self._is_empty():
                return  # another program of this recorder was first
            execute(files("khupho.recorder.accounts").joinpath("accounts.sql").read_text("utf-8"))
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _numbers(self) -> tuple[int, int]:
        version, application = (
            int(str(self._connection.execute(f"PRAGMA {name}").fetchall()[0][0]))
            for name in ("user_version", "application_id")
        )
        return version, application

    def _believe(self) -> None:
        version, application = self._numbers()
        if application != APPLICATION_ID:
            raise AccountsFileError(
                "The file of accounts belongs to another program",
                where=str(self._path),
                advice="Move it away, or restore the right one from a backup",
            )
        if version != SCHEMA_VERSION:
            raise AccountsFileError(
                f"The file of accounts has version {version}; this program knows {SCHEMA_VERSION}",
                where=str(self._path),
                advice="Start the version of Khu Phố that wrote it, or a newer one",
            )
        problem = str(self._connection.execute("PRAGMA quick_check(1)").fetchall()[0][0])
        if problem != "ok":
            raise _damaged(self._path, problem.splitlines()[0][:200])


def _damaged(path: Path, how: str) -> AccountsFileError:
    return AccountsFileError(
        f"The file of accounts is damaged: {how}",
        where=str(path),
        advice="Restore it from a backup, or move it away and set up accounts again; "
        "footage is not touched",
    )


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise _damaged(path, str(error)) from error
    except apsw.Error as error:
        raise AccountsFileError(
            f"The file of accounts cannot be used: {error}",
            where=str(path),
            advice="Check the disk and who owns the file",
        ) from error
    except OSError as error:
        raise AccountsFileError(
            f"The file of accounts cannot be used: {error.strerror}",
            where=str(path),
            advice="Run khupho as the user that owns the data directory",
        ) from error

"""The catalog as its one writer has it: made, opened, filled. A cache; see `schema.sql`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import apsw

from khupho.archive.catalog.minutes import MinuteRow
from khupho.archive.catalog.queries import (
    CatalogBrokenError,
    CatalogError,
    CatalogQueries,
    SegmentRow,
    catalog_errors,
)
from khupho.archive.journal.entries import (
    GapSeen,
    GuaranteeBroken,
    HoldPlaced,
    HoldReleased,
    Line,
    SegmentDeleted,
    StreamNumber,
)
from khupho.archive.retention.holds import HoldError
from khupho.units import US_PER_S, format_utc

CATALOG_NAME = "catalog.sqlite3"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x4B705068
"""`KpPh`: what `file` and SQLite's tools show; another number is another program's database."""
_BUSY_MS = 2_000
_CACHE_KIB = 8_192
_JOURNAL_LIMIT_BYTES = 16 << 20
_QUICK_CHECK_BYTES = 64 << 20
"""Larger catalogs aren't read whole at open: that would take longer than a second."""


class Catalog(CatalogQueries):
    """The writing side. All methods raise `CatalogError`; writes belong into a `transaction`."""

    @classmethod
    def create(cls, path: Path, archive_id: str, *, is_whole: bool) -> Catalog:
        """A new, empty one. `is_whole` is false where files are yet to be taken in."""
        with catalog_errors():
            connection = apsw.Connection(
                str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            )
            made = cls(connection)
            try:
                made._configure()
                made._fill(archive_id, is_whole)
            except BaseException:
                made.close()
                raise
        return made

    @classmethod
    def in_memory(cls, archive_id: str) -> Catalog:
        """An empty one that is nowhere, to compare with."""
        with catalog_errors():
            made = cls(apsw.Connection(":memory:"))
            made._fill(archive_id, is_whole=True)
        return made

    def _fill(self, archive_id: str, is_whole: bool) -> None:
        execute = self._connection.execute
        with self.transaction():
            execute(files("khupho.archive.catalog").joinpath("schema.sql").read_text())
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute("INSERT INTO catalog VALUES (1, ?, ?, 0, 0, 0)", (archive_id, is_whole))

    @classmethod
    def open(cls, path: Path, archive_id: str) -> Catalog:
        """The one that lies there. Raises `CatalogBrokenError` where it cannot be believed."""
        with catalog_errors():
            connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE)
            made = cls(connection)
            try:
                made._configure()
                believe(connection, archive_id)
                if path.stat().st_size <= _QUICK_CHECK_BYTES:
                    _quick_check(connection)
            except BaseException:
                made.close()
                raise
        return made

    def _configure(self) -> None:
        connection = self._connection
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT_BYTES}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within is committed together, or not at all."""
        with catalog_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(apsw.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise

    def leave_wal(self) -> None:
        """Put all into the one file, for a move elsewhere. A later `open` takes up the log again."""
        with catalog_errors():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode = DELETE")

    # Segments

    def put_segment(self, row: SegmentRow, minutes: Iterable[MinuteRow], row_id: int = 0) -> int:
        """Write a segment and minutes of it, over what is there of them; returns the row's id.

        `row_id` is what an earlier call for this segment returned, 0 where there was none.
        """
        execute = self._connection.execute
        with catalog_errors():
            if row_id:
                execute(_UPDATE, (*row[3:], row_id))
                if not self._connection.changes():
                    row_id = 0
            if not row_id:
                row_id = self.ask(_INSERT, row)[0][0]
            self._connection.executemany(
                "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(row_id, *minute) for minute in minutes],
            )
        return row_id

    def replace_segment(self, row: SegmentRow, minutes: Iterable[MinuteRow]) -> None:
        """Write a segment as its file tells it, in place of whatever was known."""
        with catalog_errors():
            self._connection.execute("DELETE FROM segments WHERE path = ?", (row.path,))
            self.put_segment(row, minutes)

    def forget_segment(self, path: str) -> None:
        """Its file is gone."""
        with catalog_errors():
            self._connection.execute("DELETE FROM segments WHERE path = ?", (path,))

    def set_positions(self, journal_seq: int, journal_bytes: int, proof_leaves: int) -> None:
        """So far the journal and the proof log were taken in."""
        with catalog_errors():
            self._connection.execute(
                "UPDATE catalog SET journal_seq = ?, journal_bytes = ?, proof_leaves = ?",
                (journal_seq, journal_bytes, proof_leaves),
            )

    def set_whole(self) -> None:
        """Every file was taken in."""
        with catalog_errors():
            self._connection.execute("UPDATE catalog SET is_whole = 1")

    # Journal

    def take_line(self, line: Line) -> None:
        """Take in one journal line. Kinds that the catalog doesn't keep, and lines that cannot be
        understood (`check` tells of them), are passed over."""
        entry = line.entry
        with catalog_errors():
            match entry:
                case StreamNumber():
                    self._connection.execute(
                        "INSERT OR IGNORE INTO streams VALUES (?, ?, ?)",
                        (entry.number, entry.camera, entry.stream),
                    )
                case SegmentDeleted():
                    self._take_deletion(entry, line.utc_us)
                case GapSeen():
                    self._take_gap(entry)
                case HoldPlaced():
                    with contextlib.suppress(HoldError):
                        self._take_hold(entry)
                case HoldReleased():
                    self._connection.execute(
                        "UPDATE holds SET released_utc_us = ? "
                        "WHERE id = ? AND released_utc_us IS NULL",
                        (line.utc_us, entry.id),
                    )
                case GuaranteeBroken():
                    self._connection.execute(
                        "INSERT OR IGNORE INTO broken_guarantees VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            line.seq, line.utc_us, entry.camera, entry.guaranteed_days,
                            entry.kept_us, entry.size_bytes,
                        ),
                    )  # fmt: skip
                case _:
                    pass

    def _take_hold(self, entry: HoldPlaced) -> None:
        hold = entry.hold()
        self._connection.execute(
            "INSERT OR IGNORE INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                hold.id, hold.camera, hold.stream, hold.start_utc_us, hold.end_utc_us, hold.reason,
                hold.placed_utc_us,
            ),
        )  # fmt: skip

    def _take_deletion(self, entry: SegmentDeleted, utc_us: int) -> None:
        execute = self._connection.execute
        execute("DELETE FROM segments WHERE path = ?", (entry.path,))
        number = self._number_of(entry.camera, entry.stream)
        if number is None:
            return
        last = self.ask(
            "SELECT start_utc_us, end_utc_us, reason FROM deletions "
            "WHERE stream = ? AND start_utc_us <= ? ORDER BY start_utc_us DESC LIMIT 1",
            (number, entry.start_utc_us),
        )
        if last and last[0][2] == entry.reason and entry.start_utc_us - last[0][1] <= US_PER_S:
            execute(
                "UPDATE deletions SET end_utc_us = max(end_utc_us, ?), segments = segments + 1, "
                "size_bytes = size_bytes + ?, deleted_utc_us = ? WHERE stream = ? AND start_utc_us = ?",
                (entry.end_utc_us, entry.size_bytes, utc_us, number, last[0][0]),
            )
            return
        execute(
            "INSERT OR IGNORE INTO deletions VALUES (?, ?, ?, ?, 1, ?, ?)",
            (
                number, entry.start_utc_us, entry.end_utc_us, entry.reason, entry.size_bytes, utc_us,
            ),
        )  # fmt: skip

    def _take_gap(self, entry: GapSeen) -> None:
        number = self._number_of(entry.camera, entry.stream)
        if number is not None:
            self._connection.execute(
                "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?)",
                (number, entry.start_utc_us, entry.end_utc_us, entry.cause),
            )

    def _number_of(self, camera: str, stream: str) -> int | None:
        rows = self.ask(
            "SELECT number FROM streams WHERE camera = ? AND stream = ?", (camera, stream)
        )
        return int(rows[0][0]) if rows else None


def open_reader(path: Path, archive_id: str) -> CatalogQueries:
    """Read-only eyes on the catalog, beside its writer. Raises `CatalogError`."""
    with catalog_errors():
        connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)
        made = CatalogQueries(connection)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            connection.execute("PRAGMA query_only = ON")
            believe(connection, archive_id)
        except BaseException:
            made.close()
            raise
    return made


def believe(connection: apsw.Connection, archive_id: str) -> None:
    """Raise `CatalogBrokenError` unless it is this program's, of this version, of this archive."""
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    application = connection.execute("PRAGMA application_id").fetchall()[0][0]
    if (version, application) != (SCHEMA_VERSION, APPLICATION_ID):
        raise CatalogBrokenError(
            f"The catalog has version {version}; this program knows {SCHEMA_VERSION}",
            advice="It is made anew from the files",
        )
    rows = connection.execute("SELECT archive_id FROM catalog").fetchall()
    if rows != [(archive_id,)]:
        raise CatalogBrokenError(
            "The catalog belongs to another archive", advice="It is made anew from the files"
        )


def _quick_check(connection: apsw.Connection) -> None:
    problem = connection.execute("PRAGMA quick_check(1)").fetchall()[0][0]
    if problem != "ok":
        raise CatalogBrokenError(
            f"The catalog is damaged: {str(problem).splitlines()[0][:200]}",
            advice="It is made anew from the files; footage is not touched",
        )


def put_aside(path: Path, utc_us: int) -> Path:
    """Move a broken catalog out of the way, for whoever wants to look at it. Raises `CatalogError`.

    Its write-ahead log goes too: SQLite would replay it into the new one.
    """
    stamp = format_utc(utc_us).replace(":", "").replace("-", "")
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    try:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(f"{aside}{suffix}")
    except OSError as error:
        raise CatalogError(
            f"The broken catalog cannot be put aside: {error.strerror}",
            where=str(path),
            advice="Check the archive's owner and disk",
        ) from error
    return aside


_UPDATE = (
    "UPDATE segments SET end_utc_us = ?, size_bytes = ?, cause = ?, fragments = ?, frames = ?, "
    "key_frames = ?, lost_packets = ?, format = ?, flushed_bytes = ? WHERE id = ?"
)
_INSERT = (
    "INSERT INTO segments (stream, path, start_utc_us, end_utc_us, size_bytes, cause, fragments, "
    "frames, key_frames, lost_packets, format, flushed_bytes) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)

"""What is asked of the catalog, by the keeper and by every reader."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import apsw

from khupho.archive.catalog.coverage import SegmentSpan
from khupho.archive.events import CloseCause
from khupho.archive.retention.disk_use import DayUse
from khupho.archive.retention.holds import Hold
from khupho.archive.retention.plan import Stored
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY

_FIRST_READ, _NEXT_READS = 1, 256
_BROKEN = (
    apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.ConstraintError, apsw.FormatError,
    apsw.MismatchError, UnicodeDecodeError,
)  # fmt: skip


DUMPED = ("stream", "segment", "minute", "hold", "deletion", "broken", "gap")
"""The kinds of rows that a dump has."""


class CatalogError(KhuphoError):
    """The catalog cannot be used at this moment: the disk refuses, or somebody holds it."""

    fault = Fault.DISK


class CatalogBrokenError(CatalogError):
    """The catalog is damaged, of another version or of another archive: it must be made anew."""

    fault = Fault.ARCHIVE


class SegmentRow(NamedTuple):
    """A segment's row; columns as `schema.sql` says."""

    stream: int
    path: str
    start_utc_us: int
    end_utc_us: int
    size_bytes: int
    cause: CloseCause | None
    fragments: int
    frames: int
    key_frames: int
    lost_packets: int
    format: str
    flushed_bytes: int


class Positions(NamedTuple):
    """How far the journal and the proof log were taken in."""

    journal_seq: int
    """Of the last line; 0 for none."""
    journal_bytes: int
    """Where the next line begins."""
    proof_leaves: int


class Deleted(NamedTuple):
    """A run of deleted segments."""

    camera: str
    stream: str
    start_utc_us: int
    end_utc_us: int
    reason: str
    segments: int
    size_bytes: int


class CatalogQueries:
    """Questions over one connection. All raise `CatalogError`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        with contextlib.suppress(apsw.Error):
            self._connection.close()

    def ask(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        with catalog_errors():
            return self._connection.execute(sql, values).fetchall()

    @property
    def is_whole(self) -> bool:
        """A rebuild, if there was one, has seen every file."""
        return bool(self.ask("SELECT is_whole FROM catalog")[0][0])

    @property
    def positions(self) -> Positions:
        """What the last commit knew of."""
        rows = self.ask("SELECT journal_seq, journal_bytes, proof_leaves FROM catalog")
        return Positions(*rows[0])

    def streams(self) -> dict[tuple[str, str], int]:
        """Camera and stream to the stream's number."""
        rows = self.ask("SELECT camera, stream, number FROM streams")
        return {(camera, stream): number for camera, stream, number in rows}

    # Segments

    def segment_id(self, path: str) -> int | None:
        rows = self.ask("SELECT id FROM segments WHERE path = ?", (path,))
        return int(rows[0][0]) if rows else None

    def segment(self, path: str) -> SegmentRow | None:
        rows = self.ask(f"{_SEGMENT} WHERE path = ?", (path,))
        return _row(rows[0]) if rows else None

    def open_segments(self) -> list[SegmentRow]:
        """Those that no close was noted of."""
        return [_row(row) for row in self.ask(f"{_SEGMENT} WHERE cause IS NULL ORDER BY path")]

    def last_of_stream(self, number: int) -> SegmentRow | None:
        """The newest segment of a stream."""
        rows = self.ask(
            f"{_SEGMENT} WHERE stream = ? ORDER BY start_utc_us DESC LIMIT 1", (number,)
        )
        return _row(rows[0]) if rows else None

    def before(self, number: int, utc_us: int) -> SegmentRow | None:
        """The last segment of a stream that began before a moment."""
        rows = self.ask(
            f"{_SEGMENT} WHERE stream = ? AND start_utc_us < ? ORDER BY start_utc_us DESC LIMIT 1",
            (number, utc_us),
        )
        return _row(rows[0]) if rows else None

    def closed_paths(self, directory: str) -> set[str]:
        """Segments in a directory that are closed for certain: one that a fault of the disk ended may
        lack its end."""
        rows = self.ask(
            "SELECT path FROM segments WHERE path > ? AND path < ? AND cause IS NOT NULL AND cause != ?",
            (directory + "/", directory + "0", CloseCause.DISK),  # "0" comes right after "/"
        )
        return {path for (path,) in rows}

    def newest_end_utc_us(self) -> int:
        """The end of the newest footage; 0 where there is none."""
        newest = [self.last_of_stream(number) for number in self.streams().values()]
        return max((row.end_utc_us for row in newest if row is not None), default=0)

    def paths_between(self, number: int, start_utc_us: int, end_utc_us: int) -> list[str]:
        """Segments of a stream with footage between two moments, oldest first."""
        rows = self.ask(
            "SELECT path FROM segments WHERE stream = ? AND start_utc_us < ? AND start_utc_us >= "
            "coalesce((SELECT max(start_utc_us) FROM segments WHERE stream = ? AND start_utc_us <= ?), 0) "
            "ORDER BY start_utc_us",
            (number, end_utc_us, number, start_utc_us),
        )
        return [path for (path,) in rows]

    def spans(self, number: int, start_utc_us: int, end_utc_us: int) -> list[SegmentSpan]:
        """The segments of a stream that reach into a time, oldest first."""
        rows = self.ask(
            "SELECT start_utc_us, end_utc_us, size_bytes, cause FROM segments "
            "WHERE stream = ? AND start_utc_us < ? AND end_utc_us > ? AND start_utc_us >= ? "
            "ORDER BY start_utc_us",
            (number, end_utc_us, start_utc_us, start_utc_us - US_PER_DAY),
        )
        return [SegmentSpan(start, end, size, _cause(cause)) for start, end, size, cause in rows]

    def edges(self, number: int) -> tuple[int, int] | None:
        """Where a stream's footage begins and ends."""
        rows = self.ask(
            "SELECT (SELECT start_utc_us FROM segments WHERE stream = ?1 ORDER BY start_utc_us LIMIT 1), "
            "(SELECT end_utc_us FROM segments WHERE stream = ?1 ORDER BY start_utc_us DESC LIMIT 1)",
            (number,),
        )
        start_us, end_us = rows[0]
        return (start_us, end_us) if start_us is not None else None

    def stored(self) -> dict[str, Iterator[Stored]]:
        """Each camera's closed segments by ascending end, read as far as they are asked for."""
        numbers: dict[str, list[tuple[str, int]]] = {}
        for (camera, stream), number in self.streams().items():
            numbers.setdefault(camera, []).append((stream, number))
        return {camera: self._stored_of(camera, of) for camera, of in numbers.items()}

    def _stored_of(self, camera: str, streams: list[tuple[str, int]]) -> Iterator[Stored]:
        rest = [self._closed_of(camera, stream, number) for stream, number in streams]
        heads = [next(segments, None) for segments in rest]
        while any(heads):
            index = min(
                (i for i, head in enumerate(heads) if head is not None),
                key=lambda i: heads[i].end_utc_us,  # type: ignore[union-attr]  # None is left out
            )
            head = heads[index]
            heads[index] = next(rest[index], None)
            if head is not None:
                yield head

    def _closed_of(self, camera: str, stream: str, number: int) -> Iterator[Stored]:
        after_us, limit = -(1 << 62), _FIRST_READ
        while True:
            rows = self.ask(
                "SELECT path, start_utc_us, end_utc_us, size_bytes FROM segments WHERE stream = ? "
                "AND start_utc_us > ? AND cause IS NOT NULL ORDER BY start_utc_us LIMIT ?",
                (number, after_us, limit),
            )
            for path, start_us, end_us, size_bytes in rows:
                yield Stored(camera, stream, path, start_us, end_us, size_bytes)
            if len(rows) < limit:
                return
            after_us, limit = rows[-1][1], _NEXT_READS

    def day_use(self) -> list[DayUse]:
        """Size and cover of each stream and day."""
        rows = self.ask(
            "SELECT camera, streams.stream, end_utc_us / ? AS day, sum(size_bytes), "
            "sum(end_utc_us - start_utc_us) "
            "FROM segments JOIN streams ON streams.number = segments.stream "
            "WHERE cause IS NOT NULL GROUP BY camera, streams.stream, day",
            (US_PER_DAY,),
        )
        return [DayUse(*row) for row in rows]

    def held_bytes(self) -> int:
        """Closed segments that a hold touches."""
        rows = self.ask(
            "SELECT coalesce(sum(size_bytes), 0) FROM segments WHERE id IN ("
            "SELECT segments.id FROM holds "
            "JOIN streams ON streams.camera = holds.camera AND holds.stream IN ('', streams.stream) "
            "JOIN segments ON segments.stream = streams.number "
            "AND segments.start_utc_us < holds.end_utc_us "
            "AND segments.start_utc_us > holds.start_utc_us - ? "
            "AND segments.end_utc_us > holds.start_utc_us "
            "WHERE holds.released_utc_us IS NULL AND segments.cause IS NOT NULL)",
            (US_PER_DAY,),
        )
        return int(rows[0][0])

    def oldest(self) -> dict[str, int]:
        """When each camera's footage begins."""
        rows = self.ask(
            "SELECT camera, min((SELECT min(start_utc_us) FROM segments WHERE stream = number)) "
            "FROM streams GROUP BY camera"
        )
        return {camera: start_us for camera, start_us in rows if start_us is not None}

    # From the journal

    def holds(self, *, released: bool = False) -> list[Hold]:
        """Those that hold, or with `released` all there ever were; oldest first."""
        rows = self.ask(
            "SELECT id, camera, start_utc_us, end_utc_us, reason, stream, placed_utc_us FROM holds "
            "WHERE ? OR released_utc_us IS NULL ORDER BY placed_utc_us, id",
            (released,),
        )
        return [Hold(*row) for row in rows]

    def deletions(self, camera: str) -> list[Deleted]:
        """What was deleted of a camera, oldest footage first."""
        rows = self.ask(
            "SELECT camera, streams.stream, start_utc_us, end_utc_us, reason, segments, size_bytes "
            "FROM deletions JOIN streams ON streams.number = deletions.stream "
            "WHERE camera = ? ORDER BY start_utc_us",
            (camera,),
        )
        return [Deleted(*row) for row in rows]

    def gap_causes(self, number: int) -> dict[tuple[int, int], str]:
        """Noted gaps of a stream: beginning and end to the cause."""
        rows = self.ask(
            "SELECT start_utc_us, end_utc_us, cause FROM gaps WHERE stream = ?", (number,)
        )
        return {(start, end): cause for start, end, cause in rows}

    def dump(self, kinds: Collection[str] = DUMPED) -> Iterator[str]:
        """The whole content as text, row by row, in one order and without what differs by chance.

        Two catalogs of the same files and journal give the same lines. `flushed_bytes` is left out, since
        of a segment being written only the recorder itself knows it.
        """
        for kind, sql in _DUMP.items():
            if kind in kinds:
                for row in self.ask(sql):
                    yield "\t".join((kind, *("-" if cell is None else str(cell) for cell in row)))

    @contextlib.contextmanager
    def one_moment(self) -> Iterator[None]:
        """What is asked within is answered as of one moment, whatever the writer does."""
        with catalog_errors():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")


@contextlib.contextmanager
def catalog_errors() -> Iterator[None]:
    """Maps what SQLite raises, once."""
    try:
        yield
    except _BROKEN as error:
        raise CatalogBrokenError(
            f"The catalog is damaged: {error}",
            advice="It is made anew from the files; footage is not touched",
        ) from error
    except apsw.Error as error:
        raise CatalogError(
            f"The catalog cannot be used: {error}",
            advice="Look at the archive's disk: df, dmesg. Recording goes on",
        ) from error


_SEGMENT = (
    "SELECT stream, path, start_utc_us, end_utc_us, size_bytes, cause, fragments, frames, key_frames, "
    "lost_packets, format, flushed_bytes FROM segments"
)
_DUMP = {
    "stream": "SELECT number, camera, stream FROM streams ORDER BY number",
    "segment": "SELECT stream, path, start_utc_us, end_utc_us, size_bytes, cause, fragments, frames, "
    "key_frames, lost_packets, format FROM segments ORDER BY path",
    "minute": "SELECT path, minute, covered_us, minutes.frames, minutes.key_frames, "
    "minutes.size_bytes, minutes.lost_packets, damaged_us, flags "
    "FROM minutes JOIN segments ON segments.id = minutes.segment ORDER BY path, minute",
    "hold": "SELECT id, camera, stream, start_utc_us, end_utc_us, reason, placed_utc_us, "
    "released_utc_us FROM holds ORDER BY id",
    "deletion": "SELECT stream, start_utc_us, end_utc_us, reason, segments, size_bytes, "
    "deleted_utc_us FROM deletions ORDER BY stream, start_utc_us",
    "broken": "SELECT journal_line, broken_utc_us, camera, guaranteed_days, kept_us, size_bytes "
    "FROM broken_guarantees ORDER BY journal_line",
    "gap": "SELECT stream, start_utc_us, end_utc_us, cause FROM gaps ORDER BY stream, start_utc_us",
}


def _row(values: tuple[Any, ...]) -> SegmentRow:
    return SegmentRow._make((*values[:5], _cause(values[5]), *values[6:]))


def _cause(value: int | None) -> CloseCause | None:
    """A number that this version doesn't know counts as made good: the footage ended somehow."""
    if value is None:
        return None
    try:
        return CloseCause(value)
    except ValueError:
        return CloseCause.RECOVERED

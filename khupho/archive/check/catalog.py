"""The catalog against what a rebuild would make: invariant 10."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog
from khupho.archive.catalog.minutes import MinuteRow
from khupho.archive.catalog.queries import CatalogError, CatalogQueries, SegmentRow
from khupho.archive.catalog.rows import stored_minutes, stored_row
from khupho.archive.check.findings import Finding
from khupho.archive.check.rebuild import believable
from khupho.archive.check.segment import CheckedSegment
from khupho.archive.journal.journal import read_journal
from khupho.archive.place.directories import is_there
from khupho.archive.segments.reader import WalkedSegment

MAX_TOLD = 100
_FILE_ITSELF = (1, 2, 3, 4, 9)
"""A file that breaks one of these isn't compared with its row as well."""
_JOURNAL_TABLES = ("stream", "hold", "deletion", "broken", "gap")


class CatalogCheck:
    """Compares rows with files as these are read, and the rest at the end."""

    def __init__(
        self,
        root_fd: int,
        catalog: CatalogQueries | None,
        numbers: Mapping[tuple[str, str], int],
        is_unsettled: bool,
    ) -> None:
        self._root_fd = root_fd
        self._catalog = catalog
        self._numbers = numbers
        self._is_unsettled = is_unsettled
        self._seen: set[str] = set()
        self._doubtful: list[str] = []
        """Looked at again at the end, when the recorder has flushed."""
        self._findings: list[Finding] = []

    def take(self, path: str, checked: CheckedSegment) -> None:
        """Compare a segment with its row."""
        self._seen.add(path)
        if self._catalog is None or any(one.invariant in _FILE_ITSELF for one in checked.findings):
            return
        what = self._difference(path, checked.walked)
        if what:
            self._doubtful.append(path)

    def finish(self) -> list[Finding]:
        """What doesn't agree."""
        if self._catalog is None:
            return []
        try:
            for path in self._doubtful:
                what = self._difference(path, believable(self._root_fd, path))
                if what and is_there(self._root_fd, path):
                    self._tell(f"{path}: {what}")
            for (path,) in self._catalog.ask("SELECT path FROM segments"):
                if path not in self._seen and not is_there(self._root_fd, path):
                    if self._catalog.segment(path) is not None:
                        self._tell(f"{path} is in the catalog, and its file is not there")
                elif path not in self._seen and not self._is_unsettled:
                    self._tell(f"{path} is in the catalog, and is no segment of this archive")
            self._journal_tables()
        except CatalogError as error:
            self._tell(error.what)
        return self._findings

    def _tell(self, what: str) -> None:
        if len(self._findings) < MAX_TOLD:
            self._findings.append(Finding(10, CATALOG_NAME, None, what))

    def _difference(self, path: str, walked: WalkedSegment | None) -> str:
        """What the row says otherwise than the file; empty where they agree."""
        assert self._catalog is not None
        try:
            row = self._catalog.segment(path)
            if walked is None or not walked.segment.fragments:
                return "the catalog has it, and it cannot be read" if row is not None else ""
            if row is None:
                if self._is_unsettled or not walked.is_closed or not self._catalog.is_whole:
                    return ""  # a flush interval late, or taken in at the next start
                return "the catalog lacks it"
            if row.cause is None and (self._is_unsettled or not walked.is_closed):
                return ""  # judged once it is closed and flushed
            return self._compare(row, walked)
        except CatalogError as error:
            return error.what

    def _compare(self, row: SegmentRow, walked: WalkedSegment) -> str:
        stored = walked.segment
        number = self._numbers.get((stored.camera, stored.stream), 0)
        size = walked.size_bytes if walked.is_closed else walked.good_bytes
        wanted = stored_row(stored, number, size, is_closed=walked.is_closed)
        wrong = [
            f"{name} {one!r}, not {other!r}"
            for name, one, other in zip(SegmentRow._fields, row, wanted, strict=True)
            if one != other
        ]
        if wrong:
            return "the catalog says " + "; ".join(wrong)
        if self._minutes(row.path) != list(stored_minutes(stored)):
            return "its minutes in the catalog are not those of its fragments"
        return ""

    def _minutes(self, path: str) -> list[MinuteRow]:
        assert self._catalog is not None
        rows: list[tuple[Any, ...]] = self._catalog.ask(
            "SELECT minute, covered_us, minutes.frames, minutes.key_frames, minutes.size_bytes, "
            "minutes.lost_packets, damaged_us, flags FROM minutes "
            "JOIN segments ON segments.id = minutes.segment WHERE path = ? ORDER BY minute",
            (path,),
        )
        return [MinuteRow(*row) for row in rows]

    def _journal_tables(self) -> None:
        """The tables that come from the journal, as far as the catalog has taken it in."""
        assert self._catalog is not None
        with contextlib.closing(Catalog.in_memory("0" * 32)) as wanted:
            # All at one moment, since a recorder may go on meanwhile.
            with self._catalog.one_moment():
                seq = self._catalog.positions.journal_seq
                there = list(self._catalog.dump(_JOURNAL_TABLES))
            with wanted.transaction():
                for line in read_journal(self._root_fd):
                    if 0 < line.seq <= seq:
                        wanted.take_line(line)
            should_be = list(wanted.dump(_JOURNAL_TABLES))
        missing = set(should_be) - set(there)
        extra = set(there) - set(should_be)
        for text in sorted(missing):
            self._tell("the catalog lacks what the journal says: " + text.replace("\t", " "))
        for text in sorted(extra):
            self._tell("the catalog says what the journal doesn't: " + text.replace("\t", " "))

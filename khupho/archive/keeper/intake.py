"""Footage on disk that the catalog doesn't know whole: made good after an unclean end, and taken in.

Three causes, one walk: a recorder that was killed left segments open; the last seconds before a kill are not
in the catalog; or the catalog is new, and lacks all files. Recording goes on meanwhile. What this run records
is told apart by its name: footage time never runs backwards, so names of this run come after those that
were there when the archive was opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping

from khupho.archive.catalog.catalog import Catalog
from khupho.archive.catalog.queries import CatalogError, SegmentRow
from khupho.archive.catalog.rows import stored_minutes, stored_row
from khupho.archive.journal.entries import SegmentRecovered
from khupho.archive.keeper.books import Books, remove_segment
from khupho.archive.keeper.flush import note_lost
from khupho.archive.place.directories import (
    StreamDay,
    newest_segment,
    next_start_utc_us,
    segments_of,
    stream_days,
    stream_directories,
    sync_names,
    sync_path,
)
from khupho.archive.place.identity import LastEnd
from khupho.archive.place.segment_names import parse_segment_path, segment_path
from khupho.archive.proof.leaf_record import Leaf, LeafKind
from khupho.archive.proof.leaves_of_files import compare_leaves
from khupho.archive.retention.plan import Stored
from khupho.archive.segments.reader import SegmentError, walk_segment
from khupho.archive.segments.recovery import SegmentRemovedError, recover_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.errors import Fault
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MS, format_utc

_LONGEST_SEGMENT_US = US_PER_DAY
_LEAVES_LATE_US = US_PER_HOUR
"""Leaves of footage that ended so long before the log's newest are there: no flush is put off longer."""
_LAST_LEAVES = 4096

logger = logging.getLogger("khupho.archive.keeper")
Newest = Mapping[tuple[str, str], str]
"""Camera and stream to the path of the newest segment that was there before this run."""


def newest_segments(root_fd: int) -> dict[tuple[str, str], str]:
    """The newest segment of each stream. Raises `OSError`."""
    found = {}
    for camera, stream in stream_directories(root_fd):
        path = newest_segment(root_fd, camera, stream)
        if path is not None:
            found[camera, stream] = path
    return found


class Intake:
    """Brings the catalog up to the files, step by step. For the keeper's thread alone."""

    def __init__(
        self,
        books: Books,
        newest: Newest,
        last_end: LastEnd,
        taken: Callable[[Stored], None],
        utc_us: Callable[[], int],
        *,
        is_beside_writers: bool = False,
        followed: Collection[str] = (),
    ) -> None:
        """With `is_beside_writers` this run has written some of it already: then a stream's newest segment
        isn't touched unless it is closed, since it may just be being opened. `followed` are left to the
        flush."""
        self._books = books
        self._newest = newest
        self._last_end = last_end
        self._tell_taken = taken
        self._utc_us = utc_us
        self._is_beside_writers = is_beside_writers
        self._followed = followed
        self._is_catalog_whole = False
        self._named_days: set[str] = set()
        self._leaves_doubted_from_us = 0
        self.left_for_later = False
        """Something could not be taken in yet: the next start will."""
        self.segments_taken = 0
        self.segments_recovered = 0

    def steps(self) -> Iterator[None]:
        """The whole work; yields after every small piece of it. Once the books are caught up.

        Raises `KhuphoError`, `OSError`.
        """
        for path in list(self._books.deleted_paths):
            # Journalled, and the recorder was killed before the file went.
            remove_segment(self._books.root_fd, path, keep_day="")
        catalog = self._catalog()
        is_whole = self._is_catalog_whole = catalog.is_whole
        self._leaves_doubted_from_us = self._newest_leaf_us() - _LEAVES_LATE_US
        first_day = "" if is_whole else "0000-00-00"
        if is_whole and self._last_end is LastEnd.CLEAN and not self._left_open(catalog):
            return
        if is_whole:
            # Segments are in the catalog a flush interval after they begin: nothing older is unknown.
            newest_us = catalog.newest_end_utc_us()
            begin_us = min([row.start_utc_us for row in self._left_open(catalog)] + [newest_us])
            first_day = format_utc(max(begin_us - _LONGEST_SEGMENT_US, 0))[:10]
        for directory in stream_days(self._books.root_fd):
            if directory.day >= first_day:
                yield from self._take_day(directory)
        if not is_whole:
            with catalog.transaction():
                catalog.set_whole()
        for row in self._left_open(catalog):
            # Its file is gone, or cannot be read: no rebuild would find it.
            with catalog.transaction():
                catalog.forget_segment(row.path)
            logger.warning("%s was being written, and is gone or unreadable", row.path)
        if self.segments_taken:
            logger.info(
                "%d segments taken into the catalog, %d of them made good after an unclean end",
                self.segments_taken,
                self.segments_recovered,
            )

    def _left_open(self, catalog: Catalog) -> list[SegmentRow]:
        """Of an earlier run."""
        return [row for row in catalog.open_segments() if self._is_old(row.path)]

    def _is_old(self, path: str) -> bool:
        camera, _, rest = path.partition("/")
        return path <= self._newest.get((camera, rest.partition("/")[0]), "")

    def _take_day(self, directory: StreamDay) -> Iterator[None]:
        known = self._catalog().closed_paths(directory.path)
        for path in segments_of(self._books.root_fd, directory):
            if path in known or path in self._followed or not self._is_old(path):
                continue
            try:
                self._take(path, directory)
            except SegmentError as error:
                logger.error("%s", error)
            self.segments_taken += 1
            yield

    def _take(self, path: str, directory: StreamDay) -> None:
        """Make a segment good if it wasn't closed, and put it into proof log and catalog."""
        books, utc_us = self._books, self._utc_us()
        is_newest = path == self._newest.get((directory.camera, directory.stream))
        if (
            self._is_beside_writers
            and is_newest
            and not walk_segment(books.root_fd, path).is_closed
        ):
            self.left_for_later = True
            return
        row = self._catalog().segment(path)
        flushed_bytes = row.flushed_bytes if row else 0
        verify_from = flushed_bytes if self._last_end is LastEnd.POWER_CUT else None
        number = books.stream_number(directory.camera, directory.stream, utc_us)
        try:
            made = recover_segment(books.root_fd, path, verify_from)
        except SegmentRemovedError:
            self._note_removed(path, number, utc_us)
            return
        except SegmentError as error:
            if flushed_bytes or not self._was_never_flushed(path, number, error):
                raise
            logger.warning("%s was begun when the power failed; nothing of it can be read", path)
            remove_segment(books.root_fd, path, keep_day=directory.day)
            self._note_removed(path, number, utc_us)
            return
        stored = made.segment
        if segment_path(stored.camera, stored.stream, stored.start_utc_us) != path:
            logger.error("%s isn't what its facts say; it is left alone", path)
            return
        leaves: list[Leaf] = []
        is_late = stored.end_utc_us >= self._leaves_doubted_from_us
        if made.was_open or is_newest or is_late or self._is_catalog_whole:
            # In a whole catalog what it lacks was never flushed. Else only what ended lately can lack
            # leaves: also a closed segment that another one followed within the flush interval.
            books.proof.write()
            until_us = next_start_utc_us(books.root_fd, path)
            found = compare_leaves(
                books.proof, books.root_fd, made.segment, number, flushed_bytes, until_us
            )
            leaves = found.missing
            note_lost(books, path, found.lost, "cut at recovery", utc_us)
        if made.was_open or is_newest or is_late:
            # Closed by a recorder that was killed before its flush: no leaf may be on the disk before it.
            sync_path(books.root_fd, path)
            sync_names(books.root_fd, path, self._named_days)
        if made.was_open:
            self._note_recovered(made.segment, made.cut_bytes, utc_us)
            self.segments_recovered += 1
        books.file_leaves(leaves)
        books.proof.sync()
        books.sync_journal()
        fresh = stored_row(made.segment, number, made.size_bytes)
        books.commit((), [(fresh, stored_minutes(made.segment))])
        if row is None or row.cause is None:
            self._tell_taken(
                Stored(
                    directory.camera, directory.stream, path, fresh.start_utc_us, fresh.end_utc_us,
                    fresh.size_bytes,
                )
            )  # fmt: skip

    def _newest_leaf_us(self) -> int:
        """When the newest fragment began that has a leaf, as the log's end tells; 0 where none has."""
        proof = self._books.proof
        lately = proof.leaves(max(proof.size - _LAST_LEAVES, 0), proof.size)
        return max(
            (leaf.start_utc_us for leaf in lately if leaf.kind == LeafKind.FRAGMENT), default=0
        )

    def _was_never_flushed(self, path: str, number: int, error: SegmentError) -> bool:
        """Whether a segment whose beginning cannot be read is one that a power cut tore before its first
        flush: it was begun lately, and nothing of it has a leaf. Else it is damage, and stays."""
        name = parse_segment_path(path)
        if self._last_end is not LastEnd.POWER_CUT or error.fault is Fault.DISK or name is None:
            return False
        start_us = name.start_utc_ms * US_PER_MS
        if start_us < self._leaves_doubted_from_us:
            return False
        proof = self._books.proof
        proof.write()
        until_us = next_start_utc_us(self._books.root_fd, path)
        return next(proof.find(number, start_us, until_us), None) is None

    def _note_removed(self, path: str, number: int, utc_us: int) -> None:
        """There was not one whole fragment; leaves of it tell that there had been."""
        books = self._books
        name = parse_segment_path(path)
        if name is None:
            return
        books.proof.write()
        until_us = next_start_utc_us(books.root_fd, path)
        found = books.proof.find(number, name.start_utc_ms * US_PER_MS, until_us)
        note_lost(books, path, [one.leaf for one in found], "cut at recovery", utc_us)
        books.sync_journal()
        books.commit()
        with self._catalog().transaction():
            self._catalog().forget_segment(path)

    def _note_recovered(self, segment: StoredSegment, cut_bytes: int, utc_us: int) -> None:
        self._books.note(
            SegmentRecovered(
                camera=segment.camera,
                stream=segment.stream,
                path=segment.relative_path,
                start_utc_us=segment.start_utc_us,
                end_utc_us=segment.end_utc_us,
                fragments=len(segment.fragments),
                cut_bytes=cut_bytes,
            ),
            utc_us,
        )

    def _catalog(self) -> Catalog:
        if self._books.catalog is None:
            raise CatalogError("The catalog isn't open yet")
        return self._books.catalog

"""Journal, proof log and catalog of an archive that is being recorded, kept in step.

The order in which things come to the disk is always the same: a fragment, then the lines of the journal,
then leaves, then the catalog. So no leaf is without its fragment or its stream's number, whatever moment a
power cut chooses, and the catalog never knows more than the files: what it lacks is found again by looking
at them.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog, put_aside
from khupho.archive.catalog.minutes import MinuteRow
from khupho.archive.catalog.queries import CatalogBrokenError, CatalogError, SegmentRow
from khupho.archive.journal.entries import Entry, Line, SegmentDeleted, StreamNumber
from khupho.archive.journal.journal import Journal, read_journal
from khupho.archive.place.append_file import AppendFileError
from khupho.archive.proof.checkpoint import CheckpointFile
from khupho.archive.proof.leaf_record import Leaf, journal_leaf
from khupho.archive.proof.log import ProofLog
from khupho.errors import KhuphoError

BALLAST_NAME = "ballast"
BALLAST_BYTES = 1 << 20
"""Room for the journal lines of some thousand deletions."""
_LINES_A_STEP = 2_000
_REMEMBERED_DELETIONS = 20_000
"""More than are ever journalled before their files are removed."""


class TooManyStreamsError(KhuphoError):
    """The proof log has no more stream numbers."""


class Books:
    """What the keeper writes besides segments. Every method may raise `KhuphoError`."""

    def __init__(self, root: Path, root_fd: int, archive_id: bytes, key: Ed25519PrivateKey) -> None:
        """Open journal and proof log; the catalog comes with `open_catalog`."""
        self.root = root
        self.root_fd = root_fd
        self.journal = Journal(root_fd)
        self.checkpoints = CheckpointFile(root_fd, archive_id, key)
        newest = self.checkpoints.newest
        self.proof = ProofLog(root_fd, newest.checkpoint.size if newest else 0)
        self.catalog: Catalog | None = None
        self.deleted_paths: dict[str, None] = {}
        """Journalled as deleted lately: their files, if still there, go."""
        self._path = root / CATALOG_NAME
        self._archive_id = archive_id.hex()
        self._waiting: deque[Line] = deque()
        """Lines that the catalog hasn't taken in."""
        self._taken_seq = self._taken_bytes = 0
        self._is_caught_up = False
        self._numbers: dict[tuple[str, str], int] = {}
        self._leafless: deque[Line] = deque()
        """Lines that have no leaf yet, since they may not be on the disk."""

    # The catalog

    def open_catalog(self, utc_us: int) -> CatalogBrokenError | None:
        """Open it, or begin an empty one. Returns why the old one was put aside, if it was."""
        broken: CatalogBrokenError | None = None
        self._is_caught_up = False
        if self.catalog is not None:
            self.catalog.close()
            self.catalog = None
        try:
            if self._path.exists():
                self.catalog = Catalog.open(self._path, self._archive_id)
        except CatalogBrokenError as error:
            broken = error
            put_aside(self._path, utc_us)
        if self.catalog is None:
            self.catalog = Catalog.create(self._path, self._archive_id, is_whole=False)
        positions = self.catalog.positions
        self._taken_seq, self._taken_bytes, _ = positions
        if self._taken_bytes > self.journal.size_bytes:
            # A power cut took lines that the catalog knew, or the journal was put back from a backup.
            broken = CatalogBrokenError("The catalog knows more than the journal has")
            self.catalog.close()
            put_aside(self._path, utc_us)
            self.catalog = Catalog.create(self._path, self._archive_id, is_whole=False)
            self._taken_seq = self._taken_bytes = 0
        return broken

    def put_catalog_aside(self, utc_us: int) -> None:
        """However well it opens; `open_catalog` begins an empty one."""
        self._is_caught_up = False
        if self.catalog is not None:
            self.catalog.close()
            self.catalog = None
        if self._path.exists():
            put_aside(self._path, utc_us)

    def catch_up(self) -> Iterator[None]:
        """Take in the journal's lines that the catalog lacks, some at a step."""
        catalog = self._known_catalog()
        self.journal.write()
        lines: list[Line] = []
        for line in read_journal(self.root_fd, self._taken_bytes):
            lines.append(line)
            if len(lines) >= _LINES_A_STEP:
                self._take(catalog, lines)
                lines = []
                yield
        self._take(catalog, lines)
        while self._waiting and self._waiting[0].seq <= self._taken_seq:
            self._waiting.popleft()
        self._is_caught_up = True
        self._numbers.clear()

    @property
    def is_caught_up(self) -> bool:
        """The catalog has every line of the journal: segments may be put into it."""
        return self._is_caught_up

    def _take(self, catalog: Catalog, lines: Sequence[Line]) -> None:
        if not lines:
            return
        with catalog.transaction():
            for line in lines:
                catalog.take_line(line)
                if isinstance(line.entry, SegmentDeleted):
                    self._remember_deleted(line.entry.path)
            last = lines[-1]
            seq = max((line.seq for line in lines), default=0)
            seq = max(seq, self._taken_seq)
            end = last.offset + len(last.data) + 1
            catalog.set_positions(seq, end, self.proof.size)
        self._taken_seq, self._taken_bytes = seq, end

    def _remember_deleted(self, path: str) -> None:
        self.deleted_paths[path] = None
        if len(self.deleted_paths) > _REMEMBERED_DELETIONS:
            del self.deleted_paths[next(iter(self.deleted_paths))]

    def _known_catalog(self) -> Catalog:
        if self.catalog is None:
            raise CatalogError("The catalog isn't open yet")
        return self.catalog

    # Writing

    def note(self, entry: Entry, utc_us: int) -> Line:
        """Put a line into the journal; it is on the disk after `sync_journal`."""
        line = self.journal.append(entry, utc_us)
        self._waiting.append(line)
        self._leafless.append(line)
        if isinstance(entry, SegmentDeleted):
            self._remember_deleted(entry.path)
        return line

    def stream_number(self, camera: str, stream: str, utc_us: int) -> int:
        """The stream's number, given now if it has none. Only once `is_caught_up`."""
        if not self._numbers:
            self._numbers = self._known_catalog().streams()
            for line in self._waiting:
                if isinstance(line.entry, StreamNumber):
                    key = (line.entry.camera, line.entry.stream)
                    self._numbers.setdefault(key, line.entry.number)
        number = self._numbers.get((camera, stream))
        if number is None:
            number = max(self._numbers.values(), default=0) + 1
            if number > 0xFFFF:
                raise TooManyStreamsError(
                    "The proof log has numbers for 65,535 streams, and all are given",
                    where=f"{camera}/{stream}",
                    advice="Begin a new archive in another directory",
                )
            self.note(StreamNumber(number=number, camera=camera, stream=stream), utc_us)
            self._numbers[camera, stream] = number
        return number

    def find_leafless(self) -> None:
        """Lines that a kill kept from their leaf; called once, before anything is noted."""
        last = self.proof.last_journal_leaf()
        begin = last.leaf.offset + last.leaf.size_bytes + 1 if last else 0
        self._leafless.extend(line for line in read_journal(self.root_fd, begin) if line.seq > 0)

    def file_leaves(self, leaves: Iterable[Leaf]) -> None:
        """Put these, and the leaves of all lines, into the proof log's buffer.

        The journal is synced before: a power cut must not take the line that gave a stream the number
        under which its leaves stand.
        """
        self.journal.sync()
        synced = self.journal.synced_bytes
        lines = []
        for line in self._leafless:
            if line.offset >= synced:
                break
            lines.append(journal_leaf(line))
        self.proof.append_many([*leaves, *lines])
        for _ in lines:
            self._leafless.popleft()

    def sync_journal(self) -> None:
        self.journal.sync()

    def sync_journal_on_a_full_disk(self) -> None:
        """As `sync_journal`, for the lines that must stand before room can be made: if there is no room
        even for them, the ballast gives it. Raises `AppendFileError`."""
        try:
            self.journal.sync()
        except AppendFileError:
            drop_ballast(self.root_fd)
            self.journal.sync()

    def commit(
        self,
        rows: Iterable[tuple[SegmentRow, Sequence[MinuteRow], int]] = (),
        read_again: Iterable[tuple[SegmentRow, Sequence[MinuteRow]]] = (),
    ) -> list[int]:
        """Put waiting lines and these segments (with minutes, and row id or 0) into the catalog, and in
        place of what it knew those that were read from their files.

        Returns the ids of `rows`. Nothing of it is in the catalog if this raises `CatalogError`.
        """
        catalog = self._known_catalog()
        if not self._is_caught_up:
            raise CatalogError("The catalog is being made anew")
        lines = list(self._waiting)
        ids = []
        with catalog.transaction():
            seq, end = self._taken_seq, self._taken_bytes
            for line in lines:
                if line.seq > seq:
                    catalog.take_line(line)
                    seq, end = line.seq, line.offset + len(line.data) + 1
            for row, minutes, row_id in rows:
                ids.append(catalog.put_segment(row, minutes, row_id))
            for row, minutes in read_again:
                catalog.replace_segment(row, minutes)
            catalog.set_positions(seq, end, self.proof.size)
        self._taken_seq, self._taken_bytes = seq, end
        for _ in lines:
            self._waiting.popleft()
        return ids

    def reopen(self, root_fd: int) -> None:
        """Go on after the archive's disk was away; `open_catalog` is to be called anew."""
        self.root_fd = root_fd
        self.journal.reopen(root_fd)
        self.proof.reopen(root_fd)
        self.checkpoints.reopen(root_fd)
        if self.catalog is not None:
            self.catalog.close()
            self.catalog = None
        self._is_caught_up = False

    def close(self) -> None:
        """Let all go; what was not synced is lost."""
        if self.catalog is not None:
            self.catalog.close()
        self.journal.close()
        self.proof.close()
        self.checkpoints.close()


def lay_ballast(root_fd: int) -> None:
    """Keep a little room, so that deletions can be journalled on a full disk. Raises `OSError`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(BALLAST_NAME, flags, 0o600, dir_fd=root_fd)
    try:
        if os.fstat(file).st_size != BALLAST_BYTES:
            os.posix_fallocate(file, 0, BALLAST_BYTES)
    except OSError:
        os.ftruncate(file, 0)
        raise
    finally:
        os.close(file)


def drop_ballast(root_fd: int) -> None:
    """Give the room to whoever needs it now."""
    with contextlib.suppress(OSError):
        file = os.open(BALLAST_NAME, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)
        try:
            os.ftruncate(file, 0)
        finally:
            os.close(file)


def remove_segment(root_fd: int, path: str, *, keep_day: str) -> None:
    """Remove a segment's file, and its day's directory if that was the last one and isn't `keep_day`.

    A file that is gone already is no error. Raises `OSError`.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path, dir_fd=root_fd)
    directory = path.rpartition("/")[0]
    if directory.rpartition("/")[2] != keep_day:
        with contextlib.suppress(OSError):
            os.rmdir(directory, dir_fd=root_fd)

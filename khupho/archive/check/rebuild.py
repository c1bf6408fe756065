"""The catalog made anew from segment files and journal, while no recorder writes the archive.

A recorder does the same by itself, beside its recording (`keeper.intake`). Both use the same rows and folds,
so the answers are the same to the byte (`CatalogQueries.dump`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from khupho.archive.catalog.catalog import CATALOG_NAME, Catalog
from khupho.archive.catalog.queries import CatalogError
from khupho.archive.catalog.rows import stored_minutes, stored_row
from khupho.archive.journal.entries import Line, SegmentDeleted
from khupho.archive.journal.journal import read_journal
from khupho.archive.place.directories import segments_of, stream_days
from khupho.archive.place.identity import (
    ArchiveBusyError,
    is_being_written,
    read_identity,
    read_running,
)
from khupho.archive.place.place import explain_disk_error
from khupho.archive.place.segment_names import segment_path
from khupho.archive.proof.log import ProofLogReader
from khupho.archive.segments.reader import SegmentError, WalkedSegment, walk_segment

_LINES_A_STEP = 2_000
_SEGMENTS_A_STEP = 100
_NEW_SUFFIX = ".rebuild"

Progress = Callable[[int, int, str], None]
"""`progress(done, total, what)`: segments; may raise to cancel."""


class RebuildReport(NamedTuple):
    """What a rebuild made."""

    segments: int
    left_out: tuple[str, ...]
    """Segments that cannot be read, or whose name isn't what their facts say: `check` tells more."""
    without_number: tuple[str, ...]
    """Streams that the journal gives no number: their footage waits for the recorder's next start."""


def rebuild_catalog(
    root: Path, progress: Progress = lambda _done, _total, _what: None
) -> RebuildReport:
    """Make the catalog of an archive anew and put it in place of the old one, whole or not at all.

    Raises `ArchiveBusyError` while a recorder writes it, `ArchiveIdentityError`, other `KhuphoError`.
    """
    identity = read_identity(root)
    if is_being_written(root):
        running = read_running(root)
        raise ArchiveBusyError(root, running.pid if running else 0)
    path = root / CATALOG_NAME
    fresh = path.with_name(path.name + _NEW_SUFFIX)
    _remove(fresh)
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        catalog = Catalog.create(fresh, identity.archive_id.hex(), is_whole=False)
        try:
            report = fill_catalog(catalog, root_fd, progress)
            catalog.leave_wal()
        finally:
            catalog.close()
        _remove(path, keep_main=True)
        fresh.replace(path)
        os.fsync(root_fd)
        return report
    except OSError as error:
        raise explain_disk_error(error, root) from error
    finally:
        os.close(root_fd)
        _remove(fresh)


def fill_catalog(catalog: Catalog, root_fd: int, progress: Progress) -> RebuildReport:
    """Take journal and segments into an empty catalog. Raises `KhuphoError`, `OSError`."""
    deleted = take_journal(catalog, root_fd)
    days = stream_days(root_fd)
    paths = [path for day in days for path in segments_of(root_fd, day) if path not in deleted]
    numbers = catalog.streams()
    left_out: list[str] = []
    without_number: set[str] = set()
    made = 0
    for begin in range(0, len(paths), _SEGMENTS_A_STEP):
        with catalog.transaction():
            for path in paths[begin : begin + _SEGMENTS_A_STEP]:
                progress(made + len(left_out), len(paths), path)
                walked = believable(root_fd, path)
                if walked is None:
                    left_out.append(path)
                    continue
                stored = walked.segment
                number = numbers.get((stored.camera, stored.stream))
                if number is None:
                    without_number.add(f"{stored.camera}/{stored.stream}")
                    left_out.append(path)
                    continue
                size = walked.size_bytes if walked.is_closed else walked.good_bytes
                row = stored_row(stored, number, size, is_closed=walked.is_closed)
                catalog.put_segment(row, stored_minutes(stored))
                made += 1
    with catalog.transaction():
        # Without a number they are taken in by the recorder, which can give them one.
        if not without_number:
            catalog.set_whole()
    progress(len(paths), len(paths), "")
    return RebuildReport(made, tuple(left_out), tuple(sorted(without_number)))


def believable(root_fd: int, path: str) -> WalkedSegment | None:
    """A segment that can be read and is where it belongs, with at least one fragment."""
    try:
        walked = walk_segment(root_fd, path)
    except SegmentError:
        return None
    facts = walked.facts
    if segment_path(facts.camera, facts.stream, facts.start_utc_us) != path:
        return None
    return walked if walked.segment.fragments else None


def take_journal(catalog: Catalog, root_fd: int) -> set[str]:
    """Take all of the journal's lines in; returns the paths that they tell deleted."""
    deleted: set[str] = set()
    for lines in _batches(read_journal(root_fd)):
        with catalog.transaction():
            for line in lines:
                catalog.take_line(line)
                if isinstance(line.entry, SegmentDeleted):
                    deleted.add(line.entry.path)
            seq = max((line.seq for line in lines), default=0)
            end = lines[-1].offset + len(lines[-1].data) + 1
            catalog.set_positions(max(seq, catalog.positions.journal_seq), end, 0)
    with contextlib.closing(ProofLogReader(root_fd)) as proof, catalog.transaction():
        positions = catalog.positions
        catalog.set_positions(positions.journal_seq, positions.journal_bytes, proof.size)
    return deleted


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) >= _LINES_A_STEP:
            yield batch
            batch = []
    if batch:
        yield batch


def _remove(path: Path, *, keep_main: bool = False) -> None:
    """A catalog and its write-ahead log. Raises `CatalogError`."""
    try:
        for suffix in ("-wal", "-shm") if keep_main else ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise CatalogError(
            f"The old catalog cannot be removed: {error.strerror}",
            where=str(path),
            advice="Check the archive's owner and disk",
        ) from error

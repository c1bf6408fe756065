"""What is done before an archive's first new fragment: where footage ended, and the books made ready."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import khupho
from khupho.archive.alarms import AlarmBoard
from khupho.archive.catalog.catalog import CATALOG_NAME, open_reader
from khupho.archive.catalog.queries import CatalogError, CatalogQueries, SegmentRow
from khupho.archive.journal.entries import Repaired, Started
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.intake import Newest
from khupho.archive.place.identity import WritingLock, boot_id
from khupho.archive.place.place import Place
from khupho.archive.proof.checkpoint import CHECKPOINTS_NAME, CheckpointError
from khupho.archive.proof.leaf_record import LeafDamagedError
from khupho.archive.proof.log import LEAVES_NAME
from khupho.archive.segments.reader import (
    SegmentError,
    fragments_from,
    open_segment,
    read_head,
    reader_of,
    walk_file,
)
from khupho.media.boxes import BoxError
from khupho.units import US_PER_S, format_utc

PROOF_ALARM = "proof"
_PROOF_FILES = (LEAVES_NAME, "proof/blocks-8", "proof/blocks-16", "proof/blocks-24")

logger = logging.getLogger("khupho.archive")


def remember_ends(place: Place, newest: Newest) -> int:
    """Tell the place where each stream's footage ends, so that none begins before; returns the latest.

    The catalog knows nearly all; of segments that were being written only the last seconds are read.
    Raises `OSError`.
    """
    catalog: CatalogQueries | None = None
    with contextlib.suppress(CatalogError):
        catalog = open_reader(place.path / CATALOG_NAME, place.archive_id.hex())
    latest_us = 0
    try:
        for (camera, stream), path in newest.items():
            row: SegmentRow | None = None
            if catalog is not None:
                with contextlib.suppress(CatalogError):
                    row = catalog.segment(path)
            end_us = row.end_utc_us if row and row.cause is not None else 0
            end_us = end_us or _end_in_file(place.root_fd, path, row)
            place.memory_of(camera, stream).end_utc_us = end_us
            latest_us = max(latest_us, end_us)
    finally:
        if catalog is not None:
            catalog.close()
    return latest_us


def _end_in_file(root_fd: int, path: str, row: SegmentRow | None) -> int:
    """Where a segment's footage ends, 0 where its file cannot be read."""
    try:
        file = open_segment(root_fd, path)
    except SegmentError:
        return 0
    try:
        if row is not None:
            with contextlib.suppress(BoxError, OSError):
                return _end_after(file, row)
        return walk_file(file, path).segment.end_utc_us
    except SegmentError:
        return 0
    finally:
        os.close(file)


def _end_after(file: int, row: SegmentRow) -> int:
    """As the fragments after the flushed ones tell it. Raises `BoxError`, `OSError`."""
    read_at = reader_of(file)
    size = os.fstat(file).st_size
    init, _ = read_head(read_at, size)
    end_us = row.end_utc_us
    try:
        for fragment in fragments_from(read_at, row.flushed_bytes, size, row.fragments + 1):
            length_us = fragment.header.duration_90k * US_PER_S // init.timescale
            end_us = fragment.start_utc_us + length_us
    except BoxError as error:
        if not error.truncated and end_us == row.end_utc_us:
            raise
    return end_us


def open_books(
    root: Path,
    root_fd: int,
    archive_id: bytes,
    key: Ed25519PrivateKey,
    alarms: AlarmBoard,
    utc_us: int,
) -> Books:
    """Journal and proof log. A damaged proof log is put aside, since recording matters more than the proof
    of it; a damaged journal isn't, since it holds what must not be deleted. Raises `KhuphoError`."""
    try:
        books = Books(root, root_fd, archive_id, key)
        books.find_leafless()
        return books
    except (LeafDamagedError, CheckpointError) as error:
        alarms.sound(PROOF_ALARM, error)
        logger.error("%s", error)
        stamp = format_utc(utc_us).replace(":", "").replace("-", "")
        names = list(_PROOF_FILES)
        if isinstance(error, CheckpointError):
            names.append(CHECKPOINTS_NAME)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, f"{name}.broken-{stamp}", src_dir_fd=root_fd, dst_dir_fd=root_fd)
        books = Books(root, root_fd, archive_id, key)
        books.note(Repaired(file=LEAVES_NAME, cut_bytes=0, cause=error.what), utc_us)
        books.find_leafless()
        return books


def note_start(books: Books, lock: WritingLock, recorder: str, utc_us: int) -> None:
    """The journal's first lines of this run."""
    for name, cut_bytes in (
        ("journal.jsonl", books.journal.cut_bytes),
        (LEAVES_NAME, books.proof.cut_bytes),
        (CHECKPOINTS_NAME, books.checkpoints.cut_bytes),
    ):
        if cut_bytes:
            books.note(Repaired(file=name, cut_bytes=cut_bytes, cause="torn end"), utc_us)
    books.note(
        Started(
            recorder=recorder,
            version=khupho.__version__,
            pid=os.getpid(),
            boot=boot_id(),
            last_end=lock.last_end.value,
            key=str(books.checkpoints.verifier_key),
        ),
        utc_us,
    )

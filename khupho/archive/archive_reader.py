"""An archive to read from: beside a recorder, or while none runs. `clips.writing.ClipSource` among others.

The catalog answers where it can; where it is missing, damaged or not whole, the directories do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from khupho.archive.catalog.catalog import CATALOG_NAME, open_reader
from khupho.archive.catalog.coverage import Coverage, SegmentSpan, cover
from khupho.archive.catalog.queries import CatalogError, CatalogQueries
from khupho.archive.clips.prover import LogProver
from khupho.archive.journal.entries import HoldPlaced, HoldReleased, SegmentDeleted
from khupho.archive.journal.hold_requests import waiting_requests, with_requests
from khupho.archive.journal.journal import numbers_of, read_journal
from khupho.archive.place.directories import StreamDay, days_of, segments_of, stream_directories
from khupho.archive.place.identity import read_identity
from khupho.archive.place.place import explain_disk_error
from khupho.archive.place.segment_names import parse_segment_path
from khupho.archive.proof.checkpoint import origin_of, verifier_keys
from khupho.archive.proof.signed_note import VerifierKey
from khupho.archive.retention.holds import Hold, HoldError
from khupho.archive.segments.reader import SegmentError, open_segment, read_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.units import US_PER_DAY, US_PER_MS, format_utc

_BEGINNING = "0000-00-00"


class ArchiveReader:
    """Read-only. Use as a `with` block, from one thread."""

    def __init__(self, root: Path) -> None:
        """Raises `ArchiveIdentityError`, `DiskError`."""
        self.root = root
        self.identity = read_identity(root)
        try:
            self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise explain_disk_error(error, root) from error
        self.catalog: CatalogQueries | None = None
        """None where it cannot be used: then answers take longer."""
        with contextlib.suppress(CatalogError):
            catalog = open_reader(root / CATALOG_NAME, self.archive_id)
            if catalog.is_whole:
                self.catalog = catalog
            else:
                catalog.close()
        self._numbers: dict[tuple[str, str], int] | None = None

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        if self.catalog is not None:
            self.catalog.close()
        os.close(self._root_fd)

    @property
    def archive_id(self) -> str:
        return self.identity.archive_id.hex()

    # export.ClipSource

    def segments(
        self, camera: str, stream: str, start_utc_us: int, end_utc_us: int
    ) -> Sequence[str]:
        """Relative paths of the segments that may hold footage of that time, oldest first."""
        try:
            first = format_utc(max(start_utc_us - US_PER_DAY, 0))[:10]
            last = format_utc(end_utc_us)[:10]
        except (ValueError, OverflowError):
            first, last = _BEGINNING, "9999-99-99"
        paths = [
            path
            for day in days_of(self._root_fd, camera, stream)
            if first <= day <= last
            for path in segments_of(self._root_fd, StreamDay(day, camera, stream))
        ]
        # A segment ends before the next one begins, so names tell enough; its day is its start's.
        starts = [_start_us(path) for path in paths]
        ends = [*starts, 1 << 62][1:]
        return [
            path
            for path, start_us, end_us in zip(paths, starts, ends, strict=True)
            if start_us < end_utc_us and end_us > start_utc_us
        ]

    def read(self, relative_path: str) -> StoredSegment:
        """A segment with its fragments. Raises `SegmentError`."""
        return read_segment(self._root_fd, relative_path)

    def open(self, relative_path: str) -> int:
        """A descriptor of a segment. Raises `SegmentError`."""
        return open_segment(self._root_fd, relative_path)

    # What there is

    def streams(self) -> list[tuple[str, str]]:
        """Camera and stream of all that have footage, sorted."""
        return sorted(stream_directories(self._root_fd))

    def spans(
        self, camera: str, stream: str, start_utc_us: int, end_utc_us: int
    ) -> list[SegmentSpan]:
        """The segments of a stream within a time, oldest first."""
        if self.catalog is not None:
            with contextlib.suppress(CatalogError):
                number = self.catalog.streams().get((camera, stream))
                if number is not None:
                    return self.catalog.spans(number, start_utc_us, end_utc_us)
        spans = []
        for path in self.segments(camera, stream, start_utc_us, end_utc_us):
            with contextlib.suppress(SegmentError):
                stored = self.read(path)
                size_bytes = os.stat(path, dir_fd=self._root_fd).st_size
                spans.append(
                    SegmentSpan(stored.start_utc_us, stored.end_utc_us, size_bytes, stored.cause)
                )
        return [span for span in spans if span.end_utc_us > start_utc_us]

    def coverage(
        self, camera: str, stream: str, start_utc_us: int, end_utc_us: int
    ) -> Coverage | None:
        """What there is of a stream within a time. A gap that deletions made says so."""
        made = cover(self.spans(camera, stream, start_utc_us, end_utc_us))
        if made is None or not made.gaps:
            return made
        deleted = self._deleted(camera, stream)
        gaps = []
        for gap in made.gaps:
            reasons = {
                reason
                for start_us, end_us, reason in deleted
                if start_us < gap.end_utc_us and end_us > gap.start_utc_us
            }
            cause = f"deleted ({', '.join(sorted(reasons))})" if reasons else gap.cause
            gaps.append(gap._replace(cause=cause))
        return made._replace(gaps=tuple(gaps))

    def _deleted(self, camera: str, stream: str) -> list[tuple[int, int, str]]:
        """Times of a stream whose footage was deleted, and why."""
        if self.catalog is not None:
            with contextlib.suppress(CatalogError):
                return [
                    (run.start_utc_us, run.end_utc_us, run.reason)
                    for run in self.catalog.deletions(camera)
                    if run.stream == stream
                ]
        return [
            (entry.start_utc_us, entry.end_utc_us, entry.reason)
            for line in read_journal(self._root_fd)
            if isinstance(entry := line.entry, SegmentDeleted)
            and (entry.camera, entry.stream) == (camera, stream)
        ]

    # Journal and proof

    def numbers(self) -> dict[tuple[str, str], int]:
        """Stream numbers in the proof log."""
        if self._numbers is None:
            self._numbers = numbers_of(self._root_fd)
        return self._numbers

    def holds(self) -> list[Hold]:
        """Those that hold, with requests that the recorder hasn't taken up yet."""
        standing: dict[str, Hold] = {}
        for line in read_journal(self._root_fd):
            if isinstance(line.entry, HoldPlaced):
                with contextlib.suppress(HoldError):
                    standing.setdefault(line.entry.id, line.entry.hold())
            elif isinstance(line.entry, HoldReleased):
                standing.pop(line.entry.id, None)
        return with_requests(list(standing.values()), waiting_requests(self._root_fd))

    def prover(self) -> LogProver:
        """What proves clips. Raises `AppendFileError`."""
        keys = verifier_keys(self._root_fd)
        key = VerifierKey(origin_of(self.identity.archive_id), keys[0]) if keys else None
        return LogProver(
            self._root_fd, lambda camera, stream: self.numbers().get((camera, stream)), key
        )


def _start_us(path: str) -> int:
    name = parse_segment_path(path)
    return name.start_utc_ms * US_PER_MS if name is not None else 0

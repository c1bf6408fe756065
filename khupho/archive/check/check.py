"""`khupho archive check`: the numbered invariants of `docs/design/archive.md`, exactly those.

Works beside a recorder that writes: what it has open is judged as far as it is flushed, and what was written,
closed or deleted meanwhile is looked at a second time before anything is said of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from khupho.archive.catalog.catalog import CATALOG_NAME, open_reader
from khupho.archive.catalog.queries import CatalogError, CatalogQueries
from khupho.archive.check.catalog import CatalogCheck
from khupho.archive.check.findings import Finding
from khupho.archive.check.leaves import GoneRanges, LeafCheck
from khupho.archive.check.proof import check_checkpoints, check_journal
from khupho.archive.check.segment import CheckedSegment, check_segment
from khupho.archive.events import CloseCause
from khupho.archive.journal.journal import numbers_of, read_journal
from khupho.archive.place.directories import (
    StreamDay,
    file_size,
    segments_of,
    strangers,
    stream_days,
)
from khupho.archive.place.identity import (
    IDENTITY_NAME,
    ArchiveIdentityError,
    is_being_written,
    read_identity,
    read_running,
)
from khupho.archive.place.place import explain_disk_error
from khupho.archive.place.segment_names import parse_segment_path
from khupho.archive.proof.log import LEAVES_NAME, ProofLogReader
from khupho.errors import KhuphoError
from khupho.units import US_PER_HOUR, US_PER_MS

_FAR_UTC_US = 1 << 62
Progress = Callable[[int, int, str], None]
"""`progress(done, total, what)`: segments, or bytes in a deep check; may raise to cancel."""


@dataclass(slots=True)
class CheckReport:
    """What a check looked at, and what it found."""

    is_deep: bool
    is_being_written: bool = False
    segments: int = 0
    fragments: int = 0
    footage_bytes: int = 0
    leaves: int = 0
    checkpoints: int = 0
    journal_lines: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not self.findings


def check_archive(
    root: Path,
    *,
    deep: bool = False,
    progress: Progress = lambda _done, _total, _what: None,
    found: Callable[[Finding], None] = lambda _finding: None,
) -> CheckReport:
    """Look at everything. `found` is told each finding at once.

    Raises `KhuphoError` only where nothing can be looked at: no such directory, no right to read it.
    """
    try:
        root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise explain_disk_error(error, root) from error
    try:
        return _Check(root, root_fd, deep, progress, found).run()
    except OSError as error:
        raise explain_disk_error(error, root) from error
    finally:
        os.close(root_fd)


class _Check:
    """One run."""

    def __init__(
        self,
        root: Path,
        root_fd: int,
        deep: bool,
        progress: Progress,
        found: Callable[[Finding], None],
    ) -> None:
        self.report = CheckReport(deep, is_being_written(root))
        self._is_unsettled = self.report.is_being_written or read_running(root) is not None
        """A recorder writes, or ended without order: the next one makes its last segments good."""
        self._root = root
        self._root_fd = root_fd
        self._progress = progress
        self._found = found
        self._total = 0
        self._done = 0
        self._ends: dict[tuple[str, str], tuple[int, str]] = {}
        """Stream to end and path of its last segment."""

    def tell(self, *findings: Finding) -> None:
        for finding in findings:
            self.report.findings.append(finding)
            self._found(finding)

    def run(self) -> CheckReport:
        try:
            archive_id = read_identity(self._root_fd).archive_id
        except ArchiveIdentityError as error:
            self.tell(Finding(1, IDENTITY_NAME, None, error.what))
            return self.report
        self._journal_and_proof(archive_id)
        with contextlib.ExitStack() as stack:
            catalog = self._open_catalog(archive_id)
            if catalog is not None:
                stack.callback(catalog.close)
            numbers = numbers_of(self._root_fd)
            gone = GoneRanges(numbers)
            gone.take(read_journal(self._root_fd))
            leaves = self._open_leaves(stack, gone)
            rows = CatalogCheck(self._root_fd, catalog, numbers, self._is_unsettled)
            self._segments(archive_id, catalog, leaves, rows, numbers)
            gone.take(read_journal(self._root_fd))
            if leaves is not None:
                self._settle(leaves, _FAR_UTC_US)
            self.tell(*rows.finish())
        self.tell(
            *(Finding(2, path, None, "it is no segment") for path in strangers(self._root_fd))
        )
        return self.report

    def _journal_and_proof(self, archive_id: bytes) -> None:
        lines, findings = check_journal(self._root_fd)
        self.report.journal_lines = lines
        self.tell(*findings)
        checkpoints, findings = check_checkpoints(self._root_fd, archive_id)
        self.report.checkpoints = checkpoints
        self.tell(*findings)

    def _open_catalog(self, archive_id: bytes) -> CatalogQueries | None:
        path = self._root / CATALOG_NAME
        if not path.exists():
            return None  # a cache: the next start makes it anew
        try:
            return open_reader(path, archive_id.hex())
        except CatalogError as error:
            self.tell(Finding(10, CATALOG_NAME, None, error.what))
        return None

    def _open_leaves(self, stack: contextlib.ExitStack, gone: GoneRanges) -> LeafCheck | None:
        try:
            proof = ProofLogReader(self._root_fd)
            stack.callback(proof.close)
            self.report.leaves = proof.size
            return LeafCheck(proof, gone)
        except KhuphoError as error:
            self.tell(Finding(11, LEAVES_NAME, None, error.what))
            return None

    # Segments

    def _segments(
        self,
        archive_id: bytes,
        catalog: CatalogQueries | None,
        leaves: LeafCheck | None,
        rows: CatalogCheck,
        numbers: dict[tuple[str, str], int],
    ) -> None:
        days = stream_days(self._root_fd)
        listed = {day: segments_of(self._root_fd, day) for day in days}
        newest = {(day.camera, day.stream): paths[-1] for day, paths in listed.items() if paths}
        if self.report.is_deep:
            self._total = sum(
                file_size(self._root_fd, path) for paths in listed.values() for path in paths
            )
        else:
            self._total = sum(map(len, listed.values()))
        for begin_us, path in _by_hour(days, listed):
            if leaves is not None:
                self._settle(leaves, begin_us)
            camera, stream, _ = path.split("/", 2)
            # The row first: what it calls flushed is in the file, and in the log, afterwards.
            row = None
            if catalog is not None:
                with contextlib.suppress(CatalogError):
                    row = catalog.segment(path)
            may_be_open = self._is_unsettled and (
                path == newest[camera, stream]
                or row is None
                or row.cause in (None, CloseCause.DISK)  # the disk owes us that one's end
            )
            flushed_bytes = row.flushed_bytes if row is not None else 0
            self._progress(self._done, self._total, path)
            checked = check_segment(
                self._root_fd, path, archive_id, may_be_open=may_be_open,
                torn_from=None if self.report.is_being_written else flushed_bytes,
                looked_at=self._looked_at if self.report.is_deep else None,
            )  # fmt: skip
            self._done += 0 if self.report.is_deep else 1
            if checked.is_gone:
                continue
            self.tell(*checked.findings)
            self._count(checked)
            rows.take(path, checked)
            number = numbers.get((camera, stream))
            walked = checked.walked
            is_whole = walked is not None and all(one.invariant > 4 for one in checked.findings)
            if is_whole:
                self._overlap(path, checked)
            if leaves is None or number is None:
                continue
            if walked is not None:
                if row is None and walked.is_closed and not self._is_unsettled:
                    flushed_bytes = walked.size_bytes
                leaves.expect(self._root_fd, walked.segment, number, flushed_bytes)
            if not is_whole:
                leaves.excuse(self._root_fd, path, number)
        self._progress(self._total, self._total, "")

    def _looked_at(self, size_bytes: int) -> None:
        """In a deep check the bytes count, not the files."""
        self._done += size_bytes
        self._progress(self._done, self._total, "")

    def _count(self, checked: CheckedSegment) -> None:
        self.report.segments += 1
        if checked.walked is not None:
            self.report.fragments += len(checked.walked.segment.fragments)
            self.report.footage_bytes += checked.walked.size_bytes

    def _overlap(self, path: str, checked: CheckedSegment) -> None:
        assert checked.walked is not None
        segment = checked.walked.segment
        key = (segment.camera, segment.stream)
        before = self._ends.get(key)
        if before is not None and segment.start_utc_us < before[0]:
            overlap_us = before[0] - segment.start_utc_us
            what = f"it begins {overlap_us / US_PER_MS:.3f} ms before {before[1]} ends"
            self.tell(Finding(8, path, None, what))
        if before is None or segment.end_utc_us > before[0]:
            self._ends[key] = (segment.end_utc_us, path)

    def _settle(self, leaves: LeafCheck, until_utc_us: int) -> None:
        try:
            self.tell(*leaves.settle(until_utc_us))
        except KhuphoError as error:
            self.tell(Finding(11, LEAVES_NAME, None, error.what))


def _by_hour(
    days: list[StreamDay], listed: dict[StreamDay, list[str]]
) -> Iterator[tuple[int, str]]:
    """All segments, hour by hour over all streams, in each hour stream by stream. With each the
    beginning of its hour (of its name's)."""
    at = 0
    while at < len(days):
        stop = at
        hours: dict[int, list[str]] = {}
        while stop < len(days) and days[stop].day == days[at].day:
            for path in listed[days[stop]]:
                name = parse_segment_path(path)
                start_us = name.start_utc_ms * US_PER_MS if name is not None else 0
                hours.setdefault(start_us // US_PER_HOUR, []).append(path)
            stop += 1
        for hour in sorted(hours):
            for path in hours[hour]:
                yield hour * US_PER_HOUR, path
        at = stop

"""Events of the writers, added up; and the flush that makes them durable, proven and known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from khupho.archive.alarms import AlarmBoard
from khupho.archive.catalog.minutes import MinuteRow
from khupho.archive.catalog.queries import SegmentRow
from khupho.archive.catalog.rows import stored_minutes, stored_row
from khupho.archive.events import (
    Event,
    FragmentCommitted,
    Segment,
    SegmentClosed,
    SegmentOpened,
)
from khupho.archive.journal.entries import FootageLost, GapSeen
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.event_queue import EventQueue
from khupho.archive.keeper.recorded_segment import RecordedSegment
from khupho.archive.place.place import DiskError, explain_disk_error
from khupho.archive.proof.leaf_record import Leaf
from khupho.archive.proof.leaves_of_files import compare_leaves
from khupho.archive.retention.plan import Stored
from khupho.archive.segments.gaps import SEAM_US
from khupho.archive.segments.recovery import recover_segment
from khupho.errors import Fault, KhuphoError

FLUSH_ALARM = "disk-flush"
_READ_AGAIN_AT_ONCE = 50
"""Segments read from their files in one flush; the others wait for the next one."""

logger = logging.getLogger("khupho.archive.keeper")
FromFile = tuple[SegmentRow, Sequence[MinuteRow]]
_End = tuple[int, str]
"""When a segment ended, UTC in microseconds, and why."""


class Flusher:
    """The segments being written, and what is to be done with them. For the keeper's thread alone."""

    def __init__(
        self,
        books: Books,
        queue: EventQueue,
        alarms: AlarmBoard,
        closed: Callable[[Stored], None],
        beat: Callable[[], None],
    ) -> None:
        """`closed` is told of each segment that is in the catalog for good; `beat` of each sign of life."""
        self._books = books
        self.queue = queue
        self._alarms = alarms
        self._tell_closed = closed
        self._beat = beat
        self._segments: dict[Segment, RecordedSegment] = {}
        self._ends: dict[tuple[str, str], _End] = {}
        """Stream to the end and cause of its newest segment."""
        self.uncertain: set[tuple[str, str]] = set()
        """Streams whose newest segment of the last run isn't made good yet."""
        self._named_days: set[str] = set()
        """Directories whose names are on the disk."""
        self._openings: list[tuple[Segment, _End | None]] = []
        """Of uncertain streams, whose gaps are yet to be noted; with the end before, if this run saw it."""

    @property
    def segments(self) -> int:
        """How many are being written or wait for their last flush."""
        return len(self._segments)

    # Events

    def take(self, events: Iterable[Event], utc_us: int) -> None:
        """Add up what the writers told. Raises `KhuphoError` where a new stream cannot be numbered."""
        segments = self._segments
        for event in events:
            if isinstance(event, FragmentCommitted):
                recorded = segments.get(event.segment)
                if recorded is not None:
                    recorded.take(event)
            elif isinstance(event, SegmentOpened):
                self._opened(event, utc_us)
            else:
                self._closed(event)

    def _opened(self, event: SegmentOpened, utc_us: int) -> None:
        segment, books = event.segment, self._books
        handle = self.queue.take_handle(segment)
        key = (segment.camera, segment.stream)
        number = 0
        if books.is_caught_up:
            number = books.stream_number(*key, utc_us)
        self._segments[segment] = RecordedSegment(segment, number, event.header_bytes, handle)
        before = self._ends.pop(key, None)
        if not number or key in self.uncertain:
            self._openings.append((segment, before))
        else:
            self._note_gap(segment, before, utc_us)

    def _note_gap(self, segment: Segment, before: _End | None, utc_us: int) -> None:
        key = (segment.camera, segment.stream)
        if before is None and self._books.catalog is not None:
            number = self._books.stream_number(*key, utc_us)
            row = self._books.catalog.before(number, segment.start_utc_us)
            if row is not None and row.cause is not None:
                before = (row.end_utc_us, row.cause.name.lower())
        if before is not None and segment.start_utc_us - before[0] > SEAM_US:
            self._books.note(
                GapSeen(
                    camera=segment.camera,
                    stream=segment.stream,
                    start_utc_us=before[0],
                    end_utc_us=segment.start_utc_us,
                    cause=before[1],
                ),
                utc_us,
            )

    def note_late_gaps(self, utc_us: int) -> None:
        """The last run's segments are made good: now it is known where they ended."""
        self.uncertain.clear()
        openings, self._openings = self._openings, []
        for segment, before in openings:
            self._note_gap(segment, before, utc_us)

    def _closed(self, event: SegmentClosed) -> None:
        recorded = self._segments.get(event.segment)
        if recorded is None:
            return
        recorded.closed = event
        recorded.is_dirty = True
        if self.queue.dropped(event.segment):
            recorded.is_lossy = True
        key = (event.segment.camera, event.segment.stream)
        self._ends[key] = (event.end_utc_us, event.cause.name.lower())

    # Flushing

    def flush(self, utc_us: int) -> None:
        """Segments, then journal, then leaves, then catalog; see `keeper.books`. What fails raises
        `KhuphoError` and is done again by the next flush."""
        books = self._books
        dirty = [recorded for recorded in self._segments.values() if recorded.is_dirty]
        for recorded in dirty:
            recorded.start_writing()
        failed = [recorded for recorded in dirty if not self._sync(recorded)]
        if not failed:
            self._alarms.clear(FLUSH_ALARM)
        from_files, missing = self._read_again(dirty, utc_us)
        whole = [one for one in dirty if not one.is_lossy and not one.is_suspect]
        books.file_leaves([*missing, *(leaf for recorded in whole for leaf in recorded.pending)])
        for recorded in whole:
            recorded.pending.clear()
        books.proof.sync()
        self._beat()
        for recorded in whole:
            recorded.flushed_bytes = recorded.good_bytes
        if not books.is_caught_up:
            return
        rows = [(one.row(), one.fold.changed(), one.row_id) for one in whole]
        ids = books.commit(rows, [row for _, row in from_files])
        for recorded, row_id in zip(whole, ids, strict=True):
            recorded.row_id = row_id
            recorded.fold.forget_changed()
            self._settle(recorded, recorded.row())
        for recorded, (row, _) in from_files:
            self._settle(recorded, row)

    @property
    def paths(self) -> Iterable[str]:
        """Of segments that aren't in the catalog for good."""
        return (segment.relative_path for segment in self._segments)

    def _sync(self, recorded: RecordedSegment) -> bool:
        """Whether the segment is on the disk now."""
        try:
            recorded.flush(self._books.root_fd)
            recorded.flush_name(self._books.root_fd, self._named_days)
        except OSError as error:
            # The kernel tells it once and may call the pages clean that it could not write.
            recorded.is_suspect = True
            fault = explain_disk_error(error, self._books.root)
            self._alarms.sound(
                FLUSH_ALARM,
                DiskError(fault.what, where=recorded.segment.relative_path, advice=fault.advice),
            )
            logger.error("%s: %s", recorded.segment.relative_path, error.strerror)
            return False
        finally:
            self._beat()
        return True

    def _read_again(
        self, dirty: Iterable[RecordedSegment], utc_us: int
    ) -> tuple[list[tuple[RecordedSegment, FromFile]], list[Leaf]]:
        """Closed segments whose facts were dropped or are in doubt: what their files say, and the leaves
        that they lack."""
        books = self._books
        found: list[tuple[RecordedSegment, FromFile]] = []
        missing: list[Leaf] = []
        if not books.is_caught_up:
            return found, missing
        for recorded in dirty:
            if recorded.closed is None or not (recorded.is_lossy or recorded.is_suspect):
                continue
            if len(found) >= _READ_AGAIN_AT_ONCE:
                break
            try:
                row, leaves = self._from_file(recorded, utc_us)
            except (KhuphoError, OSError) as error:
                logger.error("%s cannot be read again: %s", recorded.segment.relative_path, error)
                if isinstance(error, OSError) or error.fault is Fault.DISK:
                    break  # the disk is away: the next flush tries again
                self._drop(recorded)
                continue
            found.append((recorded, row))
            missing += leaves
            self._beat()
        return found, missing

    def _from_file(self, recorded: RecordedSegment, utc_us: int) -> tuple[FromFile, list[Leaf]]:
        books, segment = self._books, recorded.segment
        number = recorded.number or books.stream_number(segment.camera, segment.stream, utc_us)
        verify_from = recorded.flushed_bytes if recorded.is_suspect else None
        made = recover_segment(books.root_fd, segment.relative_path, verify_from)
        books.proof.write()
        leaves = compare_leaves(
            books.proof, books.root_fd, made.segment, number, recorded.flushed_bytes,
            recorded.end_utc_us,
        )  # fmt: skip
        note_lost(books, segment.relative_path, leaves.lost, "the disk lost it", utc_us)
        return (
            (stored_row(made.segment, number, made.size_bytes), stored_minutes(made.segment)),
            leaves.missing,
        )

    def reopened(self) -> None:
        """The disk was away and is back: what was open on it is dead, and what it had taken in doubt."""
        for recorded in self._segments.values():
            recorded.release()
            recorded.is_suspect = recorded.is_dirty = True

    def _settle(self, recorded: RecordedSegment, row: SegmentRow) -> None:
        """What the flush brought is in the catalog."""
        recorded.is_dirty = False
        if recorded.closed is None:
            return
        segment = recorded.segment
        self._drop(recorded)
        self._tell_closed(
            Stored(
                segment.camera, segment.stream, row.path, row.start_utc_us, row.end_utc_us,
                row.size_bytes,
            )
        )  # fmt: skip

    def _drop(self, recorded: RecordedSegment) -> None:
        recorded.release()
        self.queue.forget(recorded.segment)
        self._segments.pop(recorded.segment, None)

    def see_again(self, live: Iterable[Segment]) -> None:
        """Openings and closings were dropped: follow just these from now on. Those whose opening was
        dropped are read from their files when they are closed."""
        wanted = set(live)
        for segment, recorded in list(self._segments.items()):
            if recorded.closed is None and segment not in wanted:
                self._drop(recorded)
        for segment in wanted:
            if segment not in self._segments:
                handle = self.queue.take_handle(segment)
                self._segments[segment] = RecordedSegment(segment, 0, 0, handle)

    def forget_rows(self) -> None:
        """The catalog is a new one: everything is to be written into it again."""
        for recorded in self._segments.values():
            recorded.row_id = 0
            recorded.is_dirty = True
            recorded.fold.mark_changed()

    def release(self) -> None:
        """At the end: let all descriptors go."""
        for recorded in self._segments.values():
            recorded.release()


def note_lost(books: Books, path: str, lost: Sequence[Leaf], cause: str, utc_us: int) -> None:
    """Journal fragments of a segment that have leaves and are gone."""
    if lost:
        camera, stream, _ = path.split("/", 2)
        books.note(
            FootageLost(
                camera=camera,
                stream=stream,
                path=path,
                start_utc_us=min(leaf.start_utc_us for leaf in lost),
                end_utc_us=max(leaf.start_utc_us + leaf.duration_us for leaf in lost),
                fragments=len(lost),
                cause=cause,
            ),
            utc_us,
        )

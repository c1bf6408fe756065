"""A segment being written, as the keeper follows it."""

from __future__ import annotations

import contextlib
import os

from khupho.archive.catalog.minutes import MinuteFold
from khupho.archive.catalog.queries import SegmentRow
from khupho.archive.catalog.rows import format_text
from khupho.archive.events import FragmentCommitted, Segment, SegmentClosed
from khupho.archive.place.directories import sync_names
from khupho.archive.proof.leaf_record import Leaf, fragment_leaf


class RecordedSegment:
    """What the events of one segment add up to."""

    __slots__ = (
        "closed", "end_utc_us", "flushed_bytes", "fold", "fragments", "frames", "good_bytes", "handle",
        "is_dirty", "is_lossy", "is_named", "is_suspect", "key_frames", "lost_packets", "number",
        "pending", "row_id", "segment",
    )  # fmt: skip

    def __init__(self, segment: Segment, number: int, header_bytes: int, handle: int) -> None:
        self.segment = segment
        self.number = number
        """The stream's; 0 while the catalog cannot tell it: then the segment is read again when closed."""
        self.handle = handle
        """The keeper's own descriptor; -1 where there is none."""
        self.good_bytes = header_bytes
        self.flushed_bytes = 0
        self.end_utc_us = segment.start_utc_us
        self.fragments = self.frames = self.key_frames = self.lost_packets = 0
        self.fold = MinuteFold()
        self.pending: list[Leaf] = []
        """Leaves of fragments that aren't flushed yet."""
        self.is_dirty = True
        """Something was written since the last flush."""
        self.is_lossy = number == 0
        """Facts of it were dropped: when it is closed it is read from its file."""
        self.is_suspect = False
        """The disk reported an error: what wasn't flushed before may be gone."""
        self.is_named = False
        """Its name is on the disk."""
        self.closed: SegmentClosed | None = None
        self.row_id = 0

    def take(self, event: FragmentCommitted) -> None:
        """Add a fragment."""
        self.is_dirty = True
        if self.is_lossy or event.offset != self.good_bytes:
            self.is_lossy = True
            return
        self.good_bytes = event.offset + event.size_bytes
        self.end_utc_us = event.start_utc_us + event.duration_us
        self.fragments += 1
        self.frames += event.frames
        self.key_frames += event.key_frames
        self.lost_packets += event.lost_packets
        self.fold.take(
            event.start_utc_us, event.duration_us, event.size_bytes, event.frames, event.key_frames,
            event.lost_packets, event.damaged, event.clock_wrong,
        )  # fmt: skip
        self.pending.append(fragment_leaf(event, self.number))

    def start_writing(self) -> None:
        """Let the kernel begin to write it out, so that many segments' flushes wait together."""
        if self.handle >= 0:
            with contextlib.suppress(OSError):
                # Linux begins the write-back of what is dirty, and lets go of what was written before.
                os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def flush(self, root_fd: int) -> None:
        """Bring what was written to the disk. Raises `OSError`."""
        if self.handle < 0:
            self.handle = os.open(
                self.segment.relative_path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root_fd
            )
        os.fdatasync(self.handle)

    def flush_name(self, root_fd: int, known_days: set[str]) -> None:
        """Bring its name to the disk, once; see `sync_names`. Raises `OSError`."""
        if not self.is_named:
            sync_names(root_fd, self.segment.relative_path, known_days)
            self.is_named = True

    def row(self) -> SegmentRow:
        """The catalog's row, as far as the segment is flushed."""
        closed = self.closed
        return SegmentRow(
            self.number,
            self.segment.relative_path,
            self.segment.start_utc_us,
            closed.end_utc_us if closed else self.end_utc_us,
            closed.size_bytes if closed else self.good_bytes,
            closed.cause if closed else None,
            self.fragments,
            self.frames,
            self.key_frames,
            self.lost_packets,
            format_text(self.segment.format),
            closed.size_bytes if closed else self.flushed_bytes,
        )

    def release(self) -> None:
        """Let the descriptor go."""
        if self.handle >= 0:
            with contextlib.suppress(OSError):
                os.close(self.handle)
            self.handle = -1

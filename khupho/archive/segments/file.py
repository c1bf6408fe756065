"""One segment's file while it grows: appends, what was appended, and its end."""

from __future__ import annotations

import contextlib
import errno
import os
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from khupho.archive.events import (
    CloseCause,
    FragmentCommitted,
    Listener,
    Segment,
    SegmentClosed,
    SegmentOpened,
)
from khupho.archive.place.place import NOTED_US, Buffer, Place
from khupho.archive.place.spill import Put
from khupho.archive.segments.facts import ClosingFacts, closing_facts_box
from khupho.media.fmp4 import PRFT_BYTES, mfra_box

_new_event = tuple.__new__


def segment_end(facts: ClosingFacts, key_fragments: Sequence[tuple[int, int]]) -> bytes:
    """What is appended to a segment that ends: closing facts and `mfra`.

    `key_fragments` are presentation time on the media's line, and the `moof`'s offset.
    """
    return closing_facts_box(facts) + mfra_box(key_fragments)


class FragmentToWrite(NamedTuple):
    """What is to be told of a fragment once it is written."""

    data_bytes: int
    start_utc_us: int
    duration_us: int
    frames: int
    key_frames: int
    key_time: int
    """Presentation time of its first frame on the media's line where that is a key frame, else -1."""
    lost_packets: int
    damaged: bool
    clock_wrong: bool


class SegmentFile:
    """A segment being written. After a method raised `OSError` the file is as it was, or torn at the end:
    then `abandon` it.

    While the disk is slow (`place.spill`) the methods return at once, and the work is done by the
    spill's thread, events with it. What it cannot do shows in `failed`.
    """

    __slots__ = (
        "_fragments", "_frames", "_head", "_key_frames", "_keys", "_listener", "_lost_packets",
        "_payload_bytes", "_place", "end_utc_us", "failed", "segment", "size_bytes",
    )  # fmt: skip

    def __init__(self, place: Place, segment: Segment, listener: Listener) -> None:
        self.segment = segment
        self.size_bytes = 0
        """Of all that was appended whole."""
        self.end_utc_us = segment.start_utc_us
        self.failed: OSError | None = None
        """Why the spill's thread gave the segment up."""
        self._place = place
        self._listener = listener
        self._fragments = self._frames = self._key_frames = 0
        self._lost_packets = self._payload_bytes = 0
        self._head = b""
        self._keys = array("Q")
        """Time and offset of each fragment that begins with a key frame, one after the other."""

    # Called by the stream's writer

    def begin(self, head: bytes) -> None:
        """Create the file; `head` (`ftyp moov uuid`) goes in front of the first fragment, in one append.

        Raises `OSError`; after `FileExistsError` nothing is changed.
        """
        self._head = head
        self.segment.beginning_sha256 = sha256(head).digest()
        self.segment.head_bytes = len(head)
        if not self._spilled(self._open, 0):
            self._open()

    def append(self, header: bytes, pieces: Sequence[Buffer], facts: FragmentToWrite) -> None:
        """Append a fragment and tell it. Raises `OSError`."""
        if self._place.spill.is_active:
            data = b"".join(pieces)
            action = partial(self._append, header, (data,), facts)
            if self._spilled(action, len(header) + len(data), frames=facts.frames):
                return
        self._append(header, pieces, facts)

    def finish(self, cause: CloseCause) -> None:
        """Append the segment's end, close it, and tell it. What the disk refuses is appended later."""
        if not self._spilled(partial(self._finish, cause), 0, must_fit=True):
            self._finish(cause)

    def abandon(self) -> None:
        """After a refused append: cut the torn end away, and end the segment in order if possible."""
        if not self._spilled(self._abandon, 0, must_fit=True):
            self._abandon()

    # Done now, or by the spill's thread

    def _spilled(
        self,
        action: Callable[[], None],
        size_bytes: int,
        *,
        must_fit: bool = False,
        frames: int = 0,
    ) -> bool:
        """Whether the action was handed to the spill. Raises `OSError` where that is full."""
        spill = self._place.spill
        if not spill.is_active:
            return False
        put = spill.put(partial(self._attempt, action, frames), size_bytes, must_fit=must_fit)
        if put is Put.FULL:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return put is Put.QUEUED

    def _attempt(self, action: Callable[[], None], frames: int) -> None:
        """What the spill's thread does with an action: after a failure the others are left out."""
        segment, place = self.segment, self._place
        if self.failed is None:
            try:
                action()
            except OSError as error:
                self.failed = error
                self._abandon()
                place.failed(segment.camera, segment.stream, error, 0)
        if self.failed is not None:
            place.lose(frames)

    def _open(self) -> None:
        place = self._place
        began_us = place.mono_us()
        self.segment.file = place.open_segment(self.segment.relative_path)
        self._look_at(place.mono_us() - began_us)

    def _append(self, header: bytes, pieces: Sequence[Buffer], facts: FragmentToWrite) -> None:
        (
            data_bytes, start_utc_us, duration_us, frames, key_frames, key_time, lost_packets, damaged,
            clock_wrong,
        ) = facts  # fmt: skip
        size = len(header) + data_bytes
        place, segment, head = self._place, self.segment, self._head
        began_us = place.mono_us()
        if head:
            place.write_all(segment.file, [head, header, *pieces], len(head) + size)
            self._head = b""
            self.size_bytes = len(head)
            self._listener(SegmentOpened(segment, len(head)))
        else:
            place.write_all(segment.file, [header, *pieces], size)
        took_us = place.mono_us() - began_us
        offset = self.size_bytes
        self.size_bytes = segment.written_bytes = offset + size
        self.end_utc_us = start_utc_us + duration_us
        self._fragments += 1
        self._frames += frames
        self._key_frames += key_frames
        self._lost_packets += lost_packets
        self._payload_bytes += data_bytes
        if key_time >= 0:
            self._keys.extend((key_time, offset + PRFT_BYTES))
            segment.newest_key_offset = offset
        self._listener(
            _new_event(
                FragmentCommitted,
                (
                    segment, offset, header, start_utc_us, duration_us, size, frames, key_frames,
                    lost_packets, damaged, clock_wrong,
                ),
            )
        )  # fmt: skip
        if place.has_failing:
            place.works(segment.camera, segment.stream)
        self._look_at(took_us)

    def _finish(self, cause: CloseCause) -> None:
        if not self.size_bytes:
            self._abandon()
            return
        tail = self._end(cause)
        place, segment = self._place, self.segment
        began_us = place.mono_us()
        try:
            place.write_all(segment.file, [tail], len(tail))
        except OSError:
            self._cut_back()
            place.leave_unfinished(segment.relative_path, self.size_bytes, tail)
        self._close(cause, len(tail))
        self._look_at(place.mono_us() - began_us)

    def _abandon(self) -> None:
        if self.segment.file < 0:
            return
        if not self.size_bytes:
            # Not one fragment: nobody was told of it.
            self._close_file()
            with contextlib.suppress(OSError):
                self._place.remove_segment(self.segment.relative_path)
            return
        if self._cut_back():
            self._finish(CloseCause.DISK)
            return
        tail = self._end(CloseCause.DISK)
        self._place.leave_unfinished(self.segment.relative_path, self.size_bytes, tail)
        self._close(CloseCause.DISK, len(tail))

    def _look_at(self, took_us: int) -> None:
        if took_us >= NOTED_US:
            self._place.took(took_us)

    def _end(self, cause: CloseCause) -> bytes:
        facts = ClosingFacts(
            cause,
            self.end_utc_us,
            self._fragments,
            self._frames,
            self._key_frames,
            self._lost_packets,
            self._payload_bytes,
        )
        keys = self._keys
        return segment_end(facts, list(zip(keys[::2], keys[1::2], strict=True)))

    def _cut_back(self) -> bool:
        try:
            self._place.calls.ftruncate(self.segment.file, self.size_bytes)
        except OSError:
            return False
        return True

    def _close(self, cause: CloseCause, tail_bytes: int) -> None:
        self._close_file()
        self._listener(
            SegmentClosed(self.segment, cause, self.end_utc_us, self.size_bytes + tail_bytes)
        )

    def _close_file(self) -> None:
        file, self.segment.file = self.segment.file, -1
        with contextlib.suppress(OSError):
            # Written data that is lost here is found at the keeper's flush.
            self._place.calls.close(file)

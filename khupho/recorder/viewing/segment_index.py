"""Where the key frames of a segment lie: what a playlist is made of.

A closed segment's random access table tells it in two reads, and a few more for its last group of pictures.
Where packets were lost the table doesn't tell the holes, and a segment being written has no table: there
the headers are walked, each of them once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.segments.facts import (
    CLOSING_FACTS_BYTES,
    SEGMENT_FACTS_BYTES,
    ClosingFacts,
    parse_closing_facts,
)
from khupho.archive.segments.gaps import GAP_US
from khupho.archive.segments.reader import (
    SegmentError,
    fragments_from,
    read_head,
    reader_of,
)
from khupho.archive.segments.stored_segment import StoredFragment
from khupho.errors import Fault
from khupho.media.boxes import BoxError, ReadAt
from khupho.media.fmp4 import (
    MFRO_BYTES,
    PRFT_BYTES,
    InitSegment,
    RandomAccess,
    mfra_size,
    parse_fragment,
    parse_mfra,
)
from khupho.media.formats import VideoFormat
from khupho.units import US_PER_S

MOST_KEPT_RANGES = 50_000
"""Of closed segments, together: some 10 MB; 28 hours of a camera with a key frame every two seconds."""
_MOST_MFRA_BYTES = 1 << 20
_MOST_GROWING = 64
_TAIL_BYTES = 16 << 10
"""Holds the tables of most segments: one read."""


class KeyRange(NamedTuple):
    """What lies from one key frame to the next, or to the end, or to a hole right before the next one."""

    start_utc_us: int
    duration_us: int
    offset: int
    """Of its first fragment's `prft` in the file."""
    size_bytes: int
    is_after_hole: bool
    """Footage is missing before it, so that the one before it ends earlier than this one begins."""


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """What a player must know of one segment."""

    relative_path: str
    start_utc_us: int
    init_bytes: int
    """Of `ftyp` and `moov`, with which the file begins."""
    codec: str
    """RFC 6381."""
    width_px: int
    height_px: int
    """0 and 0 for sound."""
    is_closed: bool
    """Where not, the last range may still grow."""
    ranges: Sequence[KeyRange]
    """Oldest first. What stands before the first key frame cannot be decoded, and is in none."""

    @property
    def end_utc_us(self) -> int:
        """Of its last range; its start where it has none."""
        if not self.ranges:
            return self.start_utc_us
        return self.ranges[-1].start_utc_us + self.ranges[-1].duration_us

    @property
    def bits_per_s(self) -> int:
        """On average, headers included; 0 where nothing is known."""
        duration_us = sum(piece.duration_us for piece in self.ranges)
        size_bytes = sum(piece.size_bytes for piece in self.ranges)
        return size_bytes * 8 * US_PER_S // duration_us if duration_us else 0

    @property
    def peak_bits_per_s(self) -> int:
        """Of the range with the highest bit rate."""
        return max(
            (
                piece.size_bytes * 8 * US_PER_S // piece.duration_us
                for piece in self.ranges
                if piece.duration_us
            ),
            default=0,
        )


class _KeyPoint(NamedTuple):
    """A fragment that begins with a key frame."""

    time_us: int
    """On the presentation's line, from the segment's start."""
    utc_us: int
    offset: int
    hole_from_us: int
    """Where on that line the footage before it ended; -1 where it goes on."""


_FileId = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class _Walk:
    """How far a segment's headers were read."""

    init: InitSegment
    start_utc_us: int
    offset: int
    """Where the next fragment begins."""
    sequence: int = 1
    end_time: int = 0
    """Where the last fragment ends, in ticks of decode time."""
    points: list[_KeyPoint] = field(default_factory=list)

    def take(self, fragment: StoredFragment) -> None:
        header = fragment.header
        if header.is_key[0]:
            hole_us = _us(header.base_decode_time_90k - self.end_time, self.init)
            has_hole = self.sequence > 1 and hole_us > GAP_US
            shift = header.ctts[0] - self.init.edit_media_time_90k if header.ctts else 0
            self.points.append(
                _KeyPoint(
                    _us(header.base_decode_time_90k + shift, self.init),
                    fragment.start_utc_us + _us(shift, self.init),
                    fragment.offset,
                    _us(self.end_time, self.init) if has_hole else -1,
                )
            )
        self.end_time = header.end_decode_time_90k
        self.offset = fragment.offset + header.size_bytes
        self.sequence += 1

    def ranges(self) -> list[KeyRange]:
        return _ranges(self.points, _us(self.end_time, self.init), self.offset)


class SegmentIndexes:
    """Makes indexes, keeps those of closed segments, and remembers how far open ones were read.

    For one thread at a time.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_FileId, SegmentIndex] = OrderedDict()
        self._kept_ranges = 0
        self._growing: OrderedDict[_FileId, _Walk] = OrderedDict()

    def of(self, reader: ArchiveReader, relative_path: str) -> SegmentIndex | None:
        """The index of a segment; None where the file is gone, or its beginning is damaged or not yet
        written. What is damaged farther on ends the index there. Raises `SegmentError` for the disk's
        faults."""
        try:
            file = reader.open(relative_path)
        except SegmentError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        try:
            status = os.fstat(file)
            identity = status.st_dev, status.st_ino
            known = self._kept.get(identity)
            if known is not None and known.relative_path == relative_path:
                self._kept.move_to_end(identity)
                return known
            return self._make(reader_of(file), status.st_size, identity, relative_path)
        except BoxError:
            return None
        except OSError as error:
            raise SegmentError(
                f"A segment cannot be read: {error.strerror}",
                where=relative_path,
                advice="Look at the disk: dmesg, smartctl -a",
                fault=Fault.DISK,
            ) from error
        finally:
            os.close(file)

    def _make(
        self, read_at: ReadAt, size_bytes: int, identity: _FileId, relative_path: str
    ) -> SegmentIndex:
        walk = self._growing.pop(identity, None)
        end = _end_at(read_at, size_bytes)
        ranges = None
        if walk is not None and walk.offset <= size_bytes:
            init, start_utc_us = walk.init, walk.start_utc_us
        else:
            init, facts = read_head(read_at, size_bytes)
            if not init.timescale:
                raise BoxError("the time scale is 0", 0)
            start_utc_us = facts.start_utc_us
            walk = _Walk(init, start_utc_us, init.size_bytes + SEGMENT_FACTS_BYTES)
            if end is not None and not end.facts.lost_packets:
                ranges = _ranges_of_table(read_at, end, init, start_utc_us)
        if ranges is None:
            _walk_on(walk, read_at, end.offset if end is not None else size_bytes)
            ranges = walk.ranges()
        picture = init.format if isinstance(init.format, VideoFormat) else None
        made = SegmentIndex(
            relative_path,
            start_utc_us,
            init.size_bytes,
            init.format.rfc6381,
            picture.width_px if picture else 0,
            picture.height_px if picture else 0,
            end is not None,
            ranges,
        )
        self._keep(identity, made, walk)
        return made

    def _keep(self, identity: _FileId, made: SegmentIndex, walk: _Walk) -> None:
        if not made.is_closed:
            self._growing[identity] = walk
            if len(self._growing) > _MOST_GROWING:
                self._growing.popitem(last=False)
            return
        replaced = self._kept.pop(identity, None)
        self._kept_ranges -= len(replaced.ranges) if replaced else 0
        self._kept[identity] = made
        self._kept_ranges += len(made.ranges)
        while self._kept_ranges > MOST_KEPT_RANGES and len(self._kept) > 1:
            self._kept_ranges -= len(self._kept.popitem(last=False)[1].ranges)


class _End(NamedTuple):
    """A closed segment's end."""

    offset: int
    """Of its closing facts: where the last fragment ends."""
    facts: ClosingFacts
    entries: Sequence[RandomAccess]


def _end_at(read_at: ReadAt, size_bytes: int) -> _End | None:
    """The end of a segment that has one."""
    tail_at = max(size_bytes - _TAIL_BYTES, 0)
    tail = read_at(tail_at, size_bytes - tail_at)
    table_bytes = mfra_size(tail[-MFRO_BYTES:])
    wanted = table_bytes + CLOSING_FACTS_BYTES
    if not 0 < table_bytes <= _MOST_MFRA_BYTES or wanted > size_bytes:
        return None
    offset = size_bytes - wanted
    data = tail[offset - tail_at :] if offset >= tail_at else read_at(offset, wanted)
    try:
        facts = parse_closing_facts(data[:CLOSING_FACTS_BYTES], offset)
        return _End(offset, facts, parse_mfra(data[CLOSING_FACTS_BYTES:]))
    except BoxError:
        return None


def _ranges_of_table(
    read_at: ReadAt, end: _End, init: InitSegment, start_utc_us: int
) -> list[KeyRange] | None:
    """The ranges as a table without holes tells them; None where it cannot be right.

    Moments between the first and the last key frame follow the media's line: the anchor, which moves by at
    most 500 ppm within a segment, is read at its last key frame and taken to have moved evenly.
    """
    entries = end.entries
    if not entries:
        return []
    first = init.size_bytes + SEGMENT_FACTS_BYTES
    offsets = [entry.moof_offset - PRFT_BYTES for entry in entries]
    if offsets[0] < first or offsets[-1] >= end.offset:
        return None
    if any(a >= b for a, b in pairwise(offsets)) or any(
        a.time_90k >= b.time_90k for a, b in pairwise(entries)
    ):
        return None
    last = _Walk(init, start_utc_us, offsets[-1])
    try:
        head = parse_fragment(read_at(offsets[-1], min(1 << 16, end.offset - offsets[-1])))
        for fragment in fragments_from(read_at, offsets[-1], end.offset, head.sequence):
            last.take(fragment)
    except BoxError:
        return None
    edit = init.edit_media_time_90k if head.ctts else 0
    times_us = [_us(entry.time_90k - edit, init) for entry in entries]
    if not last.points or last.points[0].time_us != times_us[-1]:
        return None
    moved_us = last.points[0].utc_us - start_utc_us - times_us[-1]
    points = [
        _KeyPoint(
            time_us,
            start_utc_us + time_us + (moved_us * time_us // times_us[-1] if times_us[-1] else 0),
            offset,
            -1,
        )
        for time_us, offset in zip(times_us, offsets, strict=True)
    ]
    return _ranges(points, _us(last.end_time, init), end.offset)


def _walk_on(walk: _Walk, read_at: ReadAt, end: int) -> None:
    """Read the headers that have been written since, as far as they are whole."""
    try:
        for fragment in fragments_from(read_at, walk.offset, end, walk.sequence):
            walk.take(fragment)
    except BoxError:
        return  # it is being written, or damaged: what stands before it is good


def _ranges(points: Sequence[_KeyPoint], end_us: int, end_offset: int) -> list[KeyRange]:
    if not points:
        return []
    stop = _KeyPoint(end_us, 0, end_offset, -1)
    return [
        KeyRange(
            point.utc_us,
            max((following.hole_from_us if following.hole_from_us >= 0 else following.time_us)
                - point.time_us, 0),
            point.offset,
            following.offset - point.offset,
            point.hole_from_us >= 0,
        )
        for point, following in pairwise([*points, stop])
    ]  # fmt: skip


def _us(ticks: int, init: InitSegment) -> int:
    return ticks * US_PER_S // init.timescale


def range_at(ranges: Sequence[KeyRange], utc_us: int) -> int:
    """Index of the range that contains a moment, or of the first one after it; their number for none."""
    index = max(bisect_right(ranges, utc_us, key=lambda piece: piece.start_utc_us) - 1, 0)
    while index < len(ranges):
        # With holes the range that begins before the moment may end before it too.
        if ranges[index].start_utc_us + ranges[index].duration_us > utc_us:
            break
        index += 1
    return index

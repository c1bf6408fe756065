"""The key frame of a moment: found by the segments' random access tables, shown as a still.

One still is made at a time, by the process that makes the page's stills, and kept for whoever asks next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.place.append_file import read_at
from khupho.archive.segments.reader import SegmentError, read_head, reader_of
from khupho.errors import Fault
from khupho.media.boxes import BoxError
from khupho.media.formats import VideoFormat
from khupho.media.fragments import PRFT_BYTES
from khupho.media.init_segment import InitSegment
from khupho.media.random_access import MFRO_BYTES, RandomAccess, mfra_size, parse_mfra
from khupho.recorder.newest_picture import (
    KeyFrame,
    KeyPlace,
    headers_from,
    keys_in,
    read_picture,
    utc_us_of,
)
from khupho.recorder.stills import Still
from khupho.recorder.viewing.library import Library, LibraryBusyError
from khupho.units import US_PER_MINUTE, US_PER_S

HOLE_US = 10 * US_PER_S
"""A picture from before a longer hole says nothing about the moment after it."""
WIDTHS_PX = (160, 320, 640, 1280)
"""Besides the picture's own width. Few, so that askers share stills."""
_FULL_PX = 1 << 16
_LOOK_BACK_US = 10 * US_PER_MINUTE
_MOST_SEGMENTS = 4
"""Looked into, from the moment back: most begin with a key frame."""
_MOST_MFRA_BYTES = 1 << 20
_MOST_GROWING = 64
_MOST_KEPT_BYTES = 64 << 20
_ENTRY_BYTES = 500
"""What a kept still takes besides its JPEG."""
_MOST_WAITING = 32
_FAR_UTC_US = 1 << 62


class StillsBusyError(LibraryBusyError):
    """Too many wait for stills."""


# Finding


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key frame that was found, and not read yet."""

    relative_path: str
    format: VideoFormat
    place: KeyPlace


@dataclass(slots=True)
class _Growing:
    """How far a segment without a random access table was read."""

    offset: int
    taken: list[int] = field(default_factory=list)
    """When each fragment's first key frame was taken."""
    offsets: list[int] = field(default_factory=list)
    """Of those fragments."""


class GrowingSegments:
    """Remembers how far segments that are being written were read, so that each header is read once. For one
    thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Growing] = OrderedDict()

    def of(self, path: str, begin: int) -> _Growing:
        """What is known of a segment whose first box after `moov` lies at `begin`."""
        growing = self._known.get(path)
        if growing is None:
            growing = self._known[path] = _Growing(begin)
            if len(self._known) > _MOST_GROWING:
                self._known.popitem(last=False)
        self._known.move_to_end(path)
        return growing

    def forget(self, path: str) -> None:
        """It has a table now, or is gone."""
        self._known.pop(path, None)


class _Look(NamedTuple):
    """What a look into one segment found."""

    key: KeyPlace | None
    begin_utc_us: int | None
    """When the first footage that was looked at begins; None where there is none until the moment."""
    has_hole: bool
    """Before the moment more than `HOLE_US` are missing: nothing earlier counts."""


def frame_at(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    at_utc_us: int,
    growing: GrowingSegments | None = None,
) -> KeyFrame | None:
    """The key frame at or before a moment, by when it was taken.

    None where there is none, and where more than `HOLE_US` of footage are missing at once between it and
    the moment. `growing` makes the next look into a segment that is being written cheap. Damaged footage
    counts as missing. Raises `SegmentError` for the disk's faults.
    """
    found = find_key(reader, camera, stream, at_utc_us, growing)
    return read_key(reader, found) if found is not None else None


def find_key(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    at_utc_us: int,
    growing: GrowingSegments | None = None,
) -> FoundKey | None:
    """As `frame_at`, without reading the picture."""
    growing = growing or GrowingSegments()
    paths = reader.segments(camera, stream, at_utc_us - _LOOK_BACK_US, at_utc_us + 1)
    until_us = at_utc_us
    for path in list(reversed(paths))[:_MOST_SEGMENTS]:
        with _opened(reader, path) as file:
            if file is None:
                growing.forget(path)
                continue
            try:
                init, _ = read_head(reader_of(file), os.fstat(file).st_size)
            except BoxError:
                continue
            if not isinstance(init.format, VideoFormat):
                return None
            look = _look(file, path, init, until_us, growing)
            if look.has_hole:
                return None
            if look.key is not None:
                return FoundKey(path, init.format, look.key)
            if look.begin_utc_us is not None:
                # It begins in the midst of a group of pictures.
                until_us = look.begin_utc_us
    return None


def read_key(reader: ArchiveReader, found: FoundKey) -> KeyFrame | None:
    """The picture; None where it was deleted meanwhile, or is too large for one. Raises `SegmentError`."""
    with _opened(reader, found.relative_path) as file:
        data = read_picture(file, found.place) if file is not None else None
    return KeyFrame(found.format, found.place.taken_utc_us, data) if data is not None else None


@contextlib.contextmanager
def _opened(reader: ArchiveReader, path: str) -> Iterator[int | None]:
    """A segment's descriptor; None where it is gone. The disk's faults come out as `SegmentError`."""
    try:
        file = reader.open(path)
    except SegmentError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        yield None
        return
    try:
        yield file
    except OSError as error:
        raise SegmentError(
            f"A segment cannot be read: {error.strerror}",
            where=path,
            advice="Look at the disk: dmesg, smartctl -a",
            fault=Fault.DISK,
        ) from error
    finally:
        os.close(file)


def _look(
    file: int, path: str, init: InitSegment, until_us: int, growing: GrowingSegments
) -> _Look:
    """The last key frame of a segment that was taken until a moment."""
    key: KeyPlace | None = None
    first_us: int | None = None
    end_us = until_us
    has_hole = False
    begin = _where_to_begin(file, path, init, until_us, growing)
    for offset, header in headers_from(file, begin):
        begin_us = utc_us_of(init, header, header.base_decode_time_90k)
        if begin_us > until_us:
            break
        if first_us is None:
            first_us = begin_us
        elif begin_us - end_us > HOLE_US:
            key, has_hole = None, True
        for place in keys_in(init, offset, header):
            if place.taken_utc_us <= until_us:
                key, has_hole = place, False
        end_us = utc_us_of(init, header, header.end_decode_time_90k)
    if until_us - end_us > HOLE_US:
        key, has_hole = None, True
    return _Look(key, first_us, has_hole)


def _where_to_begin(
    file: int, path: str, init: InitSegment, until_us: int, growing: GrowingSegments
) -> int:
    """Offset of the last fragment that begins with a key frame taken until a moment, or of the first one."""
    entries = _table(file)
    if entries:
        growing.forget(path)
        index = bisect_right(entries, until_us, key=lambda entry: _taken_utc_us(file, init, entry))
        return entries[index - 1].moof_offset - PRFT_BYTES if index else init.size_bytes
    known = growing.of(path, init.size_bytes)
    for offset, header in headers_from(file, known.offset):
        place = next(keys_in(init, offset, header), None)
        if place is not None:
            known.taken.append(place.taken_utc_us)
            known.offsets.append(offset)
        known.offset = offset + header.size_bytes
    index = bisect_right(known.taken, until_us)
    return known.offsets[index - 1] if index else init.size_bytes


def _table(file: int) -> list[RandomAccess]:
    """A closed segment's random access table; empty where there is none."""
    size = os.fstat(file).st_size
    table_bytes = mfra_size(read_at(file, max(size - MFRO_BYTES, 0), MFRO_BYTES))
    if not 0 < table_bytes <= min(size, _MOST_MFRA_BYTES):
        return []
    try:
        return parse_mfra(read_at(file, size - table_bytes, table_bytes))
    except BoxError:
        return []


def _taken_utc_us(file: int, init: InitSegment, entry: RandomAccess) -> int:
    """When an entry's key frame was taken; far in the future where it cannot be read."""
    for offset, header in headers_from(file, entry.moof_offset - PRFT_BYTES):
        for place in keys_in(init, offset, header):
            return place.taken_utc_us
        break
    return _FAR_UTC_US


# Showing


class Decoder(Protocol):
    """Makes JPEGs: `khupho.recorder.stills.Stills`."""

    async def decode(self, frame: KeyFrame, width_px: int) -> bytes | None: ...


_Key = tuple[str, str, int, int]
"""Camera, stream, when the key frame was taken, and the width."""


@dataclass(slots=True)
class _Making:
    """A still that is to be made, and how many ask for it."""

    task: asyncio.Task[Still | None] | None = None
    askers: int = 0
    has_begun: bool = False


class MomentStills:
    """Hands out stills of moments. For the loop's thread."""

    def __init__(self, library: Library, decoder: Decoder) -> None:
        self._library = library
        self._decoder = decoder
        self._growing = GrowingSegments()
        """Used in the library's thread alone."""
        self._kept: OrderedDict[_Key, Still | None] = OrderedDict()
        self.kept_bytes = 0
        """Memory of the stills that are kept: at most 64 MiB."""
        self._making: dict[_Key, _Making] = {}
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def at(self, camera: str, stream: str, at_utc_us: int, width_px: int) -> Still | None:
        """The key frame at or before a moment, as `frame_at` finds it; None where there is none or it
        cannot be decoded.

        Its width is the smallest of `WIDTHS_PX` that isn't below `width_px`, or the picture's own for 0 and
        for what is above them; no picture is made larger. Raises `StillsBusyError`, `StillError`, and what
        `frame_at` and `Library.ask` raise. Where all who wait for a still are cancelled, it isn't begun.
        """
        if self._waiting >= _MOST_WAITING:
            raise StillsBusyError(
                "Too many pictures are asked for at once", advice="Try again in a moment"
            )
        self._waiting += 1
        try:
            found = await self._library.ask(
                lambda reader: find_key(reader, camera, stream, at_utc_us, self._growing)
            )
            if found is None:
                return None
            key = camera, stream, found.place.taken_utc_us, _fitting(width_px)
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            return await self._share(key, found)
        finally:
            self._waiting -= 1

    async def _share(self, key: _Key, found: FoundKey) -> Still | None:
        """Wait for a still that may have been begun for another."""
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = _Making()
            making.task = asyncio.create_task(self._make(making, key, found))
            # Where nobody waits any longer, nobody looks at what went wrong.
            making.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        assert making.task is not None
        making.askers += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.askers -= 1
            if not making.askers and not making.has_begun:
                making.task.cancel()
                self._forget(key, making)

    async def _make(self, making: _Making, key: _Key, found: FoundKey) -> Still | None:
        try:
            # One coded picture in memory at a time: it may have 16 MiB.
            async with self._turn:
                # From here on it is made, since a decoder that is broken off has to be begun anew.
                making.has_begun = True
                frame = await self._library.ask(lambda reader: read_key(reader, found))
                if frame is None:
                    return None
                jpeg = await self._decoder.decode(frame, key[-1])
            still = Still(found.place.taken_utc_us, jpeg) if jpeg else None
            self._keep(key, still)
            return still
        finally:
            self._forget(key, making)

    def _forget(self, key: _Key, making: _Making) -> None:
        if self._making.get(key) is making:
            del self._making[key]

    def _keep(self, key: _Key, still: Still | None) -> None:
        self._kept[key] = still
        self.kept_bytes += _size_of(still)
        while self.kept_bytes > _MOST_KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self.kept_bytes -= _size_of(oldest)

    async def close(self) -> None:
        """Make nothing more."""
        tasks = [making.task for making in self._making.values() if making.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fitting(width_px: int) -> int:
    if width_px <= 0:
        return _FULL_PX
    return next((width for width in WIDTHS_PX if width >= width_px), _FULL_PX)


def _size_of(still: Still | None) -> int:
    return _ENTRY_BYTES + (len(still.jpeg) if still is not None else 0)

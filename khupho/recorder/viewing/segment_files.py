"""The segments that a clip is read from, each the same file from beginning to end.

Retention may delete a segment while somebody takes it away. One that is open stays readable; one that has to
be opened again must be the very same file, or the clip ends there.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.place.append_file import read_at
from khupho.archive.segments.reader import SegmentError, open_segment, walk_file
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.errors import Fault, KhuphoError

MOST_OPEN = 8
"""An hour. Few, since a deleted segment frees its room only when it is closed."""


class FootageGoneError(KhuphoError):
    """Footage was deleted, or cut off, while it was read."""

    fault = Fault.ARCHIVE


class _Identity(NamedTuple):
    device: int
    inode: int


class SegmentFiles:
    """Opens segments as they are needed, and keeps some open. For one thread at a time."""

    def __init__(self, reader: ArchiveReader) -> None:
        # By path, not by the reader's descriptor: the reader may be closed before the clip is.
        self._root = reader.root
        self._open: OrderedDict[str, int] = OrderedDict()
        """Descriptors, the one used last at the end."""
        self._identities: dict[str, _Identity] = {}

    def that_exist(self, paths: Sequence[str]) -> list[str]:
        """Those with a first byte: a segment that has just been begun may have none."""
        return [path for path in paths if self._has_bytes(path)]

    def _has_bytes(self, path: str) -> bool:
        try:
            return (self._root / path).stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError:
            return True  # its reading tells what is wrong

    def segment(self, path: str) -> StoredSegment:
        """A segment with its fragments; stays open while there is room, so that the first ones, which are
        deleted first, stay. Raises `FootageGoneError`, `SegmentError`."""
        kept = self._open.get(path)
        file = self._opened(path) if kept is None else kept
        try:
            return walk_file(file, path).segment
        finally:
            if kept is None:
                self._keep_or_close(path, file)

    def _keep_or_close(self, path: str, file: int) -> None:
        if len(self._open) < MOST_OPEN:
            self._open[path] = file
        else:
            os.close(file)

    def read(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of a segment, all of them. Raises `FootageGoneError`, `SegmentError`."""
        file = self._open.get(path)
        if file is None:
            file = self._opened(path)
            if len(self._open) >= MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
            self._open[path] = file
        else:
            self._open.move_to_end(path)
        try:
            data = read_at(file, offset, size_bytes)
        except OSError as error:
            raise SegmentError(
                f"The footage cannot be read: {error.strerror}",
                where=f"{path}, byte {offset}",
                advice="Look at the disk: dmesg, smartctl -a",
                fault=Fault.DISK,
            ) from error
        if len(data) < size_bytes:
            raise _gone(path)
        return data

    def _opened(self, path: str) -> int:
        """A descriptor of the same file as ever."""
        known = self._identities.get(path)
        try:
            file = open_segment(self._root, path)
        except SegmentError as error:
            if known is not None and isinstance(error.__cause__, FileNotFoundError):
                raise _gone(path) from error
            raise
        status = os.fstat(file)
        identity = _Identity(status.st_dev, status.st_ino)
        if self._identities.setdefault(path, identity) != identity:
            os.close(file)
            raise _gone(path)
        return file

    def close(self) -> None:
        """Close all. May be called again."""
        while self._open:
            os.close(self._open.popitem()[1])


def _gone(path: str) -> FootageGoneError:
    return FootageGoneError(
        "Footage was deleted while it was being read",
        where=path,
        advice="Ask for the clip again: it begins with what is still there",
    )

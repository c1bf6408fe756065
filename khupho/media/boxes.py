"""ISO base media file format boxes (ISO/IEC 14496-12 section 4.2): bounded reader, and writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from khupho.errors import Fault, KhuphoError

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)`: that many bytes of a file, fewer only at its end."""

_SIZE_TYPE = Struct(">I4s")
_U64 = Struct(">Q")
_MAX_BOXES = 10_000_000


class BoxError(KhuphoError):
    """A box is broken, cut short, or not what was expected there.

    `offset` is the byte at which the broken box begins; `truncated` tells that nothing is wrong but
    that the bytes end before the box does, as after a kill or a power cut.
    """

    fault = Fault.ARCHIVE

    def __init__(self, what: str, offset: int, *, truncated: bool = False) -> None:
        super().__init__(what, where=f"byte {offset}")
        self.offset = offset
        self.truncated = truncated


class Box(NamedTuple):
    """Where a box lies. Offsets count from the start of the buffer or file it was found in."""

    type: bytes
    offset: int
    header_size: int
    """8, or 16 with a 64-bit size. The 16 bytes of a `uuid` type belong to the payload here."""
    size: int
    """Header and payload."""

    @property
    def payload(self) -> int:
        """Offset of the payload."""
        return self.offset + self.header_size

    @property
    def end(self) -> int:
        """Offset of the first byte after the box."""
        return self.offset + self.size


def box_at(head: bytes | memoryview, offset: int, end: int, *, at: int = 0) -> Box:
    """The box that begins at `offset` of a file whose box space ends at `end`.

    `head[at:]` is the first 16 bytes there, or as many as there are. Raises `BoxError`.
    """
    if len(head) - at < 8 or end - offset < 8:
        raise BoxError("a box header is cut short", offset, truncated=True)
    size, kind = _SIZE_TYPE.unpack_from(head, at)
    header_size = 8
    if size == 1:
        if len(head) - at < 16 or end - offset < 16:
            raise BoxError("a box header is cut short", offset, truncated=True)
        size = _U64.unpack_from(head, at + 8)[0]
        header_size = 16
    elif size == 0:
        size = end - offset
    if size < header_size:
        raise BoxError(f"a box {kind!r} says it has {size} bytes", offset)
    if size > end - offset:
        raise BoxError(
            f"a box {kind!r} of {size} bytes ends past byte {end}", offset, truncated=True
        )
    return Box(kind, offset, header_size, size)


def boxes_in(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of `data[start:end]`, one after the other. Raises `BoxError` at a broken one."""
    stop = len(data) if end is None else min(end, len(data))
    offset = start
    while offset < stop:
        box = box_at(data, offset, stop, at=offset)
        yield box
        offset = box.end


def boxes_of_file(
    read_at: ReadAt, start: int, end: int, *, max_boxes: int = _MAX_BOXES
) -> Iterator[Box]:
    """The boxes of a file's bytes `start` to `end`; only their headers are read.

    Raises `BoxError` at a broken one, or after `max_boxes` of them.
    """
    offset = start
    count = 0
    while offset < end:
        if count >= max_boxes:
            raise BoxError(f"more than {max_boxes} boxes", offset)
        box = box_at(read_at(offset, min(16, end - offset)), offset, end)
        yield box
        offset = box.end
        count += 1


def children(data: bytes | memoryview, parent: Box, skip: int = 0) -> dict[bytes, Box]:
    """The first box of each type inside `parent`, `skip` bytes into its payload."""
    found: dict[bytes, Box] = {}
    for box in boxes_in(data, parent.payload + skip, parent.end):
        found.setdefault(box.type, box)
    return found


def child(data: bytes | memoryview, parent: Box, *path: bytes) -> Box:
    """The box reached from `parent` by a path of types, each the first of its kind."""
    for kind in path:
        found = children(data, parent).get(kind)
        if found is None:
            raise BoxError(f"box {parent.type!r} has no {kind!r}", parent.offset)
        parent = found
    return parent


def payload_fields(
    layout: Struct, data: bytes | memoryview, box: Box, skip: int = 0
) -> tuple[int, ...]:
    """Unpack `layout` from `skip` bytes into the box's payload; `BoxError` if it is too short."""
    if box.size - box.header_size - skip < layout.size:
        raise BoxError(f"box {box.type!r} is too short", box.offset)
    return layout.unpack_from(data, box.payload + skip)


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of the parts, with a 32-bit size."""
    body = b"".join(parts)
    return _SIZE_TYPE.pack(len(body) + 8, kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags (ISO/IEC 14496-12 section 4.2)."""
    return box(kind, (version << 24 | flags).to_bytes(4, "big"), *parts)


def mdat_header(data_size: int) -> bytes:
    """The header of an `mdat` with that payload; 16 bytes from 4 GiB on, else 8."""
    if data_size + 8 <= 0xFFFFFFFF:
        return _SIZE_TYPE.pack(data_size + 8, b"mdat")
    return _SIZE_TYPE.pack(1, b"mdat") + _U64.pack(data_size + 16)

"""One record of `proof/leaves`: 64 bytes that say what a leaf of the Merkle log stands for. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from khupho.archive.events import FragmentCommitted
from khupho.archive.journal.entries import Line
from khupho.errors import Fault, KhuphoError

RECORD_BYTES = 64
STREAM_AT = 34
"""Byte of the stream number in a record."""
_BODY = struct.Struct(">32sBBHqIIQ")
_BODY_BYTES = 60
_CHECKED = struct.Struct(">60sI")
_HASH_BYTES = 32
_MAX_U32 = 0xFFFFFFFF
_FRAGMENT_PREFIX = b"khupho/fragment/1\n"


class LeafDamagedError(KhuphoError):
    """A record of the proof log doesn't have the checksum that it was written with."""

    fault = Fault.ARCHIVE

    def __init__(self, index: int) -> None:
        super().__init__(
            "A record of the proof log is damaged",
            where=f"proof/leaves, leaf {index}, byte {index * RECORD_BYTES}",
            advice="Run khupho archive check",
        )
        self.index = index


class LeafKind(IntEnum):
    """What a leaf's entry is."""

    FRAGMENT = 1
    JOURNAL = 2


class LeafFlags(IntFlag):
    """Of a fragment's leaf."""

    NONE = 0
    KEY = 1
    """The fragment begins with a key frame."""
    DAMAGED = 2
    CLOCK_WRONG = 4
    LATE = 128
    """Filed by recovery or rebuild, not when the fragment was committed."""


class Leaf(NamedTuple):
    """A record, in the order of its bytes."""

    hash: bytes
    kind: int
    flags: int
    stream: int
    """Number of the stream; 0 for the journal."""
    start_utc_us: int
    """A journal line's `utc`."""
    duration_us: int
    size_bytes: int
    """Of the fragment, header and payload, or of the line without its line feed."""
    offset: int
    """Of the fragment's `prft` in its segment, or of the line in the journal."""


def fragment_entry(camera: str, stream: str, beginning_sha256: bytes, header: bytes) -> bytes:
    """What is hashed for a fragment.

    `beginning_sha256` is of all that stands before the first fragment of its segment, `header` goes from
    `prft` to the end of the `mdat` box header.
    """
    names = f"{camera}/{stream}\n".encode()
    return b"%s%s%s%s" % (_FRAGMENT_PREFIX, names, beginning_sha256, header)


def entry_hash(entry: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\0" + entry).digest()


def fragment_leaf(event: FragmentCommitted, stream: int, *, late: bool = False) -> Leaf:
    """The leaf of a fragment; `stream` is the stream's number."""
    segment = event.segment
    flags = LeafFlags.KEY.value if event.key_frames else 0
    if event.damaged:
        flags |= 2
    if event.clock_wrong:
        flags |= 4
    if late:
        flags |= 128
    return Leaf(
        entry_hash(
            fragment_entry(segment.camera, segment.stream, segment.beginning_sha256, event.header)
        ),
        1,
        flags,
        stream,
        event.start_utc_us,
        min(event.duration_us, _MAX_U32),
        event.size_bytes,
        event.offset,
    )


def journal_leaf(line: Line) -> Leaf:
    """The leaf of a journal line."""
    return Leaf(
        entry_hash(line.data), LeafKind.JOURNAL, 0, 0, line.utc_us, 0, len(line.data), line.offset
    )


def pack_leaf(leaf: Leaf) -> bytes:
    """The 64 bytes. Raises `struct.error` where a number doesn't fit its field."""
    body = _BODY.pack(*leaf)
    return body + crc32(body).to_bytes(4, "big")


def is_whole(record: bytes | memoryview) -> bool:
    """Whether these 64 bytes have their checksum."""
    return crc32(record[:_BODY_BYTES]) == int.from_bytes(record[_BODY_BYTES:], "big")


def unpack_leaf(record: bytes | memoryview, index: int) -> Leaf:
    """Read a record. `index` is told in `LeafDamagedError`."""
    if not is_whole(record):
        raise LeafDamagedError(index)
    return Leaf._make(_BODY.unpack(record[:_BODY_BYTES]))


def hashes_of(data: bytes, first: int) -> list[bytes]:
    """The hashes of neighbouring records, of which `first` is the first one's index. Raises
    `LeafDamagedError`."""
    hashes: list[bytes] = []
    for body, crc in _CHECKED.iter_unpack(data):
        if crc32(body) != crc:
            raise LeafDamagedError(first + len(hashes))
        hashes.append(body[:_HASH_BYTES])
    return hashes


def whole_records(data: bytes) -> int:
    """How many records from the beginning of `data` on are whole."""
    count = len(data) // RECORD_BYTES
    for index, (body, crc) in enumerate(_CHECKED.iter_unpack(data[: count * RECORD_BYTES])):
        if crc32(body) != crc:
            return index
    return count

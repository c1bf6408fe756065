"""The archive's own boxes in a segment: facts of the segment, of each fragment, and of its end.

Three `uuid` boxes (ISO/IEC 14496-12 section 11.1), big-endian, of fixed size; the tables are in
`docs/design/archive.md`. Each ends with a CRC-32 over all that no hash covers: the segment facts' over
the file's beginning, a fragment's over its header, the closing facts' over themselves. So every byte of a
segment is covered by one of them, by a payload's SHA-256, or by `mfra`, which follows from the rest.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from khupho.archive.events import CloseCause
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import FragmentHeader

FACTS_VERSION = 1
SEGMENT_FACTS_TYPE = bytes.fromhex("30e3fa55074640f89dd740591fa0db39")
FRAGMENT_FACTS_TYPE = bytes.fromhex("685d1b72850d4134ad684974c176fd66")
CLOSING_FACTS_TYPE = bytes.fromhex("c8e9741cb4b54cbb9fa2620bc6989042")
MAX_LOST_PACKETS = 0xFFFFFFFF

KEY_FIRST, DAMAGED, CLOCK_WRONG = 0x1, 0x2, 0x4
"""Flags of a fragment; `CLOCK_WRONG` also of a segment, whose clock was wrong at its start."""

_BOX = Struct(">I4s16s")
_CRC = Struct(">I")
_CRC_BYTES = 4
_SEGMENT = Struct(">BBHI16sq64s8s")
_FRAGMENT = Struct(">BBHIqI16s32sI")
_CLOSING = Struct(">BBHIqIIIQ")
_MDAT_HEADER_BYTES = 8

SEGMENT_FACTS_BYTES = _BOX.size + _SEGMENT.size + _CRC_BYTES
"""Of the whole box, as `CLOSING_FACTS_BYTES`."""
FRAGMENT_FACTS_BYTES = _FRAGMENT.size
"""Of the payload alone: `media.fragments` lays the box around it."""
CLOSING_FACTS_BYTES = _BOX.size + _CLOSING.size + _CRC_BYTES
_CRC_FROM_END = _CRC_BYTES + _MDAT_HEADER_BYTES
_SEGMENT_HEAD = _BOX.pack(SEGMENT_FACTS_BYTES, b"uuid", SEGMENT_FACTS_TYPE)
_CLOSING_HEAD = _BOX.pack(CLOSING_FACTS_BYTES, b"uuid", CLOSING_FACTS_TYPE)


class SegmentFacts(NamedTuple):
    """What a segment is, written at its beginning."""

    archive_id: bytes
    """16 bytes."""
    camera: str
    stream: str
    start_utc_us: int
    clock_wrong: bool
    """The date was not to be trusted at its start."""
    era: int
    """Of the recorder's clock (`Arrival.era`), since the recorder's start."""


class FragmentFacts(NamedTuple):
    """What a fragment's standard boxes cannot tell."""

    key_first: bool
    damaged: bool
    clock_wrong: bool
    lost_packets: int
    """Before it."""
    start_utc_us: int
    sequence: int
    """In its segment, from 1; as in `mfhd`."""
    salt: bytes
    """16 random bytes: without them nobody can tell from a leaf what was deleted."""
    payload_sha256: bytes
    """Of the samples' bytes."""


class ClosingFacts(NamedTuple):
    """Why and when a segment ended, and what it holds."""

    cause: CloseCause
    end_utc_us: int
    fragments: int
    frames: int
    key_frames: int
    lost_packets: int
    payload_bytes: int
    """Of all samples."""


# The segment


def segment_facts_box(init: bytes, facts: SegmentFacts) -> bytes:
    """The box that follows `init` (`ftyp moov`). Raises `ValueError` for names that are too long."""
    camera, stream = facts.camera.encode(), facts.stream.encode()
    if not 0 < len(camera) <= 64 or not 0 < len(stream) <= 8 or len(facts.archive_id) != 16:
        raise ValueError(f"segment facts of {facts.camera!r}, {facts.stream!r}")
    box = _SEGMENT_HEAD + _SEGMENT.pack(
        FACTS_VERSION,
        CLOCK_WRONG if facts.clock_wrong else 0,
        0,
        facts.era,
        facts.archive_id,
        facts.start_utc_us,
        camera,
        stream,
    )
    return box + _CRC.pack(crc32(box, crc32(init)))


def parse_segment_facts(data: bytes, offset: int) -> SegmentFacts:
    """The facts at byte `offset` of a file that begins with `data`. Raises `BoxError`."""
    _expect(data, offset, _SEGMENT_HEAD, SEGMENT_FACTS_BYTES, "the segment facts")
    version, flags, _, era, archive_id, start_utc_us, camera, stream = _SEGMENT.unpack_from(
        data, offset + _BOX.size
    )
    _check_version(version, offset)
    end = offset + SEGMENT_FACTS_BYTES - _CRC_BYTES
    if _CRC.unpack_from(data, end)[0] != crc32(memoryview(data)[:end]):
        raise BoxError("the file's beginning was changed: its checksum is another", offset)
    try:
        names = camera.rstrip(b"\0").decode("ascii"), stream.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError as e:
        raise BoxError("the segment facts name no camera", offset) from e
    return SegmentFacts(archive_id, *names, start_utc_us, bool(flags & CLOCK_WRONG), era)


# A fragment


def fragment_facts_payload(
    flags: int,
    lost_packets: int,
    start_utc_us: int,
    sequence: int,
    salt: bytes,
    payload_sha256: bytes,
) -> bytes:
    """The payload of the box in `moof`, its checksum still open: see `sealed`."""
    return _FRAGMENT.pack(
        FACTS_VERSION, flags, 0, lost_packets, start_utc_us, sequence, salt, payload_sha256, 0
    )


def sealed(header: bytes) -> bytes:
    """A fragment's header (`prft moof mdat`) with the checksum of all that stands before it."""
    body = header[:-_CRC_FROM_END]
    return body + _CRC.pack(crc32(body)) + header[-_MDAT_HEADER_BYTES:]


def parse_fragment_facts(header: FragmentHeader, data: bytes, offset: int = 0) -> FragmentFacts:
    """The facts of a fragment whose header `data` begins with, its checksum looked after.

    `offset` is where it lies in its file, for errors. Raises `BoxError`.
    """
    payload = header.facts_payload
    if header.facts_type != FRAGMENT_FACTS_TYPE or len(payload) != _FRAGMENT.size:
        raise BoxError("the fragment has no facts of ours", offset)
    version, flags, _, lost, start_utc_us, sequence, salt, digest, crc = _FRAGMENT.unpack(payload)
    _check_version(version, offset)
    at = header.header_size - _CRC_FROM_END
    if data[at : at + _CRC_BYTES] != payload[-_CRC_BYTES:]:
        raise BoxError("the fragment's facts are not the last box in its moof", offset)
    if crc != crc32(memoryview(data)[:at]):
        raise BoxError("the fragment's header was changed: its checksum is another", offset)
    return FragmentFacts(
        bool(flags & KEY_FIRST),
        bool(flags & DAMAGED),
        bool(flags & CLOCK_WRONG),
        lost,
        start_utc_us,
        sequence,
        salt,
        digest,
    )


# The end


def closing_facts_box(facts: ClosingFacts) -> bytes:
    """The box after the last fragment."""
    body = _CLOSING.pack(
        FACTS_VERSION,
        facts.cause,
        0,
        facts.fragments,
        facts.end_utc_us,
        facts.frames,
        facts.key_frames,
        min(facts.lost_packets, MAX_LOST_PACKETS),
        facts.payload_bytes,
    )
    return _CLOSING_HEAD + body + _CRC.pack(crc32(body))


def parse_closing_facts(data: bytes, offset: int = 0) -> ClosingFacts:
    """The facts that `data` begins with. `offset` is where they lie in their file, for errors.

    Raises `BoxError`, with `truncated` set where only the bytes are missing.
    """
    try:
        _expect(data, 0, _CLOSING_HEAD, CLOSING_FACTS_BYTES, "the closing facts")
    except BoxError as e:
        raise BoxError(e.what, offset, truncated=e.truncated) from e
    version, cause, _, fragments, end_utc_us, frames, key_frames, lost, size = _CLOSING.unpack_from(
        data, _BOX.size
    )
    _check_version(version, offset)
    end = CLOSING_FACTS_BYTES - _CRC_BYTES
    if _CRC.unpack_from(data, end)[0] != crc32(memoryview(data)[_BOX.size : end]):
        raise BoxError("the closing facts were changed: their checksum is another", offset)
    try:
        known = CloseCause(cause)
    except ValueError as e:
        raise BoxError(f"the closing facts tell an unknown cause {cause}", offset) from e
    return ClosingFacts(known, end_utc_us, fragments, frames, key_frames, lost, size)


def is_closing_facts(data: bytes) -> bool:
    """Whether `data`, as far as it goes, begins as closing facts do."""
    return _CLOSING_HEAD.startswith(data[: len(_CLOSING_HEAD)])


def _expect(data: bytes, offset: int, head: bytes, size: int, what: str) -> None:
    there = data[offset : offset + size]
    if not head.startswith(there[: len(head)]):
        raise BoxError(f"other bytes stand where {what} should", offset)
    if len(there) < size:
        raise BoxError(f"{what} are cut short", offset, truncated=True)


def _check_version(version: int, offset: int) -> None:
    if version != FACTS_VERSION:
        raise BoxError(
            f"the facts have version {version}, and this program knows {FACTS_VERSION}", offset
        )

"""The random access table at a closed segment's end: `mfra` (ISO/IEC 14496-12 section 8.8.9)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from khupho.media.boxes import BoxError, box, box_at, child, full_box, payload_fields
from khupho.media.fragments import TRACK_ID

MFRO_BYTES = 16
MAX_ENTRIES = 1 << 20

_TFRA = Struct(">IIII")
_ENTRY = Struct(">QQBBB")
_U32 = Struct(">I")


class RandomAccess(NamedTuple):
    """A fragment that begins with a key frame."""

    time_90k: int
    """Presentation time of that frame, on the media's line."""
    moof_offset: int
    """Byte of the file at which the `moof` box begins (the `prft` is 32 bytes before)."""


def mfra_box(entries: Iterable[RandomAccess | tuple[int, int]]) -> bytes:
    """`mfra`, the file's last box: one entry a fragment whose first sample is a key frame."""
    rows = b"".join([_ENTRY.pack(time, offset, 1, 1, 1) for time, offset in entries])
    head = Struct(">III").pack(TRACK_ID, 0, len(rows) // _ENTRY.size)
    tfra = full_box(b"tfra", 1, 0, head, rows)
    return box(b"mfra", tfra, full_box(b"mfro", 0, 0, _U32.pack(8 + len(tfra) + MFRO_BYTES)))


def mfra_size(tail: bytes) -> int:
    """Bytes of the `mfra` at a file's end, as the file's last 16 bytes tell; 0 if there is none."""
    if len(tail) < MFRO_BYTES or tail[-12:-8] != b"mfro":
        return 0
    return int.from_bytes(tail[-4:], "big")


def parse_mfra(data: bytes) -> list[RandomAccess]:
    """Read a whole `mfra` box, as made here. Raises `BoxError`."""
    mfra = box_at(data, 0, len(data))
    if mfra.type != b"mfra":
        raise BoxError(f"a box {mfra.type!r} stands where mfra should", 0)
    tfra = child(data, mfra, b"tfra")
    head, track, lengths, count = payload_fields(_TFRA, data, tfra)
    if head >> 24 != 1 or track != TRACK_ID or lengths:
        raise BoxError("the tfra is of another version, track or width", tfra.offset)
    if count > MAX_ENTRIES or tfra.payload + _TFRA.size + count * _ENTRY.size != tfra.end:
        raise BoxError(f"the tfra's {count} entries don't fill it", tfra.offset)
    rows = data[tfra.payload + _TFRA.size : tfra.end]
    return [RandomAccess(time, offset) for time, offset, *_ in _ENTRY.iter_unpack(rows)]

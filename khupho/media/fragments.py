"""One fragment's header: `prft moof [uuid] mdat`-header, made fast and read back.

Sources: ISO/IEC 14496-12 sections 8.8 (movie fragments), 8.16.5 (producer reference time).
A recorder makes thousands of these a second, so the whole header is one `Struct.pack`: everything
that depends only on the number of samples is laid out once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from struct import Struct, unpack_from
from struct import error as struct_error
from typing import NamedTuple

from khupho.media.boxes import (
    Box,
    BoxError,
    ReadAt,
    box_at,
    child,
    children,
    full_box,
    payload_fields,
)

TRACK_ID = 1
PRFT_BYTES = 32
"""`moof` begins this many bytes after the fragment's `prft`."""
KEY_FLAGS = 0x02000000
"""`sample_depends_on` 2 (section 8.8.3.1): decodable by itself."""
DELTA_FLAGS = 0x01010000
"""`sample_depends_on` 1, `sample_is_non_sync_sample` 1."""

_NON_SYNC = 0x00010000
_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_DURATION, _SIZE, _FLAGS, _OFFSETS = 0x100, 0x200, 0x400, 0x800
_TFHD_BASE_IS_MOOF, _TFHD_DEFAULT_FLAGS = 0x020000, 0x20
_MAX_DATA_BYTES = 0xFFFFFFFF - 8
_MAX_HEADER_BYTES = 1 << 20
_MAX_SAMPLES = 50_000
_FIRST_READ_BYTES = 1024
_NO_END = 1 << 63
_U32 = Struct(">I")
_PRFT = Struct(">IIQQ")
_TFHD = Struct(">III")
_TFDT = Struct(">IQ")
_TRUN = Struct(">IIi")


class Keys(IntEnum):
    """Which samples of a fragment can be decoded by themselves."""

    NONE = 0
    FIRST = 1
    ALL = 2
    """Audio, and intra-only video."""


class _Layout(NamedTuple):
    """A header's constant parts, between which `pack` puts the changing numbers."""

    pack: Callable[..., bytes]
    prft: bytes
    moof: bytes
    traf: bytes
    trun: bytes
    uuid: bytes


@lru_cache(maxsize=1024)
def _layout(samples: int, ctts: bool, flags: bool, every_key: bool, facts_size: int) -> _Layout:
    """`facts_size` is that of the `uuid` box's payload with its 16-byte type; -1 for no box."""
    words = 2 + ctts + flags
    trun_size = 24 + samples * words * 4
    traf_size = 8 + 20 + 20 + trun_size
    moof_size = 8 + 16 + traf_size
    uuid_size = 8 + facts_size if facts_size >= 0 else 0
    trun_flags = _DATA_OFFSET | _DURATION | _SIZE
    trun_flags |= _FLAGS if flags else _FIRST_FLAGS
    trun_flags |= _OFFSETS if ctts else 0
    if flags:
        trun_size -= 4
        traf_size -= 4
        moof_size -= 4
    tfhd = full_box(
        b"tfhd",
        0,
        _TFHD_BASE_IS_MOOF | _TFHD_DEFAULT_FLAGS,
        TRACK_ID.to_bytes(4, "big"),
        (KEY_FLAGS if every_key else DELTA_FLAGS).to_bytes(4, "big"),
    )
    head = Struct(">I4sI")
    row = ("I" + ("I" if flags else "") + "I" + ("i" if ctts else "")) if ctts else "I" * words
    pack = Struct(
        f">16sQQ20sI{8 + len(tfhd) + 12}sQ20s{'' if flags else 'I'}{row * samples}"
        f"{'8s16s' + str(facts_size - 16) + 's' if uuid_size else ''}I4s"
    ).pack
    return _Layout(
        pack,
        head.pack(PRFT_BYTES, b"prft", 1 << 24 | 24) + TRACK_ID.to_bytes(4, "big"),
        moof_size.to_bytes(4, "big") + b"moof" + head.pack(16, b"mfhd", 0),
        traf_size.to_bytes(4, "big") + b"traf" + tfhd + head.pack(20, b"tfdt", 1 << 24),
        head.pack(trun_size, b"trun", 1 << 24 | trun_flags)
        + Struct(">II").pack(samples, moof_size + uuid_size + 8),
        uuid_size.to_bytes(4, "big") + b"uuid",
    )


def fragment_header(
    sequence: int,
    base_decode_time_90k: int,
    durations: Sequence[int],
    sizes: Sequence[int],
    *,
    data_size: int,
    ntp_64: int,
    media_time_for_prft: int,
    keys: Keys = Keys.NONE,
    ctts: Sequence[int] | None = None,
    key_flags: Sequence[bool] | None = None,
    facts_type: bytes = b"",
    facts_payload: bytes = b"",
) -> bytes:
    """Everything of a fragment that stands before its samples' bytes.

    `durations` and `sizes` have one entry a sample, in decoding order, in the track's time scale
    and in bytes; `ctts` are signed composition offsets, None where presentation follows decoding.
    `key_flags` is needed only where keys are neither none, the first, nor all; it overrides `keys`.
    `ntp_64` is the wall time of `media_time_for_prft` (which is on the line of `tfdt`).
    `facts_type` is the 16-byte type of a `uuid` box put between `moof` and `mdat`; empty for none.

    Raises `BoxError` where a number doesn't fit: none, or too many samples, or 4 GiB of data.
    """
    count = len(sizes)
    if not 0 < count <= _MAX_SAMPLES or data_size > _MAX_DATA_BYTES:
        raise BoxError(f"a fragment of {count} samples and {data_size} bytes", 0)
    flagged = key_flags is not None
    layout = _layout(
        count,
        ctts is not None,
        flagged,
        keys == 2,
        len(facts_payload) + 16 if facts_type else -1,
    )
    words = 2 + (ctts is not None) + flagged
    rows: list[int] = [0] * (count * words)
    rows[::words] = durations
    rows[1::words] = sizes
    if key_flags is not None:
        rows[2::words] = [KEY_FLAGS if key else DELTA_FLAGS for key in key_flags]
    else:
        rows.insert(0, KEY_FLAGS if keys else DELTA_FLAGS)
    if ctts is not None:
        rows[words - flagged :: words] = ctts
    facts = (layout.uuid, facts_type, facts_payload) if facts_type else ()
    try:
        return layout.pack(
            layout.prft, ntp_64, media_time_for_prft, layout.moof, sequence, layout.traf,
            base_decode_time_90k, layout.trun, *rows, *facts, data_size + 8, b"mdat",
        )  # fmt: skip
    except struct_error as e:
        raise BoxError(f"a number of the fragment doesn't fit: {e}", 0) from e


@dataclass(frozen=True, slots=True)
class FragmentHeader:
    """A fragment's header, read back. Offsets within it count from its `prft`."""

    sequence: int
    base_decode_time_90k: int
    """Decode time of the first sample (`tfdt`), in the track's time scale."""
    durations: tuple[int, ...]
    sizes: tuple[int, ...]
    ctts: tuple[int, ...] | None
    """Composition offsets, signed; None where presentation follows decoding."""
    is_key: tuple[bool, ...]
    ntp_64: int
    """Wall time of `prft_media_time_90k` (RFC 5905 section 6)."""
    prft_media_time_90k: int
    facts_type: bytes
    """16 bytes; empty where the fragment has no `uuid` box."""
    facts_payload: bytes
    header_size: int
    """Bytes from `prft` to the end of the `mdat` box header: where the samples' bytes begin."""
    data_size: int
    """Bytes of samples, as `mdat` tells. `sizes` should add up to it; that isn't checked here."""

    @property
    def data_offset(self) -> int:
        """Where the samples' bytes begin, from the fragment's start."""
        return self.header_size

    @property
    def size_bytes(self) -> int:
        """Header and data."""
        return self.header_size + self.data_size

    @property
    def duration_90k(self) -> int:
        return sum(self.durations)

    @property
    def end_decode_time_90k(self) -> int:
        """Decode time at which the next fragment's `tfdt` should be."""
        return self.base_decode_time_90k + sum(self.durations)


def read_fragment(read_at: ReadAt, offset: int, end: int) -> FragmentHeader:
    """The fragment whose `prft` begins at byte `offset` of a file of `end` bytes.

    Reads its header only, in one call where that is under a kilobyte. Raises `BoxError`, with
    `truncated` set where the file ends inside the fragment.
    """
    wanted = _FIRST_READ_BYTES
    while True:
        data = read_at(offset, min(wanted, end - offset))
        try:
            return parse_fragment(data, offset, end)
        except BoxError as e:
            if not e.truncated or wanted >= _MAX_HEADER_BYTES or len(data) < wanted:
                raise
        wanted *= 8


def parse_fragment(data: bytes, offset: int = 0, end: int | None = None) -> FragmentHeader:
    """Read the fragment header that `data` begins with: `prft moof [uuid] mdat`, as made here.

    `data` may end anywhere after the `mdat` box's header. `offset` is where it lies in its file,
    for errors, and `end` the file's size, against which the `mdat` is held if
    given. Raises `BoxError`; `truncated` is set where `data` or the file ends too early.
    """
    try:
        return _parse(data, end - offset if end is not None else None)
    except BoxError as e:
        raise BoxError(e.what, offset + e.offset, truncated=e.truncated) from e


def _parse(data: bytes, end: int | None) -> FragmentHeader:
    prft = _expect(data, 0, b"prft")
    moof = _expect(data, prft.end, b"moof")
    mdat = box_at(data, moof.end, _NO_END, at=moof.end)
    facts_type = facts_payload = b""
    if mdat.type == b"uuid":
        facts = _expect(data, moof.end, b"uuid")
        facts_type = bytes(data[facts.payload : facts.payload + 16])
        facts_payload = bytes(data[facts.payload + 16 : facts.end])
        if len(facts_type) < 16:
            raise BoxError("the uuid box has no type", facts.offset)
        mdat = box_at(data, facts.end, _NO_END, at=facts.end)
    if mdat.type != b"mdat":
        raise BoxError(f"a box {mdat.type!r} stands where mdat should", mdat.offset)
    if end is not None and mdat.end > end:
        raise BoxError("the mdat is cut short", mdat.offset, truncated=True)
    version_flags, track, ntp_64, media_time = payload_fields(_PRFT, data, prft)
    if version_flags >> 24 != 1 or track != TRACK_ID:
        raise BoxError("the prft is of another version or track", prft.offset)
    sequence = payload_fields(_U32, data, child(data, moof, b"mfhd"), 4)[0]
    parts = children(data, child(data, moof, b"traf"))
    if not {b"tfhd", b"tfdt", b"trun"} <= parts.keys():
        raise BoxError("the traf lacks tfhd, tfdt or trun", moof.offset)
    tfdt = payload_fields(_TFDT, data, parts[b"tfdt"])
    if tfdt[0] >> 24 != 1:
        raise BoxError("the tfdt is not of version 1", parts[b"tfdt"].offset)
    default_flags = _default_flags(data, parts[b"tfhd"])
    durations, sizes, ctts, is_key = _parse_trun(
        data, parts[b"trun"], default_flags, mdat.payload - moof.offset
    )
    return FragmentHeader(
        sequence=sequence,
        base_decode_time_90k=tfdt[1],
        durations=durations,
        sizes=sizes,
        ctts=ctts,
        is_key=is_key,
        ntp_64=ntp_64,
        prft_media_time_90k=media_time,
        facts_type=facts_type,
        facts_payload=facts_payload,
        header_size=mdat.payload,
        data_size=mdat.size - mdat.header_size,
    )


def _expect(data: bytes, offset: int, kind: bytes) -> Box:
    """The box of that type, wholly inside `data`."""
    box = box_at(data, offset, _NO_END, at=offset)
    if box.type != kind:
        raise BoxError(f"a box {box.type!r} stands where {kind!r} should", offset)
    if box.size > _MAX_HEADER_BYTES:
        raise BoxError(f"a box {kind!r} of {box.size} bytes", offset)
    if box.end > len(data):
        raise BoxError(f"a box {kind!r} is cut short", offset, truncated=True)
    return box


def _default_flags(data: bytes, tfhd: Box) -> int:
    flags, track, sample_flags = payload_fields(_TFHD, data, tfhd)
    if flags != _TFHD_BASE_IS_MOOF | _TFHD_DEFAULT_FLAGS or track != TRACK_ID:
        raise BoxError("the tfhd has other flags, or another track", tfhd.offset)
    return sample_flags


def _parse_trun(
    data: bytes, trun: Box, default_flags: int, data_offset: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None, tuple[bool, ...]]:
    """Durations, sizes, composition offsets and key flags."""
    head, count, offset = payload_fields(_TRUN, data, trun)
    flags = head & 0xFFFFFF
    needed = _DATA_OFFSET | _DURATION | _SIZE
    if head >> 24 != 1 or flags & needed != needed:
        raise BoxError("the trun is of another version or lacks fields", trun.offset)
    if offset != data_offset:
        raise BoxError(f"the trun points at {offset}, not the mdat's data", trun.offset)
    flagged, shifted = bool(flags & _FLAGS), bool(flags & _OFFSETS)
    skip = 12
    first_flags = default_flags
    if flags & _FIRST_FLAGS:
        first_flags = payload_fields(_U32, data, trun, skip)[0]
        skip += 4
    words = 2 + flagged + shifted
    if not 0 < count <= _MAX_SAMPLES or trun.payload + skip + count * words * 4 != trun.end:
        raise BoxError(f"the trun's {count} samples don't fill it", trun.offset)
    rows = unpack_from(f">{count * words}I", data, trun.payload + skip)
    ctts = None
    if shifted:
        ctts = tuple(v - (v >> 31 << 32) for v in rows[words - 1 :: words])
    if flagged:
        is_key = tuple(not v & _NON_SYNC for v in rows[2::words])
    else:
        is_key = (not first_flags & _NON_SYNC,) + (not default_flags & _NON_SYNC,) * (count - 1)
    return rows[::words], rows[1::words], ctts, is_key

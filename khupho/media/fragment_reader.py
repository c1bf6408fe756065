"""One fragment's header, read back from a file.

Two ways: the quick one knows the layout that `fragments` writes, the other follows the boxes and
says where one is broken. Source: ISO/IEC 14496-12 sections 8.8 and 8.16.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, unpack_from

from khupho.media.boxes import (
    Box,
    BoxError,
    ReadAt,
    box_at,
    children,
    payload_fields,
)
from khupho.media.fragments import (
    KEY_FLAGS,
    MAX_SAMPLES,
    NON_SYNC_FLAG,
    PRFT_BYTES,
    TFHD_BASE_IS_MOOF,
    TFHD_DEFAULT_FLAGS,
    TRACK_ID,
    TRUN_DATA_OFFSET,
    TRUN_DURATION,
    TRUN_FIRST_FLAGS,
    TRUN_FLAGS,
    TRUN_OFFSETS,
    TRUN_SIZE,
    fragment_layout,
)

_MAX_HEADER_BYTES = 1 << 20
_FIRST_READ_BYTES = 1024
_NO_END = 1 << 63
_U32 = Struct(">I")
_PRFT = Struct(">IIQQ")
_TFHD = Struct(">III")
_TFDT = Struct(">IQ")
_TRUN = Struct(">IIi")
_FIXED = Struct(">56xI20xI28xII4x")
"""Size of `traf`, default sample flags, version and flags of `trun`, count, where we write them."""
_TRAF_AT = PRFT_BYTES + 8 + 16


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
    """16 bytes; empty where the `moof` has no `uuid` box."""
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
    """Read the fragment header that `data` begins with: `prft moof mdat`, as made here.

    `data` may end anywhere after the `mdat` box's header. `offset` is where it lies in its file,
    for errors, and `end` the file's size, against which the `mdat` is held if given. Raises
    `BoxError`; `truncated` is set where `data` or the file ends too early.
    """
    header = _parse_as_written(data)
    if header is not None and (end is None or offset + header.size_bytes <= end):
        return header
    try:
        return _parse(data, end - offset if end is not None else None)
    except BoxError as e:
        raise BoxError(e.what, offset + e.offset, truncated=e.truncated) from e


def _parse_as_written(data: bytes) -> FragmentHeader | None:
    """The quick way: a header laid out exactly as `fragment_header` does, else None.

    Rebuilding an archive reads every header it has; this takes a quarter of the time.
    """
    if len(data) < _FIXED.size:
        return None
    traf_size, default_flags, head, samples = _FIXED.unpack_from(data)
    flagged, shifted = bool(head & TRUN_FLAGS), bool(head & TRUN_OFFSETS)
    words = 2 + flagged + shifted
    next_box = _TRAF_AT + traf_size
    if not 0 < samples * words * 4 <= len(data) - _FIXED.size or next_box + 8 > len(data):
        return None
    facts_size = -1
    if data[next_box + 4 : next_box + 8] == b"uuid":
        facts_size = int.from_bytes(data[next_box : next_box + 4], "big") - 8
        if not 16 <= facts_size <= len(data):
            return None
    layout = fragment_layout(samples, shifted, flagged, default_flags == KEY_FLAGS, facts_size)
    if len(data) < layout.size:
        return None
    prft, ntp_64, media_time, moof, sequence, traf, base, trun, *rows = layout.unpack_from(data)
    *facts, mdat_size, mdat = rows[-5 if facts_size >= 0 else -2 :]
    facts_type = facts_payload = b""
    uuid = layout.uuid
    if facts:
        uuid, facts_type, facts_payload = facts
    found = (prft, moof, traf, trun, uuid, mdat)
    constant = (layout.prft, layout.moof, layout.traf, layout.trun, layout.uuid, b"mdat")
    if found != constant or mdat_size < 8:
        return None
    end = samples * words
    if flagged:
        is_key = tuple([not flags & NON_SYNC_FLAG for flags in rows[2:end:words]])
    else:
        first, *rows = rows
        is_key = (not first & NON_SYNC_FLAG,) + (default_flags == KEY_FLAGS,) * (samples - 1)
    return FragmentHeader(
        sequence,
        base,
        tuple(rows[0:end:words]),
        tuple(rows[1:end:words]),
        tuple(rows[words - 1 : end : words]) if shifted else None,
        is_key,
        ntp_64,
        media_time,
        facts_type,
        facts_payload,
        layout.size,
        mdat_size - 8,
    )


def _parse(data: bytes, end: int | None) -> FragmentHeader:
    prft = _expect(data, 0, b"prft")
    moof = _expect(data, prft.end, b"moof")
    mdat = box_at(data, moof.end, _NO_END, at=moof.end)
    if mdat.type != b"mdat":
        raise BoxError(f"a box {mdat.type!r} stands where mdat should", mdat.offset)
    if end is not None and mdat.end > end:
        raise BoxError("the mdat is cut short", mdat.offset, truncated=True)
    version_flags, track, ntp_64, media_time = payload_fields(_PRFT, data, prft)
    if version_flags >> 24 != 1 or track != TRACK_ID:
        raise BoxError("the prft is of another version or track", prft.offset)
    facts_type = facts_payload = b""
    inside = children(data, moof)
    if not {b"mfhd", b"traf"} <= inside.keys():
        raise BoxError("the moof lacks mfhd or traf", moof.offset)
    sequence = payload_fields(_U32, data, inside[b"mfhd"], 4)[0]
    if b"uuid" in inside:
        facts = inside[b"uuid"]
        facts_type = bytes(data[facts.payload : facts.payload + 16])
        facts_payload = bytes(data[facts.payload + 16 : facts.end])
        if facts.size < facts.header_size + 16:
            raise BoxError("the uuid box has no type", facts.offset)
    parts = children(data, inside[b"traf"])
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
    if flags != TFHD_BASE_IS_MOOF | TFHD_DEFAULT_FLAGS or track != TRACK_ID:
        raise BoxError("the tfhd has other flags, or another track", tfhd.offset)
    return sample_flags


def _parse_trun(
    data: bytes, trun: Box, default_flags: int, data_offset: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None, tuple[bool, ...]]:
    """Durations, sizes, composition offsets and key flags."""
    head, count, offset = payload_fields(_TRUN, data, trun)
    flags = head & 0xFFFFFF
    needed = TRUN_DATA_OFFSET | TRUN_DURATION | TRUN_SIZE
    if head >> 24 != 1 or flags & needed != needed:
        raise BoxError("the trun is of another version or lacks fields", trun.offset)
    if offset != data_offset:
        raise BoxError(f"the trun points at {offset}, not the mdat's data", trun.offset)
    flagged, shifted = bool(flags & TRUN_FLAGS), bool(flags & TRUN_OFFSETS)
    skip = 12
    first_flags = default_flags
    if flags & TRUN_FIRST_FLAGS:
        first_flags = payload_fields(_U32, data, trun, skip)[0]
        skip += 4
    words = 2 + flagged + shifted
    if not 0 < count <= MAX_SAMPLES or trun.payload + skip + count * words * 4 != trun.end:
        raise BoxError(f"the trun's {count} samples don't fill it", trun.offset)
    rows = unpack_from(f">{count * words}I", data, trun.payload + skip)
    ctts = None
    if shifted:
        ctts = tuple(v - (v >> 31 << 32) for v in rows[words - 1 :: words])
    if flagged:
        is_key = tuple(not v & NON_SYNC_FLAG for v in rows[2::words])
    else:
        is_key = (not first_flags & NON_SYNC_FLAG,) + (not default_flags & NON_SYNC_FLAG,) * (
            count - 1
        )
    return rows[::words], rows[1::words], ctts, is_key

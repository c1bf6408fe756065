"""One fragment's header: `prft`, `moof` and the head of `mdat`, made fast.

Sources: ISO/IEC 14496-12 sections 8.8 (movie fragments), 8.16.5 (producer reference time).
A recorder makes thousands of these a second, so the whole header is one `Struct.pack`: everything
that depends only on the number of samples is laid out once and remembered.

The archive's facts are a `uuid` box at the end of `moof`. Between `moof` and `mdat`, where it would
be a box of its own, VLC 3 shows nothing of the file: it takes `mdat` only right after `moof`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

from khupho.media.boxes import BoxError, full_box

TRACK_ID = 1
PRFT_BYTES = 32
"""`moof` begins this many bytes after the fragment's `prft`."""
KEY_FLAGS = 0x02000000
"""`sample_depends_on` 2 (section 8.8.3.1): decodable by itself."""
DELTA_FLAGS = 0x01010000
"""`sample_depends_on` 1, `sample_is_non_sync_sample` 1."""

NON_SYNC_FLAG = 0x00010000
TRUN_DATA_OFFSET, TRUN_FIRST_FLAGS = 0x1, 0x4
TRUN_DURATION, TRUN_SIZE, TRUN_FLAGS, TRUN_OFFSETS = 0x100, 0x200, 0x400, 0x800
TFHD_BASE_IS_MOOF, TFHD_DEFAULT_FLAGS = 0x020000, 0x20
_MAX_DATA_BYTES = 0xFFFFFFFF - 8
MAX_SAMPLES = 50_000
_MAX_USUAL_SAMPLES = 250


class Keys(IntEnum):
    """Which samples of a fragment can be decoded by themselves."""

    NONE = 0
    FIRST = 1
    ALL = 2
    """Audio, and intra-only video."""


class FragmentLayout(NamedTuple):
    """A header's constant parts, between which `pack` puts the changing numbers."""

    pack: Callable[..., bytes]
    unpack_from: Callable[[bytes], tuple[Any, ...]]
    size: int
    prft: bytes
    moof: bytes
    traf: bytes
    trun: bytes
    uuid: bytes


def fragment_layout(
    samples: int, ctts: bool, flags: bool, every_key: bool, facts_size: int
) -> FragmentLayout:
    """The layout of a fragment of so many samples; rare large ones are not remembered."""
    make = _usual_layout if samples <= _MAX_USUAL_SAMPLES else _make_layout
    return make(samples, ctts, flags, every_key, facts_size)


def _make_layout(
    samples: int, ctts: bool, flags: bool, every_key: bool, facts_size: int
) -> FragmentLayout:
    """`facts_size` is that of the `uuid` box's payload with its 16-byte type; -1 for no box."""
    words = 2 + ctts + flags
    trun_size = 24 + samples * words * 4
    traf_size = 8 + 20 + 20 + trun_size
    uuid_size = 8 + facts_size if facts_size >= 0 else 0
    moof_size = 8 + 16 + traf_size + uuid_size
    trun_flags = TRUN_DATA_OFFSET | TRUN_DURATION | TRUN_SIZE
    trun_flags |= TRUN_FLAGS if flags else TRUN_FIRST_FLAGS
    trun_flags |= TRUN_OFFSETS if ctts else 0
    if flags:
        trun_size -= 4
        traf_size -= 4
        moof_size -= 4
    tfhd = full_box(
        b"tfhd",
        0,
        TFHD_BASE_IS_MOOF | TFHD_DEFAULT_FLAGS,
        TRACK_ID.to_bytes(4, "big"),
        (KEY_FLAGS if every_key else DELTA_FLAGS).to_bytes(4, "big"),
    )
    head = Struct(">I4sI")
    row = ("I" + ("I" if flags else "") + "I" + ("i" if ctts else "")) if ctts else "I" * words
    layout = Struct(
        f">16sQQ20sI{8 + len(tfhd) + 12}sQ20s{'' if flags else 'I'}{row * samples}"
        f"{'8s16s' + str(facts_size - 16) + 's' if uuid_size else ''}I4s"
    )
    return FragmentLayout(
        layout.pack,
        layout.unpack_from,
        layout.size,
        head.pack(PRFT_BYTES, b"prft", 1 << 24 | 24) + TRACK_ID.to_bytes(4, "big"),
        moof_size.to_bytes(4, "big") + b"moof" + head.pack(16, b"mfhd", 0),
        traf_size.to_bytes(4, "big") + b"traf" + tfhd + head.pack(20, b"tfdt", 1 << 24),
        head.pack(trun_size, b"trun", 1 << 24 | trun_flags)
        + Struct(">II").pack(samples, moof_size + 8),
        uuid_size.to_bytes(4, "big") + b"uuid",
    )


_usual_layout = lru_cache(maxsize=256)(_make_layout)


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
    `facts_type` is the 16-byte type of a `uuid` box put at the end of `moof`; empty for none.

    Raises `BoxError` where a number doesn't fit: none, or too many samples, or 4 GiB of data.
    """
    count = len(sizes)
    if not 0 < count <= MAX_SAMPLES or data_size > _MAX_DATA_BYTES:
        raise BoxError(f"a fragment of {count} samples and {data_size} bytes", 0)
    flagged = key_flags is not None
    layout = fragment_layout(
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

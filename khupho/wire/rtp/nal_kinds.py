"""What a NAL unit does to the access unit it comes in, by its first byte.

Sources: ITU-T H.264 section 7.4.1.2.3 and table 7-1, ITU-T H.265 section 7.4.2.4.4 and table 7-1.
"""

from __future__ import annotations

from dataclasses import dataclass

from khupho.media import h264, h265
from khupho.media.formats import Codec

IGNORED = 0
"""Filler and what has no meaning: not kept."""
DELIMITER = 1
"""An access unit delimiter: not kept."""
STAYS = 2
"""Kept, wherever it stands."""
LEADS = 3
"""Kept, and belongs to the picture after it (SEI)."""
PARAMETER_SET = 4
PICTURE = 5
"""A slice."""
LEADING_PICTURE = 6
"""A slice that cannot be decoded if decoding began at the key frame before it (RASL)."""
KEY_PICTURE = 7


@dataclass(frozen=True, slots=True)
class NalKinds:
    """One codec's table."""

    header_bytes: int
    table: bytes
    """Indexed by a NAL unit's first byte."""


def _h264_kind(first_byte: int) -> int:
    kind = h264.nal_type(first_byte)
    if kind == h264.NAL_IDR:
        return KEY_PICTURE
    if kind in (h264.NAL_SLICE, h264.NAL_PARTITION_A):
        return PICTURE
    if kind in (h264.NAL_SPS, h264.NAL_PPS):
        return PARAMETER_SET
    if kind == h264.NAL_SEI:
        return LEADS
    if kind == h264.NAL_AUD:
        return DELIMITER
    # Partitions B and C (they tell no macroblock); end of sequence and stream; prefix NAL units;
    # auxiliary and extension slices.
    return STAYS if kind in (3, 4, 10, 11, 14, 19, 20, 21) else IGNORED


def _h265_kind(first_byte: int) -> int:
    kind = h265.nal_type(first_byte)
    if h265.is_irap(kind):
        return KEY_PICTURE
    if h265.is_rasl(kind):
        return LEADING_PICTURE
    if h265.is_slice(kind):
        return PICTURE
    if kind in (h265.NAL_VPS, h265.NAL_SPS, h265.NAL_PPS):
        return PARAMETER_SET
    if kind == h265.NAL_PREFIX_SEI:
        return LEADS
    if kind == h265.NAL_AUD:
        return DELIMITER
    stays = (h265.NAL_SUFFIX_SEI, h265.NAL_END_OF_SEQUENCE, h265.NAL_END_OF_BITSTREAM)
    return STAYS if kind in stays else IGNORED


NAL_KINDS = {
    Codec.H264: NalKinds(1, bytes(map(_h264_kind, range(256)))),
    Codec.H265: NalKinds(2, bytes(map(_h265_kind, range(256)))),
}

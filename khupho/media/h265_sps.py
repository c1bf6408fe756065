"""The H.265 sequence parameter set (ITU-T H.265 sections 7.3.2.2, 7.3.3, 7.3.4, 7.3.7, E.2.1).

What a decoder can't do without must parse (size, bit depths); all that follows is optional.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from khupho.media.bits import BitReader, BitsError
from khupho.media.h265_vui import read_vui
from khupho.media.nal import ParameterSetError, escaped_length, unescape
from khupho.media.visual import Display, cropped_size

_NAL_SPS = 33
_CHROMA_SUBSAMPLING = ((1, 1), (2, 2), (2, 1), (1, 1))
_MAX_PICS = 16


@dataclass(slots=True)
class Sps:
    """What the recorder wants to know of an SPS."""

    nal: bytes
    """The NAL unit without what stood after its end."""
    profile_tier_level: bytes = b""
    """The 12 general bytes: profile, compatibility, constraints, level."""
    sub_layers: int = 1
    temporal_id_nesting: bool = False
    chroma_format_idc: int = 1
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8
    width_px: int = 0
    height_px: int = 0
    frame_rate: Fraction | None = None
    reorder_frames: int | None = None
    min_spatial_segmentation: int = 0
    display: Display = field(default_factory=Display)


def parse_sps(nal: bytes) -> Sps:
    """Read an SPS NAL unit. Raises `ParameterSetError` where its mandatory part is broken."""
    if len(nal) < 16 or nal[0] >> 1 & 0x3F != _NAL_SPS:
        raise ParameterSetError("not an H.265 SPS")
    rbsp = unescape(nal)
    bits = BitReader(rbsp, 2)
    sps = Sps(nal)
    try:
        bits.skip(4)
        sps.sub_layers = bits.u(3) + 1
        sps.temporal_id_nesting = bits.flag()
        sps.profile_tier_level = rbsp[3:15]
        _skip_profile_tier_level(bits, sps.sub_layers)
        _read_picture(bits, sps)
    except BitsError as e:
        raise ParameterSetError(f"the H.265 SPS cannot be read: {e}") from e
    try:
        _read_tail(bits, sps)
        if bits.at_trailing_bits():
            sps.nal = nal[: escaped_length(nal, bits.position_bits // 8 + 1)]
    except BitsError:
        # An odd tail costs only what it would have told; the decoder copes or not, as it would.
        pass
    return sps


def _skip_profile_tier_level(bits: BitReader, sub_layers: int) -> None:
    bits.skip(96)
    if sub_layers == 1:
        return
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers - 1)]
    bits.skip(2 * (9 - sub_layers))
    for profile, level in present:
        bits.skip(88 * profile + 8 * level)


def _read_picture(bits: BitReader, sps: Sps) -> None:
    if bits.ue() > 15:
        raise ParameterSetError("the H.265 SPS has an id above 15")
    sps.chroma_format_idc = bits.ue()
    if sps.chroma_format_idc > 3:
        raise ParameterSetError(f"the H.265 SPS has chroma format {sps.chroma_format_idc}")
    separate_planes = sps.chroma_format_idc == 3 and bits.flag()
    coded = bits.ue(), bits.ue()
    crop = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)
    unit = (1, 1) if separate_planes else _CHROMA_SUBSAMPLING[sps.chroma_format_idc]
    sps.width_px, sps.height_px = cropped_size(coded, unit, crop)
    sps.bit_depth_luma, sps.bit_depth_chroma = bits.ue() + 8, bits.ue() + 8
    if max(sps.bit_depth_luma, sps.bit_depth_chroma) > 16:
        raise ParameterSetError(f"the H.265 SPS has {sps.bit_depth_luma} bits a pixel")


def _read_tail(bits: BitReader, sps: Sps) -> None:
    """Everything after the bit depths. Raises `BitsError` where it cannot be followed."""
    order_count_bits = bits.ue() + 4
    if order_count_bits > 16:
        raise BitsError(f"{order_count_bits} bits of picture order")
    reorder = 0
    for _ in range(sps.sub_layers if bits.flag() else 1):
        buffering, reorder = bits.ue(), bits.ue()
        bits.ue()
        if reorder > buffering or buffering >= _MAX_PICS:
            raise BitsError(f"{reorder} reordered pictures of {buffering}")
    sps.reorder_frames = reorder
    for _ in range(6):
        bits.ue()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.skip(2)
    if bits.flag():
        bits.skip(8)
        bits.ue()
        bits.ue()
        bits.skip(1)
    _skip_reference_sets(bits)
    if bits.flag():
        count = bits.ue()
        if count > 32:
            raise BitsError(f"{count} long-term pictures")
        bits.skip(count * (order_count_bits + 1))
    bits.skip(2)
    if bits.flag():
        vui = read_vui(bits, sps.display, sps.sub_layers)
        sps.frame_rate = vui.frame_rate
        sps.min_spatial_segmentation = vui.min_spatial_segmentation
        if not vui.whole:
            raise BitsError("the VUI cannot be followed to its end")
    if bits.flag():
        raise BitsError("the SPS has extensions, which are not followed")


def _skip_scaling_lists(bits: BitReader) -> None:
    for size_id in range(4):
        for _ in range(0, 6, 3 if size_id == 3 else 1):
            if not bits.flag():
                bits.ue()
                continue
            if size_id > 1:
                bits.se()
            for _ in range(min(64, 16 << (size_id << 1))):
                bits.se()


def _skip_reference_sets(bits: BitReader) -> None:
    """`st_ref_pic_set` of section 7.3.7; a predicted one needs the one before it (7.4.8)."""
    count = bits.ue()
    if count > 64:
        raise BitsError(f"{count} reference picture sets")
    deltas: list[int] = []
    for index in range(count):
        if index and bits.flag():
            deltas = _predicted_set(bits, deltas)
        else:
            deltas = _explicit_set(bits)


def _explicit_set(bits: BitReader) -> list[int]:
    """Picture order differences: first those before, then those after, each nearest first."""
    negative, positive = bits.ue(), bits.ue()
    if negative + positive > _MAX_PICS:
        raise BitsError(f"{negative + positive} reference pictures")
    deltas: list[int] = []
    for sign, pictures in ((-1, negative), (1, positive)):
        delta = 0
        for _ in range(pictures):
            delta += sign * (bits.ue() + 1)
            bits.skip(1)
            deltas.append(delta)
    return deltas


def _predicted_set(bits: BitReader, reference: list[int]) -> list[int]:
    backward = bits.flag()
    distance = bits.ue() + 1
    shift = -distance if backward else distance
    kept: list[int] = []
    for delta in (*reference, 0):
        used_by_current = bits.flag()
        if used_by_current or bits.flag():
            kept.append(delta + shift)
    if len(kept) > _MAX_PICS:
        raise BitsError(f"{len(kept)} reference pictures")
    # A difference of 0 is the picture itself and falls away.
    return sorted((d for d in kept if d < 0), reverse=True) + sorted(d for d in kept if d > 0)

"""The H.264 sequence parameter set (ITU-T H.264 sections 7.3.2.1.1 and E.1.1), read tolerantly.

What a decoder can't do without must parse; the VUI is optional, since cameras get it wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from khupho.media.bits import BitReader, BitsError
from khupho.media.nal import ParameterSetError, escaped_length, unescape
from khupho.media.visual import Display, cropped_size, declared_rate, read_aspect_and_signal

_NAL_SPS = 7
_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_INTRA_CAPABLE_PROFILES = frozenset((44, 86, 100, 110, 122, 244))
_CHROMA_SUBSAMPLING = ((1, 1), (2, 2), (2, 1), (1, 1))


@dataclass(slots=True)
class Sps:
    """What the recorder wants to know of an SPS."""

    nal: bytes
    """The NAL unit without what stood after its end."""
    profile_idc: int = 0
    constraint_flags: int = 0
    """`constraint_set0_flag` is the top bit of the byte."""
    level_idc: int = 0
    sps_id: int = 0
    chroma_format_idc: int = 1
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8
    pic_order_cnt_type: int = 0
    max_num_ref_frames: int = 0
    frame_mbs_only: bool = True
    width_px: int = 0
    height_px: int = 0
    frame_rate: Fraction | None = None
    reorder_frames: int | None = None
    display: Display = field(default_factory=Display)


def parse_sps(nal: bytes) -> Sps:
    """Read an SPS NAL unit. Raises `ParameterSetError` where its mandatory part is broken."""
    if len(nal) < 4 or nal[0] & 0x1F != _NAL_SPS:
        raise ParameterSetError("not an H.264 SPS")
    bits = BitReader(unescape(nal), 1)
    sps = Sps(nal)
    try:
        has_vui = _read_mandatory(bits, sps)
    except BitsError as e:
        raise ParameterSetError(f"the H.264 SPS cannot be read: {e}") from e
    sps.reorder_frames = _certain_reorder(sps)
    try:
        if has_vui:
            _read_vui(bits, sps)
        if bits.at_trailing_bits():
            sps.nal = nal[: escaped_length(nal, bits.position_bits // 8 + 1)]
    except BitsError:
        # Whatever of the VUI came before the oddity is kept; a decoder copes likewise.
        pass
    return sps


def _read_mandatory(bits: BitReader, sps: Sps) -> bool:
    """Everything before the VUI; returns `vui_parameters_present_flag`."""
    sps.profile_idc, sps.constraint_flags, sps.level_idc = bits.u(8), bits.u(8), bits.u(8)
    sps.sps_id = bits.ue()
    if sps.sps_id > 31:
        raise ParameterSetError(f"the H.264 SPS has id {sps.sps_id}")
    separate_planes = False
    if sps.profile_idc in _HIGH_PROFILES:
        separate_planes = _read_high_profile(bits, sps)
    bits.ue()
    _read_order_count(bits, sps)
    sps.max_num_ref_frames = bits.ue()
    bits.skip(1)
    width = (bits.ue() + 1) * 16
    map_units = bits.ue() + 1
    sps.frame_mbs_only = bits.flag()
    fields = 1 if sps.frame_mbs_only else 2
    if not sps.frame_mbs_only:
        bits.skip(1)
    bits.skip(1)
    crop = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)
    unit = (1, 1) if separate_planes else _CHROMA_SUBSAMPLING[sps.chroma_format_idc]
    sps.width_px, sps.height_px = cropped_size(
        (width, map_units * 16 * fields), (unit[0], unit[1] * fields), crop
    )
    # An SPS cut off right before this flag still tells all that is needed.
    return bits.left_bits > 0 and bits.flag()


def _read_high_profile(bits: BitReader, sps: Sps) -> bool:
    """Chroma format, bit depths, scaling matrices; returns `separate_colour_plane_flag`."""
    sps.chroma_format_idc = bits.ue()
    if sps.chroma_format_idc > 3:
        raise ParameterSetError(f"the H.264 SPS has chroma format {sps.chroma_format_idc}")
    separate_planes = sps.chroma_format_idc == 3 and bits.flag()
    sps.bit_depth_luma, sps.bit_depth_chroma = bits.ue() + 8, bits.ue() + 8
    if max(sps.bit_depth_luma, sps.bit_depth_chroma) > 14:
        raise ParameterSetError(f"the H.264 SPS has {sps.bit_depth_luma} bits a pixel")
    bits.skip(1)
    if bits.flag():
        for index in range(12 if sps.chroma_format_idc == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return separate_planes


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _read_order_count(bits: BitReader, sps: Sps) -> None:
    sps.pic_order_cnt_type = bits.ue()
    if sps.pic_order_cnt_type == 0:
        bits.ue()
    elif sps.pic_order_cnt_type == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        count = bits.ue()
        if count > 255:
            raise ParameterSetError(f"the H.264 SPS has {count} frames in its order cycle")
        for _ in range(count):
            bits.se()
    elif sps.pic_order_cnt_type > 2:
        raise ParameterSetError(f"the H.264 SPS has order count type {sps.pic_order_cnt_type}")


def _certain_reorder(sps: Sps) -> int | None:
    """0 where the SPS rules reordering out, without any word of the VUI."""
    if sps.profile_idc == 66 or sps.pic_order_cnt_type == 2:
        return 0
    if sps.profile_idc in _INTRA_CAPABLE_PROFILES and sps.constraint_flags & 0x10:
        return 0
    return None


def _read_vui(bits: BitReader, sps: Sps) -> None:
    read_aspect_and_signal(bits, sps.display)
    if bits.flag():
        units_in_tick, time_scale = bits.u(32), bits.u(32)
        bits.skip(1)
        # A tick is a field's time (section E.2.1).
        sps.frame_rate = declared_rate(units_in_tick, time_scale, 2)
    has_nal_hrd = bits.flag()
    if has_nal_hrd:
        _skip_hrd(bits)
    has_vcl_hrd = bits.flag()
    if has_vcl_hrd:
        _skip_hrd(bits)
    if has_nal_hrd or has_vcl_hrd:
        bits.skip(1)
    bits.skip(1)
    if bits.flag():
        bits.skip(1)
        for _ in range(4):
            bits.ue()
        reorder, buffering = bits.ue(), bits.ue()
        if reorder <= buffering <= 16 and sps.reorder_frames is None:
            sps.reorder_frames = reorder


def _skip_hrd(bits: BitReader) -> None:
    count = bits.ue() + 1
    if count > 32:
        raise BitsError(f"{count} schedules in the HRD")
    bits.skip(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.skip(1)
    bits.skip(20)

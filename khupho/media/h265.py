"""H.265: NAL unit types, and the track format made of VPS, SPS and PPS.

Sources: ITU-T H.265 sections 7.3 and 7.4; ISO/IEC 14496-15 section 8.3.3 and annex E.
"""

from __future__ import annotations

from collections.abc import Sequence

from khupho.media.bits import BitReader, BitsError
from khupho.media.boxes import box
from khupho.media.formats import Codec, VideoFormat
from khupho.media.h265_sps import Sps, parse_sps
from khupho.media.nal import ParameterSetError, single_nal, unescape
from khupho.media.visual import visual_sample_entry

NAL_TRAIL_N = 0
NAL_RASL_N = 8
NAL_RASL_R = 9
NAL_BLA_W_LP = 16
NAL_IDR_W_RADL = 19
NAL_IDR_N_LP = 20
NAL_CRA = 21
NAL_VPS = 32
NAL_SPS = 33
NAL_PPS = 34
NAL_AUD = 35
NAL_END_OF_SEQUENCE = 36
NAL_END_OF_BITSTREAM = 37
NAL_FILLER = 38
NAL_PREFIX_SEI = 39
NAL_SUFFIX_SEI = 40

_ARRAY_COMPLETE = 0x80
_MAX_PPS = 64


def nal_type(first_byte: int) -> int:
    """`nal_unit_type` of a NAL unit's first byte (section 7.3.1.2)."""
    return first_byte >> 1 & 0x3F


def is_slice(kind: int) -> bool:
    """Whether a NAL unit of that type carries part of a picture (types 0 to 31)."""
    return kind < 32


def is_irap(kind: int) -> bool:
    """Whether a picture of that type is a random access point (types 16 to 23)."""
    return 16 <= kind <= 23


def is_rasl(kind: int) -> bool:
    """Whether a picture can't be decoded when decoding began at the IRAP before it."""
    return kind in (NAL_RASL_N, NAL_RASL_R)


def is_first_slice(third_byte: int) -> bool:
    """`first_slice_segment_in_pic_flag`; `third_byte` is the one after the 2-byte NAL header."""
    return third_byte & 0x80 != 0


def parse_pps_ids(pps: bytes) -> tuple[int, int]:
    """`pps_pic_parameter_set_id` and `pps_seq_parameter_set_id`. Raises `ParameterSetError`."""
    if len(pps) < 3 or nal_type(pps[0]) != NAL_PPS:
        raise ParameterSetError("not an H.265 PPS")
    bits = BitReader(unescape(pps[:32]), 2)
    try:
        pps_id, sps_id = bits.ue(), bits.ue()
    except BitsError as e:
        raise ParameterSetError(f"the H.265 PPS cannot be read: {e}") from e
    if pps_id > 63 or sps_id > 15:
        raise ParameterSetError(f"the H.265 PPS has ids {pps_id}, {sps_id}")
    return pps_id, sps_id


def video_format(vps: bytes, sps: bytes, pps: bytes | Sequence[bytes]) -> VideoFormat:
    """The format of a track with these parameter sets.

    Start codes, trailing zeros and bytes after the SPS's end are taken off. Oddities after the
    picture size cost only what they would have told. Raises `ParameterSetError` where no decoder
    could begin.
    """
    vps_unit = single_nal(vps, "H.265 VPS")
    if len(vps_unit) < 3 or nal_type(vps_unit[0]) != NAL_VPS:
        raise ParameterSetError("not an H.265 VPS")
    parsed = parse_sps(single_nal(sps, "H.265 SPS"))
    given = [pps] if isinstance(pps, bytes | bytearray | memoryview) else pps
    pps_units = tuple(dict.fromkeys(single_nal(bytes(unit), "H.265 PPS") for unit in given))
    if not pps_units or len(pps_units) > _MAX_PPS:
        raise ParameterSetError(f"{len(pps_units)} H.265 PPS")
    for unit in pps_units:
        parse_pps_ids(unit)
    record = _configuration_record(parsed, vps_unit, pps_units)
    entry = visual_sample_entry(
        b"hvc1", parsed.width_px, parsed.height_px, box(b"hvcC", record), parsed.display
    )
    return VideoFormat(
        codec=Codec.H265,
        parameter_sets=(vps_unit, parsed.nal, *pps_units),
        width_px=parsed.width_px,
        height_px=parsed.height_px,
        frame_rate=parsed.frame_rate,
        reorder_frames=parsed.reorder_frames,
        rfc6381=_codec_string(parsed.profile_tier_level),
        sample_entry=entry,
    )


def _codec_string(ptl: bytes) -> str:
    """ISO/IEC 14496-15 section E.3, for example `hvc1.1.6.L93.B0`."""
    space = ("", "A", "B", "C")[ptl[0] >> 6]
    compatibility = int(f"{int.from_bytes(ptl[1:5], 'big'):032b}"[::-1], 2)
    tier = "H" if ptl[0] & 0x20 else "L"
    parts = ["hvc1", f"{space}{ptl[0] & 0x1F}", f"{compatibility:X}", f"{tier}{ptl[11]}"]
    parts += [f"{byte:X}" for byte in ptl[5:11].rstrip(b"\0")]
    return ".".join(parts)


def _configuration_record(sps: Sps, vps: bytes, pps_units: tuple[bytes, ...]) -> bytes:
    """`HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1), 4-byte NAL lengths."""
    out = bytearray(b"\x01" + sps.profile_tier_level)
    out += (0xF000 | sps.min_spatial_segmentation).to_bytes(2, "big")
    out += bytes(
        (
            0xFC,
            0xFC | sps.chroma_format_idc,
            0xF8 | sps.bit_depth_luma - 8 & 7,
            0xF8 | sps.bit_depth_chroma - 8 & 7,
            0,
            0,
            sps.sub_layers << 3 | sps.temporal_id_nesting << 2 | 3,
            3,
        )
    )
    for kind, units in ((NAL_VPS, (vps,)), (NAL_SPS, (sps.nal,)), (NAL_PPS, pps_units)):
        out.append(_ARRAY_COMPLETE | kind)
        out += len(units).to_bytes(2, "big")
        for unit in units:
            out += len(unit).to_bytes(2, "big") + unit
    return bytes(out)


def parameter_sets_of_record(record: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """The first VPS and SPS and all PPS of an `HEVCDecoderConfigurationRecord`.

    Raises `ParameterSetError` if it is cut short or lacks one.
    """
    found: dict[int, list[bytes]] = {NAL_VPS: [], NAL_SPS: [], NAL_PPS: []}
    if len(record) < 23:
        raise ParameterSetError("the hvcC is cut short")
    offset = 23
    for _ in range(record[22]):
        head = record[offset : offset + 3]
        offset += 3
        for _ in range(int.from_bytes(head[1:], "big")):
            size = int.from_bytes(record[offset : offset + 2], "big")
            unit = record[offset + 2 : offset + 2 + size]
            if len(unit) < size or not size:
                raise ParameterSetError("the hvcC is cut short")
            found.setdefault(head[0] & 0x3F, []).append(unit)
            offset += 2 + size
    if not all(found[kind] for kind in (NAL_VPS, NAL_SPS, NAL_PPS)):
        raise ParameterSetError("the hvcC lacks a VPS, SPS or PPS")
    return found[NAL_VPS][0], found[NAL_SPS][0], found[NAL_PPS]

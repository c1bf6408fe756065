"""H.264: NAL unit types, and the track format made of SPS and PPS.

Sources: ITU-T H.264 sections 7.3 and 7.4; ISO/IEC 14496-15 section 5; RFC 6381 section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from khupho.media.bits import BitReader, BitsError
from khupho.media.boxes import box
from khupho.media.formats import Codec, VideoFormat
from khupho.media.h264_sps import Sps, parse_sps
from khupho.media.nal import ParameterSetError, single_nal, unescape
from khupho.media.visual import visual_sample_entry

NAL_SLICE = 1
NAL_PARTITION_A = 2
NAL_IDR = 5
NAL_SEI = 6
NAL_SPS = 7
NAL_PPS = 8
NAL_AUD = 9
NAL_END_OF_SEQUENCE = 10
NAL_END_OF_STREAM = 11
NAL_FILLER = 12
NAL_SPS_EXTENSION = 13

_MAX_PPS = 255


def nal_type(first_byte: int) -> int:
    """`nal_unit_type` of a NAL unit's first byte (section 7.3.1)."""
    return first_byte & 0x1F


def is_slice(kind: int) -> bool:
    """Whether a NAL unit of that type carries part of a picture (types 1 to 5)."""
    return 1 <= kind <= 5


def is_first_slice(second_byte: int) -> bool:
    """Whether a slice begins a picture: `first_mb_in_slice` 0 is coded as a single 1 bit.

    `second_byte` is the one after the NAL header. Holds for types 1, 2 and 5.
    """
    return second_byte & 0x80 != 0


def parse_pps_ids(pps: bytes) -> tuple[int, int]:
    """`pic_parameter_set_id` and `seq_parameter_set_id`. Raises `ParameterSetError`."""
    if len(pps) < 2 or nal_type(pps[0]) != NAL_PPS:
        raise ParameterSetError("not an H.264 PPS")
    bits = BitReader(unescape(pps[:32]), 1)
    try:
        pps_id, sps_id = bits.ue(), bits.ue()
    except BitsError as e:
        raise ParameterSetError(f"the H.264 PPS cannot be read: {e}") from e
    if pps_id > 255 or sps_id > 31:
        raise ParameterSetError(f"the H.264 PPS has ids {pps_id}, {sps_id}")
    return pps_id, sps_id


def video_format(sps: bytes, pps: bytes | Sequence[bytes]) -> VideoFormat:
    """The format of a track with these parameter sets.

    Start codes, trailing zeros and bytes after the SPS's end are taken off. An odd VUI costs only
    what it would have told. Raises `ParameterSetError` where no decoder could begin.
    """
    parsed = parse_sps(single_nal(sps, "H.264 SPS"))
    given = [pps] if isinstance(pps, bytes | bytearray | memoryview) else pps
    pps_units = tuple(dict.fromkeys(single_nal(bytes(unit), "H.264 PPS") for unit in given))
    if not pps_units or len(pps_units) > _MAX_PPS:
        raise ParameterSetError(f"{len(pps_units)} H.264 PPS")
    for unit in pps_units:
        parse_pps_ids(unit)
    record = _configuration_record(parsed, pps_units)
    entry = visual_sample_entry(
        b"avc1", parsed.width_px, parsed.height_px, box(b"avcC", record), parsed.display
    )
    return VideoFormat(
        codec=Codec.H264,
        parameter_sets=(parsed.nal, *pps_units),
        width_px=parsed.width_px,
        height_px=parsed.height_px,
        frame_rate=parsed.frame_rate,
        reorder_frames=parsed.reorder_frames,
        rfc6381="avc1." + parsed.nal[1:4].hex().upper(),
        sample_entry=entry,
    )


def _configuration_record(sps: Sps, pps_units: tuple[bytes, ...]) -> bytes:
    """`AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1), 4-byte NAL lengths."""
    out = bytearray(b"\x01" + sps.nal[1:4] + b"\xff\xe1")
    out += len(sps.nal).to_bytes(2, "big") + sps.nal
    out.append(len(pps_units))
    for unit in pps_units:
        out += len(unit).to_bytes(2, "big") + unit
    if sps.profile_idc not in (66, 77, 88):
        out += bytes(
            (
                0xFC | sps.chroma_format_idc,
                0xF8 | sps.bit_depth_luma - 8,
                0xF8 | sps.bit_depth_chroma - 8,
                0,
            )
        )
    return bytes(out)


def parameter_sets_of_record(record: bytes) -> tuple[bytes, list[bytes]]:
    """The first SPS and all PPS of an `AVCDecoderConfigurationRecord`.

    Raises `ParameterSetError` if it is cut short or has none.
    """
    units: list[bytes] = []
    offset = 5
    counts: list[int] = []
    for mask in (0x1F, 0xFF):
        if offset >= len(record):
            raise ParameterSetError("the avcC is cut short")
        counts.append(record[offset] & mask)
        offset += 1
        for _ in range(counts[-1]):
            size = int.from_bytes(record[offset : offset + 2], "big")
            unit = record[offset + 2 : offset + 2 + size]
            if len(unit) < size or not size:
                raise ParameterSetError("the avcC is cut short")
            units.append(unit)
            offset += 2 + size
    if not counts[0] or not counts[1]:
        raise ParameterSetError("the avcC lacks an SPS or PPS")
    return units[0], units[counts[0] :]

"""Parameter sets of real cameras, from captures of github.com/scottlamb/retina (MIT/Apache-2.0).

Sizes, rates and reordering are those that ffmpeg's `trace_headers` reads from the same bytes.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media import h264, h265
from khupho.media.boxes import BoxError, box_at, children
from khupho.media.formats import Codec, VideoFormat
from khupho.media.h265_sps import parse_sps as parse_h265_sps
from khupho.media.init_segment import format_of_entry
from khupho.media.nal import ParameterSetError, escaped_length

CAMERAS = {
    # name: SPS, PPS, width, height, frame rate, reorder frames, codec string
    "no-content-type": ("6764000dacd941419f9f0110000003001000000303c0f1429960", "68ebe3cb22c0",
              320, 180, Fraction(30), 2, "avc1.64000D"),
    "gw": ("674d002a95a81e0089f966e02020204000000001", "68ee3c8000000001",
                  1920, 1080, None, 0, "avc1.4D002A"),
    "dahua": ("6764001eac2c6a82c0f69b828082a0000003002000000303d08000", "68ee31b21b00",
              704, 480, Fraction(15), None, "avc1.64001E"),
    "reolink": ("67640033ace802800b59", "68ee3c30", 2560, 1440, None, None, "avc1.640033"),
    "hikvision": ("674d00299a6403c0113f2cd404040500000303e80000ea6004", "68ee3c80",
                  1920, 1080, Fraction(30), None, "avc1.4D0029"),
    "ipcam": ("274d00208d6a050079a10000030001000003002884", "28ee3c80",
              1280, 960, Fraction(20), 0, "avc1.4D0020"),
    "wowza": ("6742c01ed903c56840000003004000000c03c58b92", "68cb8cb2",
              240, 160, Fraction(24), 0, "avc1.42C01E"),
    "ubiquiti": ("674d402a8d8d403c0113f2e02dc040405000003e800015f909da08846a", "68ee3880",
                 1920, 1080, Fraction(45), 0, "avc1.4D402A"),
}  # fmt: skip
H265_VPS = bytes.fromhex("40010c01ffff01400000030000030000030000030099ac09")
H265_SPS = bytes.fromhex(
    "420101014000000300000300000300000300 99a00280802c1fe5aee46c1ae55135050605 0080"
)
H265_PPS = bytes.fromhex("4401c073c0418309")


def camera(name: str) -> VideoFormat:
    sps, pps, *_ = CAMERAS[name]
    return h264.video_format(bytes.fromhex(sps), bytes.fromhex(pps))


@pytest.mark.parametrize("name", CAMERAS)
def test_h264_of_cameras(name: str):
    made = camera(name)
    assert made.codec is Codec.H264
    assert (
        made.width_px, made.height_px, made.frame_rate, made.reorder_frames, made.rfc6381,
    ) == CAMERAS[name][2:]  # fmt: skip


def test_start_code_after_the_sps_is_trimmed():
    sps, pps = camera("gw").parameter_sets
    assert sps.hex() == "674d002a95a81e0089f966e0202020 40".replace(" ", "")
    assert pps.hex() == "68ee3c80"


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "dahua"])
@pytest.mark.parametrize("garbage", ["00", "000000", "ff", "00000001", "8001ff00aa", "1234"])
def test_garbage_after_the_sps_makes_no_other_format(name: str, garbage: str):
    pps = CAMERAS[name][1]
    clean = camera(name)
    dirty = h264.video_format(
        b"\0\0\0\1" + clean.parameter_sets[0] + bytes.fromhex(garbage), bytes.fromhex(pps)
    )
    assert dirty == clean


def test_cut_vui_costs_only_what_it_tells():
    sps = bytes.fromhex(CAMERAS["hikvision"][0])
    whole = camera("hikvision")
    sizes = set()
    for cut in range(4, len(sps)):
        try:
            made = h264.video_format(sps[:cut], bytes.fromhex("68ee3c80"))
        except ParameterSetError:
            continue
        sizes.add(cut)
        assert (made.width_px, made.height_px) == (whole.width_px, whole.height_px)
    # The mandatory part ends in the 13th byte; every longer piece must do.
    assert sizes == set(range(min(sizes), len(sps)))
    assert min(sizes) <= 13


def test_reordering_is_ruled_out_by_profile():
    high = bytearray.fromhex(CAMERAS["reolink"][0])
    assert h264.video_format(bytes(high), b"\x68\xee\x3c\x30").reorder_frames is None
    high[2] |= 0x10  # constraint_set3_flag with High: an intra profile
    assert h264.video_format(bytes(high), b"\x68\xee\x3c\x30").reorder_frames == 0


@pytest.mark.parametrize(
    ("profile", "order_count", "reorder"),
    [(66, (0, 2), 0), (77, (0, 2), None), (77, (2,), 0), (88, (0, 2), None)],
)
def test_reordering_without_a_vui(profile: int, order_count: tuple[int, ...], reorder: int | None):
    w = BitWriter().u(profile, 8).u(0, 8).u(30, 8).ue(0, 0, *order_count, 1).u(0, 1)
    sps = w.ue(39, 29).u(1, 1).u(1, 1).u(0, 1).u(0, 1).nal(b"\x67")
    made = h264.video_format(sps, b"\x68\xee\x3c\x30")
    assert (made.width_px, made.height_px, made.reorder_frames) == (640, 480, reorder)


def test_interlaced_and_4_2_2_cropping():
    w = BitWriter().u(122, 8).u(0, 8).u(40, 8).ue(0, 2, 2, 2).u(0, 1).u(0, 1).ue(0, 2, 1).u(0, 1)
    w.ue(119, 33).u(0, 1).u(1, 1).u(1, 1).u(1, 1).ue(0, 4, 0, 4).u(0, 1)
    made = h264.video_format(w.nal(b"\x67"), b"\x68\xee\x3c\x30")
    # 34 pairs of macroblock rows; 4:2:2 crops 2 pixels across, and 1 x 2 fields down, a unit.
    assert (made.width_px, made.height_px) == (1912, 1080)
    assert avcc_of(made)[-4:] == bytes((0xFE, 0xFA, 0xFA, 0))


def test_h264_refusals():
    sps, pps = camera("reolink").parameter_sets
    for bad_sps, bad_pps in (
        (b"", pps), (pps, pps), (sps, sps), (sps, b""), (sps, b"\x68"), (sps[:5], pps), (sps, []),
        (b"\0\0\0\1", pps), (sps + b"\x55" * 5000, pps), (b"\x67" + bytes(100), pps),
    ):  # fmt: skip
        with pytest.raises(ParameterSetError):
            h264.video_format(bad_sps, bad_pps)


def test_several_pps_are_kept_once_each():
    sps, pps = camera("reolink").parameter_sets
    other = b"\x68\x5e\x3c\x30"
    made = h264.video_format(sps, [pps, other, pps])
    assert made.parameter_sets == (sps, pps, other)
    head, units = h264.parameter_sets_of_record(avcc_of(made))
    assert (head, units) == (sps, [pps, other])


def avcc_of(made: VideoFormat) -> bytes:
    entry = box_at(made.sample_entry, 0, len(made.sample_entry))
    found = children(made.sample_entry, entry, 78)[b"avcC"]
    return made.sample_entry[found.payload : found.end]


def test_h264_helpers():
    assert h264.nal_type(0x67) == h264.NAL_SPS
    assert h264.nal_type(0x25) == h264.NAL_IDR
    assert h264.is_slice(h264.NAL_IDR) and not h264.is_slice(h264.NAL_SEI)
    assert h264.is_first_slice(0x88) and not h264.is_first_slice(0x7F)


def test_h265_of_a_camera():
    made = h265.video_format(H265_VPS, H265_SPS + b"\0\0\0\1", H265_PPS)
    assert (made.width_px, made.height_px, made.reorder_frames) == (1280, 704, 0)
    assert made.rfc6381 == "hvc1.1.2.L153"
    assert made.parameter_sets == (H265_VPS, H265_SPS, H265_PPS)


def test_h265_encoder_with_predicted_sets(clip):
    """x265's extradata, read back from the `hvcC` that ffmpeg wrote."""
    source = clip("h265-b")
    vps, sps, pps = h265.parameter_sets_of_record(source.extradata)
    made = h265.video_format(vps, sps, pps)
    assert (made.width_px, made.height_px) == (source.width, source.height)
    assert made.frame_rate == 10
    assert made.reorder_frames == 2
    assert made.rfc6381.startswith("hvc1.1.6.L")


@pytest.mark.parametrize("garbage", ["ff", "8001ff", "00000003", "1234"])
def test_garbage_after_the_h265_sps(clip, garbage: str):
    vps, sps, pps = h265.parameter_sets_of_record(clip("h265-b").extradata)
    clean = h265.video_format(vps, sps, pps)
    assert h265.video_format(vps, sps + bytes.fromhex(garbage), pps) == clean
    assert clean.parameter_sets[1] == sps


class BitWriter:
    def __init__(self) -> None:
        self.bits = ""

    def u(self, value: int, count: int) -> BitWriter:
        self.bits += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values: int) -> BitWriter:
        for value in values:
            text = f"{value + 1:b}"
            self.bits += "0" * (len(text) - 1) + text
        return self

    def nal(self, header: bytes) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        out = bytearray(header)
        for byte in int(bits, 2).to_bytes(len(bits) // 8, "big"):
            if byte <= 3 and out[-2:] == b"\0\0":
                out.append(3)
            out.append(byte)
        return bytes(out)


def odd_h265_sps(tail: BitWriter) -> bytes:
    """Three sub-layers, cropping, scaling lists, PCM; then reference sets and what `tail` says."""
    w = BitWriter().u(0, 4).u(2, 3).u(1, 1)
    w.u(0x01, 8).u(0x60000000, 32).u(0x900000000000, 48).u(93, 8)
    w.u(0b1101, 4).u(0, 12)  # sub-layer 0: profile and level; 1: level only
    w.u(0, 88).u(60, 8).u(63, 8)
    w.ue(0, 1, 1920, 1088).u(1, 1).ue(0, 0, 0, 4)
    w.ue(0, 0, 4).u(1, 1).ue(1, 0, 0, 3, 1, 0, 4, 2, 0)
    w.ue(0, 3, 0, 3, 0, 0)
    w.u(1, 1).u(1, 1)
    for size_id in range(4):
        for matrix in range(0, 6, 3 if size_id == 3 else 1):
            if matrix == 0:
                w.u(1, 1)
                w.ue(*([0] * (min(64, 16 << 2 * size_id) + (size_id > 1))))
            else:
                w.u(0, 1).ue(1)
    w.u(0b01, 2).u(1, 1).u(0x77, 8).ue(0, 2).u(0, 1)
    w.bits += tail.bits
    return w.nal(b"\x42\x01")


def test_odd_h265_sps_is_read_to_its_end():
    """Scaling lists, sub-layers and predicted reference picture sets (quirk 5)."""
    w = BitWriter().ue(3)
    w.ue(2, 1, 0).u(1, 1).ue(1).u(1, 1).ue(0).u(1, 1)  # -1, -3 and +1
    # Predicted with -1: (-1, -3, +1, 0) - 1 = (-2, -4, 0, -1); the 0 falls away: three remain.
    w.u(1, 1).u(1, 1).ue(0).u(0b1111, 4)
    # Predicted from these three with +1: flags for 3 + 1 entries, one unused and dropped.
    w.u(1, 1).u(0, 1).ue(0).u(0b1, 1).u(0b00, 2).u(0b01, 2).u(0b1, 1)
    w.u(1, 1).ue(2).u(0x155, 9).u(0, 9)  # two long-term pictures, 8-bit order counts
    w.u(0b11, 2)
    w.u(1, 1)  # VUI
    w.u(1, 1).u(255, 8).u(4, 16).u(3, 16).u(0, 1).u(1, 1).u(0b10111, 5).u(0x010D01, 24).u(0, 1)
    w.u(0, 3).u(0, 1)
    w.u(1, 1).u(1001, 32).u(30000, 32).u(0, 1)
    w.u(1, 1).u(0b10, 2).u(0, 1).u(0, 8).u(0, 15)  # HRD with NAL parameters
    for _ in range(3):
        w.u(1, 1).ue(0).ue(0).ue(10, 20).u(0, 1)
    w.u(1, 1).u(0, 3).ue(17, 0, 0, 15, 15)
    w.u(0, 1)
    sps = odd_h265_sps(w)
    parsed = parse_h265_sps(sps + b"\x12\x34\x56")
    assert parsed.nal == sps
    assert (parsed.width_px, parsed.height_px, parsed.sub_layers) == (1920, 1080, 3)
    assert parsed.frame_rate == Fraction(30000, 1001)
    assert (parsed.reorder_frames, parsed.min_spatial_segmentation) == (2, 17)
    assert (parsed.display.sample_aspect, parsed.display.colour) == ((4, 3), (1, 13, 1))
    made = h265.video_format(H265_VPS, sps, H265_PPS)
    assert b"pasp" in made.sample_entry and b"colr" in made.sample_entry
    assert made.rfc6381 == "hvc1.1.6.L93.90"


def test_unfollowable_h265_tail_is_not_fatal():
    sps = odd_h265_sps(BitWriter().ue(65))
    parsed = parse_h265_sps(sps + b"\x12")
    assert (parsed.width_px, parsed.height_px, parsed.reorder_frames) == (1920, 1080, 2)
    assert parsed.nal == sps + b"\x12"


def test_h265_codec_string():
    high_tier = bytearray(H265_SPS)
    high_tier[3] |= 0xA0
    made = h265.video_format(H265_VPS, bytes(high_tier), H265_PPS)
    assert made.rfc6381 == "hvc1.B1.2.H153"


def test_h265_refusals():
    for vps, sps, pps in (
        (b"", H265_SPS, H265_PPS), (H265_SPS, H265_SPS, H265_PPS), (H265_VPS, H265_VPS, H265_PPS),
        (H265_VPS, H265_SPS, H265_SPS), (H265_VPS, H265_SPS[:18], H265_PPS),
        (H265_VPS, H265_SPS, b"\x44\x01"), (H265_VPS, H265_SPS, []),
    ):  # fmt: skip
        with pytest.raises(ParameterSetError):
            h265.video_format(vps, sps, pps)


def test_h265_helpers():
    assert h265.nal_type(0x40) == h265.NAL_VPS
    assert h265.nal_type(0x26) == h265.NAL_IDR_W_RADL
    assert h265.is_irap(h265.NAL_CRA) and not h265.is_irap(h265.NAL_RASL_R)
    assert h265.is_rasl(9) and not h265.is_rasl(10)
    assert h265.is_slice(0) and not h265.is_slice(h265.NAL_VPS)
    assert h265.is_first_slice(0x80) and not h265.is_first_slice(0x40)


@st.composite
def spoiled(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals with some bytes changed, cut out or added."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.integers(0, 2))
        if kind == 0 and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == 1:
            del data[at:]
        else:
            data[at:at] = draw(st.binary(max_size=5))
    return bytes(data)


@settings(max_examples=300)
@given(
    spoiled([bytes.fromhex(c[0]) for c in CAMERAS.values()]),
    spoiled([bytes.fromhex(c[1]) for c in CAMERAS.values()]),
)
def test_any_h264_bytes_give_a_format_or_our_error(sps: bytes, pps: bytes):
    try:
        made = h264.video_format(sps, pps)
    except ParameterSetError:
        return
    entry = box_at(made.sample_entry, 0, len(made.sample_entry))
    assert format_of_entry(made.sample_entry, entry) == made


ODD_SPS = odd_h265_sps(BitWriter().ue(1).ue(1, 1, 0).u(1, 1).ue(0).u(1, 1).u(0, 4).u(0, 1))


@settings(max_examples=300)
@given(spoiled([H265_VPS]), spoiled([H265_SPS, ODD_SPS]), spoiled([H265_PPS]))
def test_any_h265_bytes_give_a_format_or_our_error(vps: bytes, sps: bytes, pps: bytes):
    try:
        made = h265.video_format(vps, sps, pps)
    except ParameterSetError:
        return
    entry = box_at(made.sample_entry, 0, len(made.sample_entry))
    assert format_of_entry(made.sample_entry, entry) == made


@settings(max_examples=200)
@given(spoiled([camera("dahua").sample_entry, camera("no-content-type").sample_entry]))
def test_any_sample_entry_gives_a_format_or_our_error(entry: bytes):
    try:
        made = format_of_entry(entry, box_at(entry, 0, len(entry)))
    except BoxError:
        return
    assert made.sample_entry


def test_escaped_length_of_a_real_sps():
    sps = bytes.fromhex(CAMERAS["no-content-type"][0])
    assert escaped_length(sps, len(sps) - 2) == len(sps)

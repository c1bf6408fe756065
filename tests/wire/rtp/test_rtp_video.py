"""H.264 and H.265: payload formats, where access units end, parameter sets; quirks 1, 4 and 39 to 46."""

from __future__ import annotations

from struct import pack

import pytest
from rtp_by_hand import (
    FRAME_90K,
    OTHER_PPS,
    PPS,
    PPS5,
    SPS,
    SPS5,
    VPS5,
    Sender,
    aggregate,
    fragments,
    h264_format,
    h265_format,
    key_picture,
    mp4,
    read,
    slice5_nal,
    slice_nal,
    video_spec,
)

from khupho.media import h264
from khupho.media.formats import Codec
from khupho.wire.rtp.access_units import MAX_HELD_BYTES, PROBED_NAL_UNITS

SEI = bytes((6, 5, 4, 1, 2, 3, 4, 0x80))
AUD = bytes((9, 0xF0))
FILLER = bytes((12, 0xFF, 0xFF, 0x80))


def test_single_nal_units_and_what_is_taken_out() -> None:
    sender, key, delta = Sender(), slice_nal(30, key=True), slice_nal(10)
    sender.picture(AUD, SPS, PPS, SEI, key).picture(AUD, delta, FILLER)
    reading = read(sender.bytes())
    assert reading.units == [mp4(SEI, key), mp4(delta)]
    assert [s.is_key for s in reading.samples] == [True, False]
    assert reading.samples[0].format == h264_format()
    assert reading.samples[1].format is None
    assert reading.pts[1] - reading.pts[0] == FRAME_90K
    assert reading.packets == 8


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("probes", [0, 100])
@pytest.mark.parametrize("size", [1, 7, 40, 1386])
def test_fragments(codec: Codec, probes: int, size: int) -> None:
    if codec is Codec.H264:
        nals = [slice_nal(300, key=True), *(slice_nal(n) for n in (299, 300, 41, 80, 2000))]
    else:
        nals = [slice5_nal(300, kind=19), *(slice5_nal(n) for n in (299, 300, 41, 80, 2000))]
    sender = Sender()
    for nal in nals:
        sender.picture(*fragments(nal, size, codec))
    reading = read(sender.bytes(), video_spec(codec), probes=probes)
    assert reading.units == [mp4(nal) for nal in nals]
    assert reading.lost == [0] * len(nals)


def test_the_next_time_is_known_while_playing() -> None:
    sender = Sender()
    key_picture(sender)
    sender.picture(slice_nal()).picture(slice_nal())
    data = sender.bytes()
    reading = read(data, finish=False)
    assert len(reading.samples) == 2
    assert reading.next_pts == [reading.pts[1] + FRAME_90K]
    assert read(data).next_pts[-1] is None


def test_finish_hands_out_the_last_only_if_its_marker_was_seen() -> None:
    sender = Sender()
    key_picture(sender)
    whole = len(read(sender.bytes()).samples)
    sender.next().send([slice_nal()], marker=False)
    assert len(read(sender.bytes()).samples) == whole
    sender.send([slice_nal(first=False)], marker=True)
    assert len(read(sender.bytes()).samples) == whole + 1


def test_stap_and_mtap() -> None:
    key, one, two = slice_nal(30, key=True), slice_nal(9), slice_nal(12, first=False)
    sender = Sender()
    sender.picture(aggregate(SPS, PPS, key))
    stap_b = b"\x79\0\x05" + aggregate(one, two)[1:]
    sender.picture(stap_b)
    three, four = slice_nal(5), slice_nal(6)
    mtap16 = b"\x7a\0\x06" + b"".join(
        pack(">HBH", len(nal), 0, offset) + nal for nal, offset in ((three, 0), (four, 1800))
    )
    sender.picture(mtap16)
    mtap24 = b"\x7b\0\x07" + pack(">HB", len(three), 0) + b"\0\0\0" + three
    sender.picture(mtap24)
    reading = read(sender.bytes())
    assert reading.units == [mp4(key), mp4(one, two), mp4(three), mp4(four), mp4(three)]
    steps = [b - a for a, b in zip(reading.pts, reading.pts[1:], strict=False)]
    assert steps == [3600, 3600, 1800, 1800]


def test_fu_b_and_damaged_aggregates() -> None:
    sender = Sender()
    key_picture(sender)
    nal = slice_nal(50)
    first, *rest = fragments(nal, 20)
    sender.picture(bytes((first[0] & 0xE0 | 29,)) + first[1:2] + b"\0\x09" + first[2:], *rest)
    assert read(sender.bytes()).units[1] == mp4(nal)
    sender.picture(aggregate(slice_nal(9))[:-3])
    key_picture(sender)
    reading = read(sender.bytes())
    assert len(reading.units) == 3
    assert reading.lost == [0, 0, 1]


@pytest.mark.quirk(1)
def test_parameter_sets_are_waited_for_in_band() -> None:
    sender = Sender()
    sender.picture(slice_nal(30, key=True)).picture(slice_nal())
    assert read(sender.bytes(), video_spec(declared=False)).samples == []
    key = key_picture(sender)
    reading = read(sender.bytes(), video_spec(declared=False))
    assert reading.units == [key]
    assert reading.samples[0].format == h264_format()


@pytest.mark.quirk(2)
@pytest.mark.quirk(5)
def test_in_band_sets_win_and_unreadable_ones_change_nothing() -> None:
    sender = Sender()
    sender.picture(b"\x67\x42", b"\x68", SPS[:3], slice_nal(key=True))
    assert read(sender.bytes()).samples[0].format == h264_format()
    sender.picture(b"\0\0\0\1" + SPS + b"\0\0\0\1" + OTHER_PPS, slice_nal(key=True))
    last = read(sender.bytes()).samples[-1]
    assert last.format == h264.video_format(SPS, OTHER_PPS)


@pytest.mark.quirk(4)
def test_only_a_real_change_of_format_is_told() -> None:
    sender = Sender()
    for pps in (PPS, PPS + b"\0", OTHER_PPS, OTHER_PPS, PPS):
        sender.picture(SPS, pps, slice_nal(key=True)).picture(slice_nal())
    reading = read(sender.bytes())
    told = [n for n, sample in enumerate(reading.samples) if sample.format is not None]
    assert told == [0, 4, 8]
    assert reading.samples[8].format == reading.samples[0].format


def test_pps_that_come_one_by_one_are_one_set() -> None:
    second = bytes((0x68, 0x53, 0x8F, 0x20))  # pic_parameter_set_id 1
    assert h264.parse_pps_ids(second)[0] == 1
    sender = Sender()
    for pps in (PPS, second, PPS, second):
        sender.picture(SPS, pps, slice_nal(key=True))
    told = [s.format for s in read(sender.bytes()).samples if s.format is not None]
    assert told == [h264_format(), h264.video_format(SPS, [PPS, second])]


@pytest.mark.quirk(39)
def test_without_markers_a_new_time_ends_the_access_unit() -> None:
    sender = Sender()
    nals = [slice_nal(100, key=True), slice_nal(90), slice_nal(80)]
    for nal in nals:
        sender.next().send(fragments(nal, 30), marker=False)
    reading = read(sender.bytes())
    assert reading.units == [mp4(nal) for nal in nals[:2]]


@pytest.mark.quirk(40)
@pytest.mark.parametrize("marked", [True, False])
def test_markers_on_parameter_sets_and_slices_end_nothing(marked: bool) -> None:
    sender = Sender()
    top, bottom = slice_nal(30, key=True), slice_nal(20, key=True, first=False)
    sender.next().send([SPS, PPS, SEI, top, bottom], marker=marked)
    slices = [slice_nal(30), slice_nal(10, first=False), slice_nal(11, first=False)]
    sender.next().send(slices, marker=marked)
    sender.picture(slice_nal())
    reading = read(sender.bytes())
    assert reading.units[:2] == [mp4(SEI, top, bottom), mp4(*slices)]


@pytest.mark.quirk(40)
def test_two_pictures_of_one_time_are_two_samples() -> None:
    sender = Sender()
    key_picture(sender)
    one, two = slice_nal(10), slice_nal(20)
    sender.picture(one, two).picture(slice_nal(5))
    reading = read(sender.bytes())
    assert reading.units[1:3] == [mp4(one), mp4(two)]
    steps = [b - a for a, b in zip(reading.pts, reading.pts[1:], strict=False)]
    assert steps == [FRAME_90K, 1, FRAME_90K - 1]


@pytest.mark.quirk(41)
def test_parameter_sets_with_the_last_pictures_time_belong_to_the_next() -> None:
    sender = Sender()
    key_picture(sender)
    delta, key = slice_nal(10), slice_nal(30, key=True)
    sender.picture(delta, SPS, OTHER_PPS, SEI).picture(key)
    reading = read(sender.bytes())
    assert reading.units[1:] == [mp4(delta), mp4(SEI, key)]
    assert reading.samples[1].format is None
    assert reading.samples[2].format == h264.video_format(SPS, OTHER_PPS)


@pytest.mark.quirk(43)
@pytest.mark.parametrize("in_fragments", [False, True])
def test_nal_units_hidden_by_start_codes_are_split(in_fragments: bool) -> None:
    key, delta, more = slice_nal(60, key=True), slice_nal(40), slice_nal(20, first=False)
    sender = Sender()
    hidden = [
        b"\0\0\0\1".join((SPS, PPS, SEI, key)),
        b"\0\0\1".join((delta, more)),
        b"\0\0\0\1" + delta,
    ]
    for data in hidden:
        sender.picture(*(fragments(data, 25) if in_fragments and data[0] else [data]))
    reading = read(sender.bytes(), video_spec(declared=False), probes=PROBED_NAL_UNITS)
    assert reading.units == [mp4(SEI, key), mp4(delta, more), mp4(delta)]


@pytest.mark.quirk(44)
def test_odd_fragments() -> None:
    sender = Sender()
    key_picture(sender)
    nal = slice_nal(50)
    (both,) = fragments(nal, 100)  # start and end set
    assert both[1] & 0xC0 == 0xC0
    sender.picture(both)
    first, second, third = fragments(nal, 20)
    sender.picture(first, second[:1] + bytes((second[1] & 0xE0 | 5,)) + second[2:], third)  # type
    sender.picture(first, second[:2], second, third[:1] + bytes((third[1] | 0x20,)) + third[2:])
    sender.picture(first, second, third[:1] + bytes((third[1] & ~0x40,)) + third[2:])  # no end
    sender.picture(nal)
    reading = read(sender.bytes())
    assert reading.units[1:] == [mp4(nal)] * 5
    assert set(reading.lost) == {0}


@pytest.mark.quirk(44)
def test_a_fragment_without_beginning_is_damage() -> None:
    sender = Sender()
    key_picture(sender)
    sender.picture(*fragments(slice_nal(50), 20)[1:]).picture(slice_nal())
    key_picture(sender)
    reading = read(sender.bytes())
    assert len(reading.units) == 2
    assert reading.lost == [0, 1]


@pytest.mark.quirk(45)
def test_h265_aggregates_don_paci_and_type_0() -> None:
    key, trail_n, slice_r = slice5_nal(30, kind=19), slice5_nal(12, kind=0), slice5_nal(13)

    def ap(*nals: bytes, don: bool = False) -> bytes:
        out = b"\x60\x01"
        for n, nal in enumerate(nals):
            out += (b"\0\x07" if n == 0 else b"\x01") * don + pack(">H", len(nal)) + nal
        return out

    sender = Sender()
    sender.picture(ap(VPS5, SPS5, PPS5, key)).picture(trail_n)
    paci = bytes((50 << 1, 1)) + pack(">H", 1 << 9 | 3 << 4) + b"abc" + slice_r[2:]
    sender.picture(paci)
    sender.picture(*fragments(slice5_nal(100, kind=0), 30, Codec.H265))
    reading = read(sender.bytes(), video_spec(Codec.H265, declared=False))
    assert reading.units == [mp4(n) for n in (key, trail_n, slice_r, slice5_nal(100, kind=0))]
    assert reading.samples[0].format == h265_format()

    sender = Sender()
    sender.picture(ap(VPS5, SPS5, PPS5, key, don=True))
    sender.picture(slice_r[:2] + b"\0\x08" + slice_r[2:])
    first, *rest = fragments(slice_r, 5, Codec.H265)
    sender.picture(first[:3] + b"\0\x09" + first[3:], *rest)
    reading = read(sender.bytes(), video_spec(Codec.H265, has_decoding_order_numbers=True))
    assert reading.units == [mp4(key), mp4(slice_r), mp4(slice_r)]


@pytest.mark.quirk(45)
def test_leading_pictures_of_the_first_cra_are_left_out() -> None:
    sender = Sender()
    cra, rasl, trail = slice5_nal(30, kind=21), slice5_nal(9, kind=9), slice5_nal(8)
    sender.picture(cra).picture(rasl, ticks=-7200).picture(trail, ticks=10_800)
    sender.picture(cra).picture(rasl, ticks=-3600).picture(trail, ticks=7200)
    reading = read(sender.bytes(), video_spec(Codec.H265))
    assert reading.units == [mp4(nal) for nal in (cra, trail, cra, rasl, trail)]
    assert not any(sample.damaged or sample.lost_packets for sample in reading.samples)


def test_sei_that_never_finds_its_picture_is_bounded() -> None:
    sender = Sender()
    key_picture(sender)
    for _ in range(3 * MAX_HELD_BYTES // 1000):
        sender.send([b"\x06" + bytes(1 + n % 250 for n in range(1000))])
    sender.picture(slice_nal(30, key=True))
    reading = read(sender.bytes())
    assert len(reading.units) == 2
    assert len(reading.units[1]) < MAX_HELD_BYTES + 100

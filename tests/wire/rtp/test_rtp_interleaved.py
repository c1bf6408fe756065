"""The interleaved reader: framing, garbage, other sources and types; quirks 26, 27 and 29 to 32."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_by_hand import (
    SSRC,
    Reading,
    Sender,
    fragments,
    frame,
    g711_spec,
    key_picture,
    mp4,
    new_reader,
    read,
    rtp,
    slice_nal,
    video_spec,
)

from khupho.wire.rtp.interleaved import MAX_CONTROL, InterleavedReader
from khupho.wire.rtp.track_spec import TrackSpec
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.message import MAX_GARBAGE_BYTES, MessageReader, Reply
from khupho.wire.rtsp.sdp import parse_sdp

CAPTURES = Path(__file__).parents[2] / "captures" / "rtsp"
REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 4\r\n\r\n$\0\0\x05"
REQUEST = b"OPTIONS rtsp://10.0.0.7 RTSP/1.0\r\nCSeq: 9\r\n\r\n"


def stream(between: bytes = b"", pictures: int = 6) -> tuple[bytes, list[bytes]]:
    """Pictures with something between the frames; their bytes as sent."""
    sender, expected = Sender(), []
    for n in range(pictures):
        nal = slice_nal(100 + n, key=n == 0)
        sender.picture(*fragments(nal, 30))
        expected.append(mp4(nal))
    return between.join(frame(packet) for packet in sender.packets), expected


@pytest.mark.parametrize("fast", [True, False])
def test_control_and_replies_are_handed_out_whole(fast: bool) -> None:
    report = b"\x80\xc8\0\1abcdefgh"
    data, expected = stream(frame(report, 1) + REPLY + REQUEST)
    whole = read(data, fast=fast)
    assert whole.units == expected
    count = len(data) // len(frame(report, 1) + REPLY + REQUEST + bytes(50))
    assert whole.control == [(0, report)] * len(whole.control)
    assert whole.rtsp == (REPLY + REQUEST) * len(whole.control)
    assert len(whole.control) >= count > 0
    reader = MessageReader()
    reader.feed(whole.rtsp)
    assert isinstance(reader.next(), Reply)
    bytewise = read(data, cuts=[1] * len(data), fast=fast)
    assert (bytewise.units, bytewise.rtsp, bytewise.control) == (
        whole.units, whole.rtsp, whole.control,
    )  # fmt: skip


def test_media_of_two_tracks() -> None:
    video, sound = Sender(), Sender(payload_type=0, ssrc=7)
    data, expected = b"", []
    for n in range(5):
        nal = slice_nal(60, key=n == 0)
        video.packets.clear()
        sound.packets.clear()
        video.picture(*fragments(nal, 30))
        sound.picture(bytes((n,)) * 160, ticks=160)
        data += video.bytes() + sound.bytes(2)
        expected.append(mp4(nal))
    reading = read(data, None, g711_spec())
    assert reading.units == expected
    assert reading.others[2] == [bytes((n,)) * 160 for n in range(5)]
    assert reading.packets == 5 * 4


def test_reports_without_end_are_bounded() -> None:
    reading = read(frame(b"\x80\xc8\0\1abcd", 1) * (MAX_CONTROL + 10))
    assert len(reading.control) == MAX_CONTROL


@pytest.mark.quirk(29)
def test_blanks_between_frames_are_passed_over() -> None:
    data, expected = stream(b"\r\n\r\n")
    assert read(b"\r\n" + data).units == expected
    assert read(data, cuts=[1] * len(data)).units == expected


@pytest.mark.quirk(26)
def test_data_on_unknown_channels_is_ignored() -> None:
    foreign = frame(rtp(b"\x41\x88old", 1, 2, ssrc=9), 6)
    data, expected = stream(foreign + foreign)
    reading = read(data)
    assert reading.units == expected
    assert set(reading.lost) == {0}


@pytest.mark.quirk(27)
@pytest.mark.parametrize("seed", range(8))
def test_garbage_between_frames_costs_no_frame(seed: int) -> None:
    garbage = random.Random(seed).randbytes(300)
    data, expected = stream(b"\xfe" + garbage.replace(b"$", b"%"))
    for cuts in ([], [7] * len(data)):
        reading = read(data, cuts=cuts)
        assert reading.units == expected
        assert set(reading.lost) == {0}


@pytest.mark.quirk(27)
def test_a_frame_that_was_cut_by_the_camera_spoils_what_it_swallowed() -> None:
    sender, expected = Sender(), []
    for n in range(9):
        nal = slice_nal(200, key=n in (0, 6))
        sender.picture(*fragments(nal, 60))
        expected.append(mp4(nal))
    packets = [frame(packet) for packet in sender.packets]
    packets[9] = packets[9][:-40]  # of the third picture
    reading = read(b"".join(packets))
    assert reading.units == expected[:2] + expected[6:]
    assert sum(reading.lost) >= 1
    assert reading.samples[2].is_key


def test_endless_garbage_ends_the_session() -> None:
    with pytest.raises(RtspError, match="neither media nor RTSP"):
        read(b"\xff" * (MAX_GARBAGE_BYTES + 10), cuts=[4096] * 80)


@pytest.mark.quirk(30)
def test_the_source_that_persists_counts() -> None:
    sender = Sender()
    key_picture(sender)
    for n in range(3):  # an old session's packets come in between
        sender.picture(slice_nal(n + 1))
        sender.packets.append(rtp(slice_nal(50), 40_000 + n, 5, ssrc=99))
    reading = read(sender.bytes())
    assert len(reading.units) == 4
    assert set(reading.lost) == {0}
    sender.ssrc, sender.sequence = 77, 30_000  # and now the camera begins anew
    for _ in range(4):
        sender.picture(slice_nal())
    key = key_picture(sender)
    reading = read(sender.bytes())
    assert reading.units[4:] == [key]
    assert reading.samples[4].lost_packets == 3


@pytest.mark.quirk(30)
def test_a_wrong_source_in_the_answer_to_setup_does_no_harm() -> None:
    sender = Sender()
    key_picture(sender)
    assert len(read(sender.bytes(), video_spec(ssrc=0xDEAD)).units) == 1
    old = Sender(ssrc=4, sequence=9_000).picture(slice_nal(30, key=True), slice_nal(3))
    known = read(old.bytes() + sender.bytes(), video_spec(ssrc=SSRC))
    assert [sample.is_key for sample in known.samples][-1]


def test_a_source_that_changes_with_every_packet_is_one_stream() -> None:
    sender = Sender()
    for n in range(5):
        sender.ssrc = n
        sender.picture(slice_nal(9, key=n == 0))
    reading = read(sender.bytes())
    assert len(reading.units) == 5
    assert set(reading.lost) == {0}


@pytest.mark.quirk(31)
def test_an_unknown_payload_type_shares_the_sequence() -> None:
    sender = Sender()
    for n in range(6):
        sender.picture(*fragments(slice_nal(100, key=n == 0), 30))
        last = sender.sequence - 1
        sender.packets.append(rtp(b"metadata", last, sender.timestamp, payload_type=50))
    reading = read(sender.bytes())
    assert len(reading.units) == 6
    assert set(reading.lost) == {0}
    assert reading.packets == len(sender.packets) - 6


@pytest.mark.quirk(32)
def test_packets_of_64_kilobytes() -> None:
    sender = Sender()
    nals = [slice_nal(65_000, key=True), slice_nal(65_000), slice_nal(3)]
    for nal in nals:
        sender.picture(nal)
    data = sender.bytes()
    assert read(data).units == [mp4(nal) for nal in nals]
    assert read(data, cuts=[5_000] * 30).units == [mp4(nal) for nal in nals]


def test_extensions_sources_and_padding_are_taken_off() -> None:
    key, delta = slice_nal(30, key=True), slice_nal(9)
    data = frame(rtp(key, 1, 0, flags=0x92, front=bytes(8) + b"\xbe\xde\0\1wxyz"))
    data += frame(rtp(delta + b"\0\0\3", 2, 3600, flags=0xA0, marker=True))
    data += frame(rtp(delta, 3, 7200, flags=0x90, front=b"\0\0\xff\xff"))  # beyond its end
    data += frame(rtp(delta, 4, 10_800, flags=0xA0))[:-1] + b"\xff"  # more padding than packet
    data += frame(rtp(delta, 5, 14_400)) + frame(rtp(key, 6, 18_000, marker=True))
    reading = read(data)
    assert reading.units == [mp4(key), mp4(delta), mp4(key)]
    assert reading.lost == [0, 0, 2]


def test_the_sequence_wraps() -> None:
    sender = Sender(sequence=65_530)
    expected = []
    for n in range(12):
        nal = slice_nal(100, key=n == 0)
        sender.picture(*fragments(nal, 30))
        expected.append(mp4(nal))
    reader = new_reader()
    scratch = memoryview(bytearray(1 << 16))
    data = sender.bytes()
    scratch[: len(data)] = data
    reading = Reading()
    reading.take(reader.feed(scratch, len(data)))
    reading.take(reader.finish())
    assert reading.units == expected
    assert set(reading.lost) == {0}
    reception = reader.reception(0)
    assert reception.received == reception.expected == len(sender.packets)
    assert reception.highest_extended == 65_530 + len(sender.packets) - 1


@pytest.mark.quirk(26)
def test_a_real_capture() -> None:
    data = (CAPTURES / "bunny.rtsp").read_bytes()
    reader = MessageReader()
    reader.feed((CAPTURES / "bunny_describe.txt").read_bytes())
    described = reader.next()
    assert isinstance(described, Reply)
    video, sound = parse_sdp(described.body).video(), parse_sdp(described.body).audio()
    assert video is not None
    assert sound is not None
    specs = {0: TrackSpec.of("audio", sound, None), 2: TrackSpec.of("video", video, None)}
    outcomes = []
    for size in (len(data), 1500, 1):
        tracks = InterleavedReader(specs, {1: 0, 3: 2})
        scratch = memoryview(bytearray(1 << 18))
        reading = Reading()
        for begin in range(0, len(data), size):
            piece = data[begin : begin + size]
            start = tracks.begin(scratch)
            scratch[start : start + len(piece)] = piece
            reading.take(tracks.feed(scratch, start + len(piece)), channel=2)
        outcomes.append((reading.samples, reading.units, reading.others, reading.control))
        assert tracks.reception(2).received == tracks.reception(2).expected
    assert outcomes[0] == outcomes[1] == outcomes[2]
    samples, units, others, _control = outcomes[0]
    assert samples[0].is_key
    assert samples[0].format == TrackSpec.of("video", video, None).format
    assert {b - a for a, b in pairwise(s.pts_90k for s in samples)} == {
        3690,
        3780,
    }  # 24 a second, in milliseconds
    assert (len(units), len(others[0])) == (244, 120)


@given(data=st.binary(max_size=400), prefix=st.booleans(), size=st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_only_our_own_errors(data: bytes, prefix: bool, size: int) -> None:
    if prefix:
        sender = Sender()
        key_picture(sender)
        data = sender.bytes() + data
    outcomes = []
    for cuts in ([], [size] * len(data)):
        try:
            reading = read(data, None, g711_spec(), cuts=cuts)
            outcomes.append((reading.units, reading.samples, reading.rtsp, reading.control))
        except RtspError as error:
            outcomes.append(error.what)
    assert outcomes[0] == outcomes[1]

"""AAC and G.711: AU headers, fragments, interleaving, ADTS (quirk 47); what is lost is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_by_hand import Sender, aac_spec, frame, g711_spec, read, rtp, video_spec

from khupho.media.aac import audio_format
from khupho.media.formats import Codec
from khupho.wire.rtp.aac_payload import MAX_FRAMES, AacFrames
from khupho.wire.rtp.audio import MAX_INTERLEAVED
from khupho.wire.rtp.interleaved import InterleavedReader
from khupho.wire.rtp.track_spec import AacLayout, TrackSpec
from khupho.wire.rtsp.sdp import MediaDescription

FRAME_TICKS = 1024
FRAME_90K = FRAME_TICKS * 90_000 // 16_000


def headers(*sizes: tuple[int, int]) -> bytes:
    """AU headers of AAC-hbr: size and index or index delta."""
    return (16 * len(sizes)).to_bytes(2, "big") + b"".join(
        (size << 3 | index).to_bytes(2, "big") for size, index in sizes
    )


def adts(data: bytes) -> bytes:
    """A frame of 16 kHz mono with its ADTS header."""
    size = len(data) + 7
    return bytes(
        (0xFF, 0xF1, 0x60, 0x40 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC)
    ) + data  # fmt: skip


def read_aac(sender: Sender, **layout: int):
    sender.payload_type = 97
    packets = [
        packet[:1] + bytes((packet[1] & 0x80 | 97,)) + packet[2:] for packet in sender.packets
    ]
    return read(b"".join(frame(packet) for packet in packets), aac_spec(**layout))


def test_several_frames_a_packet() -> None:
    sender = Sender()
    sender.picture(headers((3, 0), (2, 0)) + b"aaabb", ticks=0)
    sender.picture(headers((4, 0)) + b"cccc", ticks=2 * FRAME_TICKS)
    reading = read_aac(sender)
    assert reading.units == [b"aaa", b"bb", b"cccc"]
    assert [pts - reading.pts[0] for pts in reading.pts] == [0, FRAME_90K, 2 * FRAME_90K]
    assert reading.next_pts == [reading.pts[-1] + FRAME_90K]
    assert reading.samples[0].format == audio_format("1408")
    assert [sample.format for sample in reading.samples[1:]] == [None, None]
    assert all(sample.is_key for sample in reading.samples)


def test_a_frame_in_fragments() -> None:
    data = bytes(range(200)) * 10
    sender = Sender()
    head = headers((len(data), 0))
    sender.next(0).send([head + data[:900], head + data[900:1800], head + data[1800:]])
    sender.picture(headers((1, 0)) + b"x", ticks=FRAME_TICKS)
    assert read_aac(sender).units == [data, b"x"]
    del sender.packets[1]
    reading = read_aac(sender)
    assert reading.units == [b"x"]
    assert reading.lost[0] >= 1


def test_interleaved_frames_come_in_order_of_time() -> None:
    sender = Sender()
    for first in range(0, 12, 6):
        for begin in range(3):
            numbers = (first + begin, first + begin + 3)
            payload = headers((1, 0), (1, 2)) + bytes(numbers)
            sender.packets.append(
                rtp(payload, sender.sequence, numbers[0] * FRAME_TICKS, payload_type=97)
            )
            sender.sequence += 1
    reading = read_aac(sender)
    assert reading.units == [bytes((n,)) for n in range(12)]
    assert reading.pts == [n * FRAME_90K for n in range(12)]


def test_what_waits_for_its_turn_is_bounded() -> None:
    sender = Sender()
    many = [(1, 0)] + [(1, 7)] * (MAX_INTERLEAVED + 30)
    sender.picture(headers(*many) + bytes(len(many)), ticks=0)
    reader = read_aac(sender)
    assert len(reader.units) == len(many)


@pytest.mark.quirk(47)
@pytest.mark.parametrize("with_headers", [True, False])
def test_adts_headers_are_stripped(with_headers: bool) -> None:
    sender = Sender()
    for data in (b"first" * 4, b"second" * 4):
        whole = adts(data)
        sender.picture(
            headers((len(whole), 0)) + whole if with_headers else whole, ticks=FRAME_TICKS
        )
    both = adts(b"third") + adts(b"fourth")
    sender.picture(headers((len(both), 0)) + both if with_headers else both, ticks=FRAME_TICKS)
    reading = read_aac(sender)
    assert reading.units == [b"first" * 4, b"second" * 4, b"third", b"fourth"]
    assert reading.pts[3] - reading.pts[2] == FRAME_90K


def test_low_bit_rate_headers_from_the_description() -> None:
    media = MediaDescription(
        "audio", "RTP/AVP", 97, "MPEG4-GENERIC", 16_000, 1,
        {"config": "1408", "mode": "AAC-lbr", "sizelength": "6", "indexlength": "2",
         "indexdeltalength": "2"},
    )  # fmt: skip
    spec = TrackSpec.of("audio", media, None)
    assert (spec.aac.size_bits, spec.aac.index_bits, spec.aac.frame_ticks) == (6, 2, 1024)
    payload = b"\0\x10" + bytes((3 << 2, 2 << 2)) + b"aaabb"
    assert AacFrames(spec.aac).take(memoryview(payload), 0) == [(0, b"aaa"), (1, b"bb")]


def test_optional_fields_and_auxiliary_data_are_passed_over() -> None:
    layout = AacLayout(cts_delta_bits=4, dts_delta_bits=4, has_random_access=True,
                       stream_state_bits=3, auxiliary_size_bits=8)  # fmt: skip
    bits = f"{2:013b}{0:03b}" + "1" + "0101" + "0" + "1" + "010"
    field = int(bits.ljust(32, "0"), 2).to_bytes(4, "big")
    payload = len(bits).to_bytes(2, "big") + field + b"\x08" + b"z" + b"ok"
    assert AacFrames(layout).take(memoryview(payload), 0) == [(0, b"ok")]


def test_constant_sizes_need_no_headers() -> None:
    layout = AacLayout(size_bits=0, index_bits=0, index_delta_bits=0, constant_size_bytes=2)
    assert AacFrames(layout).take(memoryview(b"aabbcc"), 0) == [(0, b"aa"), (1, b"bb"), (2, b"cc")]


def test_damaged_headers_count_as_lost() -> None:
    sender = Sender()
    for payload in (headers((9, 0), (9, 0)) + b"short", b"\xff\xff\0", b"\0"):
        sender.picture(payload, ticks=FRAME_TICKS)
    sender.picture(headers((2, 0)) + b"ok", ticks=FRAME_TICKS)
    reading = read_aac(sender)
    assert reading.units == [b"ok"]
    assert reading.lost == [3]


@given(st.binary(max_size=300), st.integers(0, 32), st.integers(0, 32), st.integers(0, 32))
@settings(max_examples=300, deadline=None)
def test_any_payload_gives_bounded_frames(data: bytes, size: int, index: int, delta: int) -> None:
    frames = AacFrames(AacLayout(size_bits=size, index_bits=index, index_delta_bits=delta))
    for timestamp in (0, 0, 1024):
        taken = frames.take(memoryview(data), timestamp)
        assert len(taken) <= MAX_FRAMES
        assert sum(len(part) for _index, part in taken) <= 3 * len(data)


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_g711(codec: Codec) -> None:
    sender = Sender(payload_type=0)
    for n in range(4):
        sender.picture(bytes((n,)) * 160, ticks=160)
    sender.lose(2).picture(b"z" * 160, ticks=480)
    reading = read(sender.bytes(), g711_spec(codec))
    assert reading.units == [bytes((n,)) * 160 for n in range(4)] + [b"z" * 160]
    steps = [b - a for a, b in zip(reading.pts, reading.pts[1:], strict=False)]
    assert steps == [1800, 1800, 1800, 5400]
    assert reading.lost == [0, 0, 0, 0, 2]
    assert reading.next_pts == [reading.pts[-1] + 1800]


def test_audio_alone_and_video_alone_share_nothing() -> None:
    reader = InterleavedReader({0: video_spec(), 2: g711_spec()}, {1: 0, 3: 2})
    assert reader.reception(0).ssrc is None
    assert reader.reception(2).ssrc is None

"""Targets of `khupho.wire.rtp`: whole connections, and datagrams."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

from targets import target
from targets_media import PPS_264, SPS_264

from khupho.errors import KhuphoError
from khupho.media.formats import AudioFormat, VideoFormat
from khupho.media.samples import SampleBatch
from khupho.wire.rtp.datagram_reader import DatagramReader
from khupho.wire.rtp.interleaved import InterleavedReader
from khupho.wire.rtp.reports import TrackReports
from khupho.wire.rtp.track_spec import TrackSpec
from khupho.wire.rtsp.sdp import MediaDescription

H264 = TrackSpec.of(
    "video",
    MediaDescription(
        "video", "RTP/AVP", 96, "H264", 90_000, offered=(96,),
        fmtp={
            "sprop-parameter-sets": ",".join(
                base64.b64encode(nal).decode() for nal in (SPS_264, PPS_264)
            )
        },
    ),
    None,
)  # fmt: skip
H265 = TrackSpec.of(
    "video", MediaDescription("video", "RTP/AVP", 97, "H265", 90_000, offered=(97,)), None
)
AAC = TrackSpec.of(
    "audio",
    MediaDescription(
        "audio", "RTP/AVP", 98, "MPEG4-GENERIC", 16_000, offered=(98,),
        fmtp={"config": "1408", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3"},
    ),
    None,
)  # fmt: skip
PCMA = TrackSpec.of(
    "audio", MediaDescription("audio", "RTP/AVP", 8, "PCMA", 8_000, offered=(8,)), None
)

_SCRATCH = bytearray(4 << 20)


def rtp(
    payload: bytes, sequence: int, timestamp: int, payload_type: int = 96, marker: int = 1
) -> bytes:
    """An RTP packet."""
    return (
        struct.pack(
            ">BBHII", 0x80, marker << 7 | payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, 7
        )
        + payload
    )


def frame(packet: bytes, channel: int = 0) -> bytes:
    """An interleaved frame."""
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def _units_264() -> list[tuple[bytes, int]]:
    """Payloads with the number of their picture: single, aggregated and fragmented NAL units."""
    slice_ = bytes(range(1, 120))
    stap = b"\x18" + b"".join(
        len(nal).to_bytes(2, "big") + nal for nal in (SPS_264, PPS_264, b"\x06\x05\x01\x00\x80")
    )
    made = [(SPS_264, 0), (PPS_264, 0), (b"\x65\x88" + slice_, 0)]
    for n in range(1, 5):
        made += [
            (b"\x7c\x81\x9a" + slice_[:50], n), (b"\x7c\x01" + slice_[50:90], n),
            (b"\x7c\x41" + slice_[90:], n),
        ]  # fmt: skip
    return [
        *made,
        (stap, 5),
        (b"\x65\x88" + slice_, 5),
        (b"\x41\x9a" + slice_, 6),
        (b"\x41\x9a\x01", 7),
    ]


PACKETS_264 = [
    rtp(payload, 65_530 + n, 0xFFFFFF00 + picture * 3600, marker=int(n % 2))
    for n, (payload, picture) in enumerate(_units_264())
]
_REPLY = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Length: 3\r\n\r\nabc"
_REPORT = struct.pack(">BBHIQIII", 0x80, 200, 6, 7, 0xE8000000 << 32, 0, 10, 1000)
STREAM_264 = b"".join(
    [frame(packet) for packet in PACKETS_264[:6]]
    + [_REPLY, frame(_REPORT, 1)]
    + [frame(packet) for packet in PACKETS_264[6:]]
)
_FU_265 = [
    b"\x62\x01\x93" + bytes(range(60)),
    b"\x62\x01\x13" + bytes(60),
    b"\x62\x01\x53" + bytes(9),
]
_AP_265 = b"\x60\x01" + b"\x00\x04\x02\x01\x80a" + b"\x00\x04\x02\x01\x80b"
PACKETS_265 = [
    rtp(payload, n, 9000 + n // 3 * 3600, 97) for n, payload in enumerate(
        [b"\x40\x01" + b"\x0c\x01", *_FU_265, b"\x02\x01\x80abc", _AP_265]
    )
]  # fmt: skip
PACKETS_AAC = [rtp(b"\x00\x20\x00\x50\x00\x50" + bytes(20), n, n * 2048, 98) for n in range(4)]
STREAM_MIXED = b"".join(
    frame(video) + frame(audio, 2)
    for video, audio in zip(PACKETS_264, PACKETS_AAC * 5, strict=False)
)


def taken(batches: list[tuple[int, SampleBatch]]) -> Iterator[tuple[object, ...]]:
    """Samples with their bytes; their promises are checked on the way."""
    for channel, batch in batches:
        data = b"".join(bytes(piece) for piece in batch.pieces)
        assert len(data) == batch.size_bytes == sum(s.size_bytes for s in batch.samples)
        at = 0
        for sample in batch.samples:
            body = data[at : at + sample.size_bytes]
            at += sample.size_bytes
            assert sample.lost_packets >= 0
            if channel == 0:
                _check_nals(body)
                assert sample.format is None or isinstance(sample.format, VideoFormat)
            else:
                assert sample.format is None or isinstance(sample.format, AudioFormat)
            yield channel, sample, body


def _check_nals(body: bytes) -> None:
    """Invariant 6 of the archive: NAL lengths fill the sample."""
    at = 0
    assert body
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        assert 0 < size <= len(body) - at - 4, (at, size, len(body))
        at += 4 + size


def read_connection(
    specs: dict[int, TrackSpec], parts: list[bytes], *, fast: bool = True
) -> tuple[list[tuple[object, ...]], bytes, str]:
    """Samples, RTSP bytes, and the error that ended it."""
    reader = InterleavedReader(specs, {channel + 1: channel for channel in specs})
    if not fast:
        reader._quick = None
    scratch = memoryview(_SCRATCH)
    samples: list[tuple[object, ...]] = []
    replies = b""
    error_text = ""
    reports = TrackReports(90_000)
    try:
        for part in parts:
            start = reader.begin(scratch)
            end = start + len(part)
            scratch[start:end] = part
            feed = reader.feed(scratch, end)
            samples += taken(feed.batches)
            replies += feed.rtsp
            for _channel, packet in feed.control:
                reports.received(packet, 1_700_000_000_000_000, 1_000_000)
            reports.make(reader.reception(min(specs)), 2_000_000)
    except KhuphoError as error:
        error_text = error.what
    try:
        samples += taken(reader.finish().batches)  # as a session does that ended
    except KhuphoError as error:
        error_text = error_text or error.what
    return samples, replies, error_text


def _differential(specs: dict[int, TrackSpec], data: bytes) -> object:
    """However it is cut, and on the quick way or not, the same comes out."""
    whole = read_connection(specs, [data])
    step = 1 + (len(data) * 7 + sum(data[:8])) % 97
    parts = [data[n : n + step] for n in range(0, len(data), step)]
    for other in (
        read_connection(specs, parts),
        read_connection(specs, [data], fast=False),
        read_connection(specs, parts, fast=False),
    ):
        assert _values(other) == _values(whole), f"in parts of {step}, or the slow way"
    return whole


def _values(read: tuple[list[tuple[object, ...]], bytes, str]) -> tuple[object, ...]:
    """Of two tracks only the order within each is promised; of a session that failed, nothing."""
    samples, replies, error = read
    by_channel: dict[object, list[object]] = {}
    for channel, *rest in samples:
        by_channel.setdefault(channel, []).append(rest)
    return ({}, b"", error) if error else (by_channel, replies, error)


@target("rtp-h264", STREAM_264, _REPLY + STREAM_264[:200])
def rtp_h264(data: bytes) -> object:
    return _differential({0: H264}, data)


@target("rtp-h265", b"".join(frame(packet) for packet in PACKETS_265))
def rtp_h265(data: bytes) -> object:
    return _differential({0: H265}, data)


@target("rtp-mixed", STREAM_MIXED)
def rtp_mixed(data: bytes) -> object:
    return _differential({0: H264, 2: AAC}, data)


@target("rtp-g711", b"".join(frame(rtp(bytes(160), n, 160 * n, 8), 2) for n in range(5)))
def rtp_g711(data: bytes) -> object:
    return _differential({2: PCMA}, data)


def _datagrams(data: bytes) -> list[bytes]:
    """The pieces between two 0xfe bytes."""
    return data.split(b"\xfe\xfe")


@target("rtp-datagrams", b"\xfe\xfe".join(PACKETS_264), b"\xfe\xfe".join(PACKETS_264[::-1]))
def rtp_datagrams(data: bytes) -> object:
    """Datagrams of the camera, 5 ms apart."""
    reader = DatagramReader({0: H264, 2: AAC}, {1: 0, 3: 2})
    found: list[object] = []
    now_us = 0
    for n, piece in enumerate(_datagrams(data)):
        reader.put(piece[-1] % 4 if n % 5 == 4 and piece else 0, piece, now_us)
        found += taken(reader.take(now_us).batches)
        now_us += 5_000
        reader.reception(0)
    found += taken(reader.finish().batches)
    return found


@target("rtcp", _REPORT, _REPORT + struct.pack(">BBHI", 0x81, 202, 1, 7))
def rtcp(data: bytes) -> object:
    reports = TrackReports(90_000)
    now_us = 0
    for piece in data.split(b"\xfe\xfe"):
        reports.received(piece, 1_700_000_000_000_000 + now_us, now_us)
        now_us += 5_000_000
        assert reports.drift_ppm is None or abs(reports.drift_ppm) < 1e12
    return reports.drift_us

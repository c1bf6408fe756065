"""RTP packets put together by hand, and a reading of them: what the tests of this folder share."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from struct import pack

from khupho.city.packets import PacketTrack
from khupho.media import g711, h264, h265
from khupho.media.aac import audio_format
from khupho.media.formats import Codec, TrackFormat
from khupho.media.samples import Sample
from khupho.wire.rtp.fast_path import FastPath
from khupho.wire.rtp.feed import Feed
from khupho.wire.rtp.interleaved import InterleavedReader
from khupho.wire.rtp.quick_path import COMPILED, Maker
from khupho.wire.rtp.track_spec import AacLayout, TrackSpec
from khupho.wire.rtp.video import VideoReader

QUICK_WAYS: list[Maker] = [FastPath, *([COMPILED] if COMPILED else [])]
SPS = base64.b64decode("Z0LAHtsCgL/lwFqDAIMqAAADAAIAAAMAZR4uXIA=")
PPS = base64.b64decode("aM48gA==")
OTHER_PPS = bytes((0x68, 0xCE, 0x3C, 0x90))
VPS5 = base64.b64decode("QAEMAf//AUAAAAMAgAAAAwAAAwB4rAk=")
SPS5 = base64.b64decode("QgEBAUAAAAMAgAAAAwAAAwB4oAPAgBDllm5JMrgEAAADAAQAAAMAZCA=")
PPS5 = base64.b64decode("RAHBcrRiQA==")
SSRC = 0x1234ABCD
FRAME_90K = 3600
NumberedPackets = Callable[..., tuple[PacketTrack, list[bytes]]]
"""The fixture `packets_of`."""
SCRATCH_BYTES = 1 << 17


def h264_format() -> TrackFormat:
    return h264.video_format(SPS, PPS)


def h265_format() -> TrackFormat:
    return h265.video_format(VPS5, SPS5, PPS5)


def video_spec(codec: Codec = Codec.H264, *, declared: bool = True, **fields: object) -> TrackSpec:
    made = h264_format() if codec is Codec.H264 else h265_format()
    values: dict[str, object] = {"ssrc": None, "format": made if declared else None, **fields}
    return TrackSpec("video", codec, frozenset((96,)), 90_000, **values)  # type: ignore[arg-type]


def aac_spec(**layout: object) -> TrackSpec:
    return TrackSpec(
        "audio", Codec.AAC, frozenset((97,)), 16_000, None, audio_format("1408"),
        aac=AacLayout(**layout),  # type: ignore[arg-type]
    )  # fmt: skip


def g711_spec(codec: Codec = Codec.PCMU) -> TrackSpec:
    sound = g711.audio_format(codec, 8_000, 1)
    return TrackSpec("audio", codec, frozenset((0,)), 8_000, None, sound)


def slice_nal(body: bytes | int = 20, *, key: bool = False, first: bool = True) -> bytes:
    """An H.264 slice. Its body holds no start code, however long it is."""
    filling = bytes(1 + n % 200 for n in range(body)) if isinstance(body, int) else body
    return bytes((0x65 if key else 0x41, 0x88 if first else 0x48)) + filling


def slice5_nal(body: bytes | int = 20, *, kind: int = 1, first: bool = True) -> bytes:
    """An H.265 slice segment."""
    filling = bytes(1 + n % 200 for n in range(body)) if isinstance(body, int) else body
    return bytes((kind << 1, 1, 0x80 if first else 0x40)) + filling


def fragments(nal: bytes, size: int, codec: Codec = Codec.H264) -> list[bytes]:
    """Payloads of fragmentation units, each with `size` bytes of the NAL unit."""
    if codec is Codec.H264:
        header, kind, body = bytes((nal[0] & 0xE0 | 28,)), nal[0] & 0x1F, nal[1:]
    else:
        header, kind, body = bytes((nal[0] & 0x81 | 49 << 1, nal[1])), nal[0] >> 1 & 0x3F, nal[2:]
    parts = [body[n : n + size] for n in range(0, len(body), size)]
    return [
        header
        + bytes((kind | (0x80 if n == 0 else 0) | (0x40 if n == len(parts) - 1 else 0),))
        + part
        for n, part in enumerate(parts)
    ]


def aggregate(*nals: bytes) -> bytes:
    """An H.264 STAP-A payload."""
    return b"\x78" + b"".join(pack(">H", len(nal)) + nal for nal in nals)


def rtp(
    payload: bytes, sequence: int, timestamp: int, *, marker: bool = False, payload_type: int = 96,
    ssrc: int = SSRC, flags: int = 0x80, front: bytes = b"",
) -> bytes:  # fmt: skip
    """One packet. `front` stands between header and payload (CSRC, extension)."""
    kind = payload_type | (0x80 if marker else 0)
    head = pack(">BBHII", flags, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + front + payload


def frame(packet: bytes, channel: int = 0) -> bytes:
    """The packet as it lies in an RTSP connection."""
    return b"$" + bytes((channel,)) + pack(">H", len(packet)) + packet


@dataclass
class Sender:
    """Numbers packets as a camera does."""

    sequence: int = 100
    timestamp: int = 1_000_000
    ssrc: int = SSRC
    payload_type: int = 96
    packets: list[bytes] = field(default_factory=list)

    def send(self, payloads: Sequence[bytes], *, marker: bool | None = None) -> Sender:
        """Packets of one time; by default the last has the marker."""
        for n, payload in enumerate(payloads):
            is_marked = n == len(payloads) - 1 if marker is None else marker
            self.packets.append(
                rtp(payload, self.sequence, self.timestamp, marker=is_marked,
                    payload_type=self.payload_type, ssrc=self.ssrc)
            )  # fmt: skip
            self.sequence += 1
        return self

    def next(self, ticks: int = FRAME_90K) -> Sender:
        """The next picture's time."""
        self.timestamp += ticks
        return self

    def picture(self, *payloads: bytes, ticks: int = FRAME_90K) -> Sender:
        """Packets of the next picture."""
        return self.next(ticks).send(payloads)

    def lose(self, packets: int = 1) -> Sender:
        """So many never arrive."""
        self.sequence += packets
        return self

    def bytes(self, channel: int = 0) -> bytes:
        return b"".join(frame(packet, channel) for packet in self.packets)


@dataclass
class Reading:
    """All that a reader gave."""

    samples: list[Sample] = field(default_factory=list)
    units: list[bytes] = field(default_factory=list)
    """Each sample's bytes."""
    control: list[tuple[int, bytes]] = field(default_factory=list)
    rtsp: bytes = b""
    packets: int = 0
    others: dict[int, list[bytes]] = field(default_factory=dict)
    """Samples of other channels."""
    next_pts: list[int | None] = field(default_factory=list)

    @property
    def pts(self) -> list[int]:
        return [sample.pts_90k for sample in self.samples]

    @property
    def lost(self) -> list[int]:
        return [sample.lost_packets for sample in self.samples]

    def take(self, feed: Feed, channel: int = 0) -> None:
        self.packets += feed.packets
        self.control += feed.control
        self.rtsp += feed.rtsp
        for at, batch in feed.batches:
            data = b"".join(batch.pieces)
            assert batch.samples
            assert batch.size_bytes == len(data) == sum(s.size_bytes for s in batch.samples)
            units, position = [], 0
            for sample in batch.samples:
                units.append(data[position : position + sample.size_bytes])
                position += sample.size_bytes
            if at == channel:
                self.samples += batch.samples
                self.units += units
                self.next_pts.append(batch.next_pts_90k)
            else:
                self.others.setdefault(at, []).extend(units)


def new_reader(
    spec: TrackSpec | None = None, *others: TrackSpec, fast: bool = True, probes: int = 0,
    maker: Maker | None = None,
) -> InterleavedReader:  # fmt: skip
    """Video on channel 0, other tracks on 2, 4 …; `probes`: slices searched for start codes; `maker`: of
    the quick path, else what is installed; without `fast` there is none."""
    specs = {2 * n: each for n, each in enumerate((spec or video_spec(), *others))}
    reader = InterleavedReader(specs, {channel + 1: channel for channel in specs})
    for track in reader._tracks.values():
        if isinstance(track, VideoReader):
            track.units.probes_left = probes
    if not fast:
        reader._quick = None
    elif maker is not None and reader._quick is not None:
        video = reader._tracks[0]
        assert isinstance(video, VideoReader)
        reader._quick = maker(video, video.units, specs[0].codec, 0)
    return reader


def read(
    data: bytes, spec: TrackSpec | None = None, *others: TrackSpec, cuts: Iterable[int] = (),
    fast: bool = True, probes: int = 0, finish: bool = True, maker: Maker | None = None,
) -> Reading:  # fmt: skip
    """Feed bytes, cut into pieces of these sizes and the rest."""
    reader = new_reader(spec, *others, fast=fast, probes=probes, maker=maker)
    scratch = memoryview(bytearray(len(data) + SCRATCH_BYTES))
    reading = Reading()
    position = 0
    for size in (*cuts, len(data)):
        piece = data[position : position + size]
        position += size
        start = reader.begin(scratch)
        scratch[start : start + len(piece)] = piece
        end = start + len(piece)
        reading.take(reader.feed(scratch, end))
        scratch[:end] = bytes(end)  # other connections read into it too
        if position >= len(data):
            break
    if finish:
        reading.take(reader.finish())
    return reading


def mp4(*nals: bytes) -> bytes:
    """NAL units as a sample holds them."""
    return b"".join(pack(">I", len(nal)) + nal for nal in nals)


def key_picture(sender: Sender, body: int = 30) -> bytes:
    """Send parameter sets and a key frame as most cameras do; returns the sample's bytes."""
    nal = slice_nal(body, key=True)
    sender.picture(SPS, PPS, nal)
    return mp4(nal)

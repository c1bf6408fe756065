"""Who joins a live stream in the midst of a picture has lost nothing."""

from __future__ import annotations

from struct import pack

import pytest

from khupho.media import h264
from khupho.media.formats import Codec
from khupho.wire.rtp.datagram_reader import DatagramReader
from khupho.wire.rtp.track_spec import TrackSpec

FORMAT = h264.video_format(bytes.fromhex("67640033ace802800b59"), bytes.fromhex("68ee3c30"))
KEY, OTHER = b"\x65\x88" + bytes(range(90, 130)), b"\x41\x9a" + bytes(range(90, 130))
MIDDLE_OF_A_PICTURE, END_OF_A_PICTURE = b"\x7c\x05 middle", b"\x7c\x45 end"


def packet(sequence: int, timestamp: int, payload: bytes) -> bytes:
    marker = payload is not MIDDLE_OF_A_PICTURE
    return pack(">BBHII", 0x80, 96 | marker << 7, sequence, timestamp, 7) + payload


@pytest.mark.parametrize(
    ("packets", "lost"),
    [
        ([(1, 0, MIDDLE_OF_A_PICTURE), (2, 0, END_OF_A_PICTURE), (3, 3600, KEY)], [0, 0]),
        ([(1, 0, OTHER), (3, 3600, KEY)], [0, 0]),
        ([(1, 0, KEY), (3, 3600, KEY)], [0, 1, 0]),
    ],
    ids=["fragments without a beginning", "lost before the first key frame", "lost after it"],
)
def test_packets_lost_before_the_first_sample(
    packets: list[tuple[int, int, bytes]], lost: list[int]
):
    spec = TrackSpec("video", Codec.H264, frozenset({96}), 90_000, format=FORMAT)
    reader = DatagramReader({0: spec}, {})
    last, timestamp, _ = packets[-1]
    for sequence, time, payload in [*packets, (last + 1, timestamp + 3600, OTHER)]:
        reader.put(0, packet(sequence, time, payload), 0)
    batches = [batch for _, batch in reader.take(10_000_000).batches + reader.finish().batches]
    assert [sample.lost_packets for batch in batches for sample in batch.samples] == lost

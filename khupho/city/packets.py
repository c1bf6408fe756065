"""A clip as RTP packets, made once and shared by all sessions that send it.

Layout: one buffer holds the packets of the whole clip one after another as interleaved frames
(RFC 2326 section 10.12), with sequence number, timestamp and SSRC left open. A session writes its own
into the part it is about to send; the kernel copies them out within the same call, so no copy of a
clip is made for anybody. One thread only may send from one track.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from struct import Struct

from khupho.city.clip import Clip
from khupho.media.formats import Codec

PAYLOAD_TYPE = 96
INTERLEAVED_BYTES = 4
RTP_HEADER_BYTES = 12
MAX_PAYLOAD_BYTES = 1388
"""So that an RTP packet has 1,400 bytes and fits any Ethernet with IP, UDP and a tunnel."""

OPEN_FIELDS = Struct(">HII")
"""Sequence number, timestamp and SSRC: what a session writes at `PacketTrack.patch_offsets`."""
PATCH_OFFSET = INTERLEAVED_BYTES + 2

_FRAME = Struct(">cBHBBHII")
_FU_A = 28
_FU_H265 = 49


class PacketTrack:
    """The packets of one clip. Lists are indexed by access unit unless said otherwise."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.duration_90k = clip.duration_90k
        self.pts_90k = [unit.pts_90k for unit in clip.units]
        self.dts_90k = [unit.dts_90k for unit in clip.units]
        self.key_units = [n for n, unit in enumerate(clip.units) if unit.is_key]
        self.starts: list[int] = [0]
        """Where each unit begins in the buffer; one more than units."""
        self.patch_offsets: list[tuple[int, ...]] = []
        """Where the open fields of each packet of the unit lie."""
        self.parameter_set_packets: list[int] = []
        """How many of the unit's first packets carry nothing but parameter sets."""
        data = bytearray()
        packet_counts, octets = [0], [0]
        for unit in clip.units:
            parameter_sets = clip.format.parameter_sets if unit.is_key else ()
            before = len(data)
            offsets: list[int] = []
            nals = parameter_sets + unit.nals
            for n, nal in enumerate(nals):
                for payload, is_last in _payloads(clip.format.codec, nal):
                    offsets.append(len(data) + PATCH_OFFSET)
                    marker = 0x80 if is_last and n == len(nals) - 1 else 0
                    size = RTP_HEADER_BYTES + len(payload)
                    data += _FRAME.pack(b"$", 0, size, 0x80, marker | PAYLOAD_TYPE, 0, 0, 0)
                    data += payload
            self.patch_offsets.append(tuple(offsets))
            self.parameter_set_packets.append(len(parameter_sets))
            self.starts.append(len(data))
            packet_counts.append(len(offsets))
            header_bytes = INTERLEAVED_BYTES + RTP_HEADER_BYTES
            octets.append(len(data) - before - len(offsets) * header_bytes)
        self.packets_before = list(accumulate(packet_counts))
        """Packets of the clip before each unit; one more than units."""
        self.octets_before = list(accumulate(octets))
        """Payload bytes before each unit; one more than units."""
        self.buffer = data
        self.view = memoryview(data)

    def __len__(self) -> int:
        return len(self.pts_90k)

    @property
    def key_interval_90k(self) -> int:
        """From the first key frame to the second; the clip's length if it has one only."""
        if len(self.key_units) < 2:
            return self.duration_90k
        return self.dts_90k[self.key_units[1]] - self.dts_90k[self.key_units[0]]

    def packet_spans(self, unit: int) -> list[tuple[int, int]]:
        """Begin and end in the buffer of each packet of a unit, interleaved header included."""
        begins = [offset - PATCH_OFFSET for offset in self.patch_offsets[unit]]
        ends = [*begins[1:], self.starts[unit + 1]]
        return list(zip(begins, ends, strict=True))


def _payloads(codec: Codec, nal: bytes) -> Iterator[tuple[bytes, bool]]:
    """RTP payloads of one NAL unit, each with whether it is the last.

    A single NAL unit packet, or fragmentation units: RFC 6184 sections 5.6 and 5.8, RFC 7798
    sections 4.4.1 and 4.4.3.
    """
    if len(nal) <= MAX_PAYLOAD_BYTES:
        yield nal, True
        return
    if codec is Codec.H264:
        header = bytes((nal[0] & 0xE0 | _FU_A,))
        kind, offset = nal[0] & 0x1F, 1
    else:
        header = bytes((nal[0] & 0x81 | _FU_H265 << 1, nal[1]))
        kind, offset = nal[0] >> 1 & 0x3F, 2
    room = MAX_PAYLOAD_BYTES - len(header) - 1
    begin = offset
    while offset < len(nal):
        piece = nal[offset : offset + room]
        flags = (0x80 if offset == begin else 0) | (0x40 if offset + room >= len(nal) else 0)
        offset += room
        yield header + bytes((flags | kind,)) + piece, offset >= len(nal)

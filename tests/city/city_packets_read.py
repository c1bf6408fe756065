"""Takes apart what a simulated camera sent, by code that shares nothing with it."""

from __future__ import annotations

from typing import NamedTuple


class Rtp(NamedTuple):
    channel: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool
    payload: bytes


def interleaved(data: bytes) -> tuple[list[Rtp], list[bytes], int]:
    """RTP packets, RTCP packets, and bytes left over at the end."""
    rtp: list[Rtp] = []
    rtcp: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        assert data[at] == 0x24, f"no $ at byte {at}"
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 + size > len(data):
            break
        packet = data[at + 4 : at + 4 + size]
        if data[at + 1] % 2:
            rtcp.append(packet)
        else:
            rtp.append(rtp_packet(packet, data[at + 1]))
        at += 4 + size
    return rtp, rtcp, len(data) - at


def rtp_packet(packet: bytes, channel: int = 0) -> Rtp:
    assert packet[0] == 0x80
    assert packet[1] & 0x7F == 96
    return Rtp(
        channel,
        int.from_bytes(packet[2:4], "big"),
        int.from_bytes(packet[4:8], "big"),
        int.from_bytes(packet[8:12], "big"),
        bool(packet[1] & 0x80),
        packet[12:],
    )


def nal_units(payloads: list[bytes], codec: str) -> list[bytes]:
    """RFC 6184 and RFC 7798 depacketizing of one access unit, single NAL units and FU only."""
    units: list[bytes] = []
    for payload in payloads:
        if codec == "h264":
            is_fragment, header_bytes = payload[0] & 0x1F == 28, 1
            header = bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
        else:
            is_fragment, header_bytes = payload[0] >> 1 & 0x3F == 49, 2
            header = bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]))
        if not is_fragment:
            units.append(payload)
            continue
        flags = payload[header_bytes]
        if flags & 0x80:
            units.append(header)
        units[-1] += payload[header_bytes + 1 :]
    return units


def access_units(packets: list[Rtp]) -> list[list[Rtp]]:
    """Packets grouped by timestamp."""
    groups: list[list[Rtp]] = []
    for packet in packets:
        if not groups or groups[-1][0].timestamp != packet.timestamp:
            groups.append([])
        groups[-1].append(packet)
    return groups

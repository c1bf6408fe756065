"""A depacketizer that works only where nothing is lost or odd; written apart from the real one."""

from __future__ import annotations

from struct import unpack

from khupho.media.formats import Codec

_LEFT_OUT = {Codec.H264: {7, 8, 9, 12}, Codec.H265: {32, 33, 34, 35, 38}}


def access_units(packets: list[bytes], codec: Codec) -> list[tuple[int, bytes]]:
    """Timestamp and bytes, with lengths, of each access unit; all packets are of one stream."""
    by_time: dict[int, list[bytes]] = {}
    open_nal = b""
    for packet in packets:
        _flags, _kind, _sequence, timestamp, _ssrc = unpack(">BBHII", packet[:12])
        nals = by_time.setdefault(timestamp, [])
        payload = packet[12:]
        if codec is Codec.H264 and payload[0] & 31 == 28:
            if payload[1] >= 128:
                open_nal = bytes([payload[0] & 0xE0 | payload[1] & 31])
            open_nal += payload[2:]
            if payload[1] & 64:
                nals.append(open_nal)
        elif codec is Codec.H265 and payload[0] >> 1 == 49:
            if payload[2] >= 128:
                open_nal = bytes([(payload[2] & 63) << 1, payload[1]])
            open_nal += payload[3:]
            if payload[2] & 64:
                nals.append(open_nal)
        else:
            nals.append(payload)
    kept = {}
    for timestamp, nals in by_time.items():
        kept[timestamp] = b"".join(
            len(nal).to_bytes(4, "big") + nal
            for nal in nals
            if (nal[0] & 31 if codec is Codec.H264 else nal[0] >> 1) not in _LEFT_OUT[codec]
        )
    return list(kept.items())

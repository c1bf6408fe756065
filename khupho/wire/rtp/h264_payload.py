"""H.264 payloads (RFC 6184 sections 5.6 to 5.8) taken apart into NAL units."""

from __future__ import annotations

from khupho.wire.rtp.access_units import AccessUnits

_STAP_A, _STAP_B, _MTAP16, _MTAP24, _FU_A, _FU_B = range(24, 30)
_START, _END = 0x80, 0x40
_FRONTS = {_STAP_A: (1, 0), _STAP_B: (3, 0), _MTAP16: (3, 2), _MTAP24: (3, 3)}
"""Of an aggregation packet: bytes before its units, and of each unit's timestamp offset.

STAP-B and MTAP begin with a decoding order number. It isn't needed: no camera interleaves NAL units.
"""


def take_h264(units: AccessUnits, payload: memoryview) -> None:
    """Hand one packet's payload to `units`. What cannot be read counts as a lost packet."""
    if not len(payload):
        return
    kind = payload[0] & 0x1F
    if kind in (_FU_A, _FU_B):
        _take_fragment(units, payload, 4 if kind == _FU_B else 2)
    elif kind in _FRONTS:
        _take_aggregate(units, payload, *_FRONTS[kind])
    else:
        # 0, 30 and 31 are undefined; 0 may be a start code (quirk 43).
        units.nal(payload)


def _take_fragment(units: AccessUnits, payload: memoryview, front: int) -> None:
    if len(payload) < 2:
        units.hole(1)
        return
    flags = payload[1]
    if flags & _START:
        header = bytes((payload[0] & 0xE0 | flags & 0x1F,))
        units.fragment_begins(header, payload[front:])
    else:
        # Only the first FU may be an FU-B; its type counts, whatever the others say (quirk 44).
        units.fragment_goes_on(payload[2:])
    if flags & _END:
        units.fragment_ends()


def _take_aggregate(units: AccessUnits, payload: memoryview, front: int, offset_bytes: int) -> None:
    position = front
    packet_timestamp = units.timestamp
    extra = offset_bytes + 1 if offset_bytes else 0
    while position < len(payload):
        begin = position + 2 + extra
        end = begin + int.from_bytes(payload[position : position + 2], "big")
        if begin > len(payload) or end > len(payload):
            units.hole(1)
            break
        if offset_bytes:
            offset = int.from_bytes(payload[begin - offset_bytes : begin], "big")
            units.timestamp = (packet_timestamp + offset) & 0xFFFFFFFF
        units.nal(payload[begin:end])
        position = end

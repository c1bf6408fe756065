"""H.265 payloads (RFC 7798 section 4.4) taken apart into NAL units (quirk 45)."""

from __future__ import annotations

from khupho.wire.rtp.access_units import AccessUnits

_AP, _FU, _PACI = 48, 49, 50
_START, _END = 0x80, 0x40
_HEADER_BYTES = 2
_DON_BYTES = 2


def take_h265(units: AccessUnits, payload: memoryview, has_don: bool) -> None:
    """Hand one packet's payload to `units`. What cannot be read counts as a lost packet.

    `has_don`: decoding order numbers stand in it; they aren't needed, no camera interleaves.
    """
    kind = payload[0] >> 1 & 0x3F if len(payload) else 0
    if kind == _PACI:
        payload = _inside_paci(payload)
        kind = payload[0] >> 1 & 0x3F if len(payload) else 0
        if kind == _PACI or len(payload) < _HEADER_BYTES:
            units.hole(1)
            return
    if len(payload) <= _HEADER_BYTES:
        if len(payload):
            units.hole(1)
    elif kind == _FU:
        _take_fragment(units, payload, has_don)
    elif kind == _AP:
        _take_aggregate(units, payload, has_don)
    elif has_don:
        units.nal(bytes(payload[:_HEADER_BYTES]) + payload[_HEADER_BYTES + _DON_BYTES :])
    else:
        units.nal(payload)


def _inside_paci(payload: memoryview) -> memoryview:
    """The payload that a PACI packet carries, with the header it would have by itself (4.4.4)."""
    if len(payload) < 4:
        return payload[:0]
    fields = int.from_bytes(payload[2:4], "big")
    kind, extension_bytes = fields >> 9 & 0x3F, fields >> 4 & 0x1F
    first = fields >> 8 & 0x80 | kind << 1 | payload[0] & 1
    return memoryview(bytes((first, payload[1])) + payload[4 + extension_bytes :])


def _take_fragment(units: AccessUnits, payload: memoryview, has_don: bool) -> None:
    flags = payload[_HEADER_BYTES]
    if flags & _START:
        header = bytes((payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]))
        front = _HEADER_BYTES + 1 + (_DON_BYTES if has_don else 0)
        units.fragment_begins(header, payload[front:])
    else:
        units.fragment_goes_on(payload[_HEADER_BYTES + 1 :])
    if flags & _END:
        units.fragment_ends()


def _take_aggregate(units: AccessUnits, payload: memoryview, has_don: bool) -> None:
    position = _HEADER_BYTES
    # DONL before the first unit, DOND, one byte, before each other (section 4.4.2).
    extra = _DON_BYTES if has_don else 0
    while position < len(payload):
        begin = position + extra + 2
        end = begin + int.from_bytes(payload[begin - 2 : begin], "big")
        if begin > len(payload) or end > len(payload):
            units.hole(1)
            return
        units.nal(payload[begin:end])
        position = end
        extra = 1 if has_don else 0

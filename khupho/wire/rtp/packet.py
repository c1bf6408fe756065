"""The RTP header (RFC 3550 section 5.1), read where it lies."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

HEADER_BYTES = 12
_HEADER = Struct(">BBHII").unpack_from
_EXTENSION = Struct(">2xH").unpack_from


class RtpHeader(NamedTuple):
    """One packet's header, and where its payload lies in the buffer."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    start: int
    end: int


def parse_header(buffer: memoryview, start: int, end: int) -> RtpHeader | None:
    """Read the packet in `buffer[start:end]`. None if it is no whole RTP packet of version 2.

    Contributing sources and a header extension are passed over, padding is taken off.
    """
    if end - start < HEADER_BYTES:
        return None
    flags, kind, sequence, timestamp, ssrc = _HEADER(buffer, start)
    if flags >> 6 != 2:
        return None
    payload = start + HEADER_BYTES + 4 * (flags & 0x0F)
    if flags & 0x10:
        if payload + 4 > end:
            return None
        payload += 4 + 4 * _EXTENSION(buffer, payload)[0]
    if flags & 0x20:
        padding = buffer[end - 1] if payload < end else 0
        if not padding:
            return None
        end -= padding
    if payload > end:
        return None
    return RtpHeader(kind > 127, kind & 0x7F, sequence, timestamp, ssrc, payload, end)

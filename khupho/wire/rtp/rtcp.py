"""RTCP (RFC 3550 section 6): what a camera reports, read tolerantly (quirk 52), and our own reports."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

SENDER_REPORT, RECEIVER_REPORT, DESCRIPTION, BYE = 200, 201, 202, 203
MAX_PACKETS = 32
"""Of one compound packet."""
_HEAD = Struct(">BBH").unpack_from
_SENDER = Struct(">IQI").unpack_from
_REPORT = Struct(">BBHIIIIIII").pack
_SOURCE_DESCRIPTION = Struct(">BBHI").pack
_CNAME = 1


class SenderReport(NamedTuple):
    """What ties a camera's media time to its own clock."""

    ssrc: int
    ntp: int
    """64-bit NTP timestamp; 0 if the camera has no clock."""
    timestamp: int
    """RTP timestamp of the same moment."""


class ReceiverReport(NamedTuple):
    """One report block (section 6.4.2)."""

    ssrc: int
    """Whose packets are reported on."""
    fraction_lost: int
    """In 256ths, since the last report."""
    lost: int
    """Since the beginning; negative after duplicates."""
    highest_extended: int
    jitter_ticks: int
    last_sender_report: int
    """The middle 32 bits of its NTP timestamp, 0 if there was none."""
    delay_65536: int
    """Since that one came, in 65,536ths of a second."""


def packets(compound: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body (from the SSRC on) of each packet, as far as they can be told."""
    position = 0
    for _ in range(MAX_PACKETS):
        if position + 4 > len(compound):
            return
        flags, kind, words = _HEAD(compound, position)
        if flags >> 6 != 2:
            return
        end = position + 4 + 4 * words
        # A wrong length costs what it hides, but not what stands before it.
        yield kind, compound[position + 4 : end]
        position = end


def sender_report(compound: bytes) -> SenderReport | None:
    """The first whole sender report, if there is one."""
    for kind, body in packets(compound):
        if kind == SENDER_REPORT and len(body) >= 16:
            return SenderReport(*_SENDER(body))
    return None


def receiver_report(own_ssrc: int, report: ReceiverReport, cname: str) -> bytes:
    """A compound packet: a receiver report with one block, and the SDES with our CNAME."""
    lost = max(-0x800000, min(0x7FFFFF, report.lost)) & 0xFFFFFF
    first = _REPORT(
        0x81,
        RECEIVER_REPORT,
        7,
        own_ssrc,
        report.ssrc,
        report.fraction_lost << 24 | lost,
        report.highest_extended,
        min(report.jitter_ticks, 0xFFFFFFFF),
        report.last_sender_report,
        min(report.delay_65536, 0xFFFFFFFF),
    )
    name = cname.encode()[:255]
    item = bytes((_CNAME, len(name))) + name + b"\0"
    item += bytes(-len(item) % 4)
    return first + _SOURCE_DESCRIPTION(0x81, DESCRIPTION, 1 + len(item) // 4, own_ssrc) + item

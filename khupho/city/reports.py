"""RTCP of a sending camera: sender reports with its name (RFC 3550 sections 6.4.1 and 6.5)."""

from __future__ import annotations

from struct import Struct

REPORT_INTERVAL_US = 5_000_000
"""The least interval of RFC 3550 section 6.2."""

_SENDER_REPORT = Struct(">BBHIQIII")
_DESCRIPTION = Struct(">BBHI")
_SR, _SDES, _CNAME = 200, 202, 1


def sender_report(
    ssrc: int, ntp: int, rtp_timestamp: int, packets: int, octets: int, cname: str
) -> bytes:
    """A compound packet: sender report without report blocks, then the SDES with the CNAME.

    `ntp` is a 64-bit NTP timestamp of the same moment as `rtp_timestamp`.
    """
    report = _SENDER_REPORT.pack(
        0x80, _SR, 6, ssrc, ntp, rtp_timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    )
    name = cname.encode()[:255]
    item = bytes((_CNAME, len(name))) + name + b"\0"
    item += bytes(-len(item) % 4)
    return report + _DESCRIPTION.pack(0x81, _SDES, 1 + len(item) // 4, ssrc) + item

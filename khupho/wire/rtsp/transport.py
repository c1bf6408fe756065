"""The Transport header (RFC 2326 section 12.39), as asked for and as devices answer it (quirk 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from khupho.wire.rtsp.errors import TransportRefused

_RANGE = re.compile(r"^\s*(\d{1,5})\s*(?:-\s*(\d{1,5}))?\s*$")
_ADDRESS = re.compile(r"^[\w.:%-]{1,255}$")


@dataclass(frozen=True, slots=True)
class TransportReply:
    """What the device says of one track's way. Fields that it left out or garbled are None."""

    interleaved: tuple[int, int] | None = None
    """Channels of RTP and RTCP, when both are 0 to 255."""
    server_ports: tuple[int, int] | None = None
    source: str | None = None
    ssrc: int | None = None
    multicast: bool = False
    """The device would send to a group, which nobody here listens to."""


def ask_interleaved(rtp_channel: int) -> str:
    """Ask for RTP over this connection."""
    return f"RTP/AVP/TCP;unicast;interleaved={rtp_channel}-{rtp_channel + 1}"


def ask_udp(rtp_port: int, rtcp_port: int) -> str:
    """Ask for RTP over UDP to these ports of ours."""
    return f"RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port}"


def parse_transport(header: str, *, interleaved: bool = False) -> TransportReply:
    """Read a reply's header. Never raises: what cannot be read is None.

    A device that names several ways means the first, or with `interleaved` the first that is.
    """
    ways = [_way(text) for text in header[:2_000].split(",")]
    return next((way for way in ways if interleaved and way.interleaved), ways[0])


def agreed_transport(header: str, *, over_udp: bool) -> TransportReply:
    """Read the answer to what was asked for. Raises `TransportRefused` if it means another way."""
    reply = parse_transport(header, interleaved=not over_udp)
    if reply.multicast and reply.interleaved is None:
        raise TransportRefused("The camera sends to a group only", where=header[:80])
    if over_udp and reply.interleaved is not None and reply.server_ports is None:
        raise TransportRefused("The camera insists on TCP", where=header[:80])
    if not over_udp and reply.interleaved is None and reply.server_ports is not None:
        raise TransportRefused("The camera insists on UDP", where=header[:80])
    return reply


def _way(text: str) -> TransportReply:
    fields: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        fields.setdefault(name.strip().lower(), value.strip().strip('"'))
    return TransportReply(
        interleaved=_pair(fields.get("interleaved", ""), 255),
        server_ports=_pair(fields.get("server_port", ""), 65_535),
        source=fields["source"] if _ADDRESS.match(fields.get("source", "")) else None,
        ssrc=_ssrc(fields.get("ssrc", "")),
        multicast="multicast" in fields and "unicast" not in fields,
    )


def _pair(text: str, most: int) -> tuple[int, int] | None:
    match = _RANGE.match(text)
    if match is None:
        return None
    first = int(match[1])
    # One id alone means that RTCP has the next one.
    second = int(match[2]) if match[2] is not None else first + 1
    return (first, second) if first <= most and second <= most and first != second else None


def _ssrc(text: str) -> int | None:
    # Hexadecimal by the RFC; Hikvision pads it with blanks instead of noughts (quirk 8), others
    # write 0x before it. A decimal one cannot be told apart: what the packets say counts (30).
    digits = text.replace(" ", "").lower().removeprefix("0x")
    try:
        return int(digits, 16) if 0 < len(digits) <= 8 and digits.isalnum() else None
    except ValueError:
        return None

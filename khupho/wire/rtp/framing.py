"""What stands between RTP and RTCP in an RTSP connection: replies, blanks, foreign frames, garbage.

Every search here runs over the caller's buffer where it lies and takes time linear in what it passes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from khupho.wire.rtp.packet import HEADER_BYTES
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.message import MAX_BODY_BYTES, MAX_HEAD_BYTES, MESSAGE_START, may_begin

FRAME_BYTES = 4
"""`$`, channel, length (RFC 2326 section 10.12)."""
MORE = -1
"""What stands here can only be told with more bytes."""

_DOLLAR = 0x24
_BLANKS = re.compile(rb"[\r\n \t\0]*")
_HEAD_END = re.compile(rb"\n\r*\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,9})")
_LONGEST_START = 16
_FIRST_BYTES = frozenset(b"$\r\n \t\0RTOASGHrh")
_KNOWN_HEADER_BYTES = 6
_LEAST_RTCP_BYTES = 8


def message_end(buffer: memoryview, begin: int, end: int) -> int:
    """Where the RTSP message that begins at `begin` ends, or `MORE`.

    Raises `RtspError` where it passes the bounds of any message.
    """
    head_end = _HEAD_END.search(buffer, begin, min(end, begin + MAX_HEAD_BYTES))
    if head_end is None:
        if end - begin >= MAX_HEAD_BYTES:
            raise RtspError("The device's reply has a head without end")
        return MORE
    length = _CONTENT_LENGTH.search(buffer, begin, head_end.start() + 1)
    body_bytes = int(length[1]) if length else 0
    if body_bytes > MAX_BODY_BYTES:
        raise RtspError("The device announces a body of an impossible length")
    message = head_end.end() + body_bytes
    return message if message <= end else MORE


def blanks_end(buffer: memoryview, begin: int, end: int) -> int:
    """Where the blanks that stand at `begin`, if any, end (quirk 29)."""
    match = _BLANKS.match(buffer, begin, end)
    return match.end() if match else begin


def may_follow(byte: int) -> bool:
    """Whether something that belongs in the connection begins with that byte."""
    return byte in _FIRST_BYTES


class Resync:
    """Finds, behind garbage, the next frame of a known channel or the next message (quirk 27)."""

    def __init__(self, rtp: Mapping[int, Collection[int]], rtcp: Collection[int]) -> None:
        """`rtp`: channels and their payload types; `rtcp`: channels of reports."""
        frames = [
            b"%b..[\x80-\xbf][%b]" % (_escaped(channel), _types(types))
            for channel, types in rtp.items()
        ]
        frames += [b"%b..[\x80-\xbf][\xc8-\xcf]" % _escaped(channel) for channel in rtcp]
        self._start = re.compile(
            b"\\$(?:" + b"|".join(frames) + b")|(?:" + MESSAGE_START.pattern + b")", re.S
        )
        self._rtp = frozenset(rtp)

    def next_start(self, buffer: memoryview, begin: int, end: int) -> tuple[int, bool]:
        """Where to go on at or behind `begin`, and whether a start stands there. Otherwise one may
        begin there, cut by `end`, or it is `end`."""
        position = begin
        while (match := self._start.search(buffer, position, end)) is not None:
            position = match.start()
            if buffer[position] != _DOLLAR or self._is_long_enough(buffer, position):
                return position, True
            position += 1
        return _cut_start(buffer, position, end), False

    def _is_long_enough(self, buffer: memoryview, position: int) -> bool:
        size_bytes = buffer[position + 2] << 8 | buffer[position + 3]
        least = HEADER_BYTES if buffer[position + 1] in self._rtp else _LEAST_RTCP_BYTES
        return size_bytes >= least


def _cut_start(buffer: memoryview, position: int, end: int) -> int:
    """The first byte from which a start, cut by `end`, may begin."""
    for index in range(max(position, end - _LONGEST_START), end):
        is_cut_frame = buffer[index] == _DOLLAR and end - index < _KNOWN_HEADER_BYTES
        if is_cut_frame or may_begin(bytes(buffer[index:end])):
            return index
    return end


def _escaped(byte: int) -> bytes:
    return b"\\x%02x" % byte


def _types(payload_types: Collection[int]) -> bytes:
    """Second bytes of RTP packets of these types, without and with a marker."""
    return b"".join(_escaped(t) + _escaped(t | 0x80) for t in sorted(payload_types))

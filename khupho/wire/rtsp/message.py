"""RTSP messages: read tolerantly, written strictly (RFC 2326 sections 4 to 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from khupho.wire.rtsp.errors import RtspError

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 128
MAX_BODY_BYTES = 256 * 1024
MAX_GARBAGE_BYTES = 256 * 1024
"""Bytes between messages that are passed over before the connection is given up."""
MAX_FRAMES_BYTES = 2 * 1024 * 1024
"""Media kept that came before the answer to PLAY."""

_STATUS_LINE = re.compile(
    rb"(RTSP|HTTP)/\d{1,3}(?:\.\d{1,3})?[ \t]+(\d{3})(?!\d)[ \t]*(.*)$", re.S | re.I
)
_REQUEST_LINE = re.compile(rb"([A-Z_]{3,20})[ \t]+(\S{1,2000})[ \t]+RTSP/\d{1,3}\.\d{1,3}[ \t]*$")
MESSAGE_START = re.compile(
    rb"(?i:RTSP|HTTP)/\d|(?:OPTIONS|ANNOUNCE|REDIRECT|SET_PARAMETER|GET_PARAMETER|TEARDOWN) "
)


_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in order of arrival; names are compared without case."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """The first field of that name, without surrounding blanks."""
        return next(self.all(name), default)

    def all(self, name: str) -> Iterator[str]:
        """Every field of that name, in order."""
        wanted = name.lower()
        return (value for key, value in self.fields if key == wanted)


@dataclass(frozen=True, slots=True)
class Reply:
    """A device's answer."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    is_http: bool = False
    """It answers in HTTP: a web server, or a device that takes no trouble over the difference."""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request that the device makes of us (OPTIONS, ANNOUNCE, REDIRECT, …)."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""


Message = Reply | ServerRequest


@dataclass(slots=True)
class MessageReader:
    """Takes bytes, gives messages. Interleaved binary data (`$`, section 10.12) is passed over, or
    with `keep_frames` kept for `rest()`: media may come before the answer to PLAY (quirk 25).

    Raises `RtspError` where the bounds are passed; nothing else.
    """

    _buffer: bytearray = field(default_factory=bytearray)
    _garbage_bytes: int = 0
    _frames: bytearray = field(default_factory=bytearray)
    keep_frames: bool = False
    skipped_frames: int = 0
    """Interleaved frames passed over or kept."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def rest(self) -> bytes:
        """Hand over the frames kept and whatever hasn't been read, and forget it."""
        rest = bytes(self._frames + self._buffer)
        self._frames.clear()
        self._buffer.clear()
        return rest

    def cut_reply(self) -> Reply | None:
        """A reply whose body is shorter than announced, with what of it came; None if its head is
        not whole. It stays unread: the rest may still come."""
        parsed = _parse(self._buffer, whole=False) if may_begin(self._buffer) else None
        return parsed[0] if parsed is not None and isinstance(parsed[0], Reply) else None

    def overhang(self) -> bytes:
        """Take what stands before the next message or frame: text beyond the announced length."""
        match = MESSAGE_START.search(self._buffer)
        ends = (match.start() if match else -1, self._buffer.find(b"$"))
        end = min((end for end in ends if end >= 0), default=len(self._buffer))
        text = bytes(self._buffer[:end])
        del self._buffer[:end]
        return text

    def next(self) -> Message | None:
        """The next whole message, or None until more bytes come."""
        while self._skip_to_message():
            parsed = _parse(self._buffer)
            if parsed is None:
                return None
            message, consumed = parsed
            del self._buffer[:consumed]
            if message is not None:
                self._garbage_bytes = 0
                return message
            self._count_garbage(consumed)
        return None

    def _skip_to_message(self) -> bool:
        """Pass over blanks, media and garbage. True once a message may begin at the front."""
        buffer = self._buffer
        while buffer:
            first = buffer[0]
            if first in b"\r\n \t\0":
                del buffer[: len(buffer) - len(buffer.lstrip(b"\r\n \t\0"))]
            elif first == 0x24:
                if len(buffer) < 4:
                    return False
                end = 4 + int.from_bytes(buffer[2:4], "big")
                if len(buffer) < end:
                    return False
                if self.keep_frames and len(self._frames) + end <= MAX_FRAMES_BYTES:
                    self._frames += buffer[:end]
                del buffer[:end]
                self.skipped_frames += 1
            elif may_begin(buffer):
                return True
            else:
                self._skip_garbage()
        return False

    def _skip_garbage(self) -> None:
        buffer = self._buffer
        dollar = buffer.find(b"$", 1)
        # No start is looked for past the next frame: else bytes full of `$` take quadratic time.
        match = MESSAGE_START.search(buffer, 1, dollar if dollar > 0 else len(buffer))
        if match:
            end = match.start()
        elif dollar > 0:
            end = dollar
        else:
            # A start that is cut by the end of what came so far is kept for the next bytes.
            end = max(1, len(buffer) - 16)
        del buffer[:end]
        self._count_garbage(end)

    def _count_garbage(self, size_bytes: int) -> None:
        self._garbage_bytes += size_bytes
        if self._garbage_bytes > MAX_GARBAGE_BYTES:
            raise RtspError(
                "The device sends bytes that are no RTSP",
                advice="Check that the address and port are those of its RTSP service",
            )


def may_begin(buffer: bytes | bytearray) -> bool:
    """Whether these bytes begin a message, or will with more of them."""
    head = bytes(buffer[:24])
    if MESSAGE_START.match(head):
        return True
    if len(buffer) >= 24:
        return False
    starts = (
        b"RTSP/",
        b"HTTP/",
        b"OPTIONS ",
        b"ANNOUNCE ",
        b"REDIRECT ",
        b"SET_PARAMETER ",
        b"GET_PARAMETER ",
        b"TEARDOWN ",
    )
    return any(start.startswith((head, head.upper())) for start in starts)


def _parse(buffer: bytearray, *, whole: bool = True) -> tuple[Message | None, int] | None:
    """A message and its length; (None, length) for a line that is none; None for more bytes, unless
    a body that is not `whole` will do."""
    lines: list[bytes] = []
    position = 0
    while True:
        end = buffer.find(b"\n", position, MAX_HEAD_BYTES)
        if end < 0:
            if len(buffer) >= MAX_HEAD_BYTES:
                raise RtspError(
                    "The device's reply has a head without end", where=f"byte {position}"
                )
            return None
        line = bytes(buffer[position:end]).rstrip(b"\r")
        position = end + 1
        if not line:
            break
        lines.append(line)
        if len(lines) > MAX_HEADERS:
            raise RtspError("The device's reply has too many header lines")
    headers = _headers(lines[1:])
    body_bytes = _content_length(headers)
    if len(buffer) < position + body_bytes and whole:
        return None
    body = bytes(buffer[position : position + body_bytes])
    consumed = position + body_bytes
    reply = _STATUS_LINE.match(lines[0])
    if reply:
        is_http = reply[1].upper() == b"HTTP"
        return Reply(int(reply[2]), _text(reply[3]), headers, body, is_http), consumed
    request = _REQUEST_LINE.match(lines[0])
    if request:
        return ServerRequest(_text(request[1]), _text(request[2]), headers, body), consumed
    return None, consumed


def _headers(lines: Sequence[bytes]) -> Headers:
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            # A folded line continues the one before; a blank one in the midst is nothing (quirk 16).
            if line.strip() and fields:
                fields[-1] = (fields[-1][0], f"{fields[-1][1]} {_text(line)}".strip())
        elif colon:
            key = _text(name).lower()
            # A challenge is echoed byte by byte, whatever its character set.
            strict = key != "www-authenticate"
            fields.append((key, _text(value, "replace" if strict else "surrogateescape")))
    return Headers(tuple(fields))


def _content_length(headers: Headers) -> int:
    text = headers.get("content-length").split(",")[0].strip()
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > MAX_BODY_BYTES:
        raise RtspError("The device announces a body of an impossible length", where=text[:40])
    return int(text)


def _text(raw: bytes, errors: str = "replace") -> str:
    return raw.decode("utf-8", errors).strip()


def request_bytes(
    method: str, url: str, sequence: int, headers: Sequence[tuple[str, str]], body: bytes = b""
) -> bytes:
    """A request as it goes over the wire. Raises `RtspError` for a value that would break a line."""
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {sequence}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if any(_CONTROL.search(line) for line in lines):
        raise RtspError("A header would hold a control character", where=method)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def reply_bytes(status: int, reason: str, request: ServerRequest) -> bytes:
    """Our answer to a request of the device; it echoes the sequence number and the session."""
    lines = [f"RTSP/1.0 {status} {reason}"]
    for name in ("CSeq", "Session"):
        value = request.headers.get(name)
        if value and value.isprintable():
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()

"""RTSP requests as a camera reads them, and its answers (RFC 2326 sections 4 to 7 and 10.12).

Pure: bytes in, requests out. Both what is held and what one request may fill are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from khupho.errors import Fault, KhuphoError

MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 64 << 10

REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
    405: "Method Not Allowed", 453: "Not Enough Bandwidth", 454: "Session Not Found",
    455: "Method Not Valid in This State", 461: "Unsupported Transport",
    500: "Internal Server Error", 503: "Service Unavailable", 505: "RTSP Version not supported",
}  # fmt: skip

_REQUEST_LINE = re.compile(r"([A-Z_]{1,32}) ([\x21-\x7e]{1,2048}) RTSP/([0-9.]{1,8})")


class RequestError(KhuphoError):
    """A client sent what is no RTSP request."""

    fault = Fault.NETWORK


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    method: str
    url: str
    headers: dict[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes = b""

    @property
    def cseq(self) -> str:
        return self.headers.get("cseq", "0")


class RequestReader:
    """Takes a client's bytes apart: requests, and between them interleaved frames (its RTCP)."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.interleaved_frames = 0
        """Interleaved frames that came in so far."""

    def feed(self, data: bytes) -> Iterator[Request]:
        """Every request complete by now. Raises `RequestError`; the connection must end then."""
        self._held += data
        while self._held:
            if self._held[0] == 0x24:
                if len(self._held) < 4:
                    return
                end = 4 + int.from_bytes(self._held[2:4], "big")
                if len(self._held) < end:
                    return
                self.interleaved_frames += 1
                del self._held[:end]
                continue
            if self._held[0] in b"\r\n":
                del self._held[:1]
                continue
            request = self._request()
            if request is None:
                return
            yield request

    def _request(self) -> Request | None:
        head_end = self._held.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if head_end < 0:
            if len(self._held) >= MAX_HEAD_BYTES:
                raise RequestError(f"A request's head is longer than {MAX_HEAD_BYTES} bytes")
            return None
        lines = self._held[:head_end].decode("utf-8", "replace").split("\r\n")
        match = _REQUEST_LINE.fullmatch(lines[0])
        if not match:
            raise RequestError("That is no RTSP request", where=repr(lines[0][:80]))
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise RequestError("A header has no colon", where=repr(line[:80]))
            headers[name.strip().lower()] = value.strip()
        length_text = headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,6}", length_text) or int(length_text) > MAX_BODY_BYTES:
            raise RequestError("A request's body is too long", where=repr(length_text[:20]))
        end = head_end + 4 + int(length_text)
        if len(self._held) < end:
            return None
        body = bytes(self._held[head_end + 4 : end])
        del self._held[:end]
        return Request(match[1], match[2], headers, body)


def response(
    status: int, cseq: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> bytes:
    """An answer. Its length is given when there is a body."""
    lines = [f"RTSP/1.0 {status} {REASONS[status]}", f"CSeq: {cseq}", "Server: khupho-city"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class WantedTransport:
    """One way of delivery that a SETUP offers."""

    is_tcp: bool
    ports: tuple[int, int]
    """Interleaved channels, or the client's UDP ports."""


_PORTS = re.compile(r"(?:interleaved|client_port)=([0-9]{1,5})(?:-([0-9]{1,5}))?")


def parse_transports(header: str) -> list[WantedTransport]:
    """What a `Transport` header offers, in its order; what isn't understood is left out."""
    wanted: list[WantedTransport] = []
    for option in header[:2048].split(","):
        fields = [part.strip() for part in option.split(";")]
        protocol = fields[0].upper()
        if protocol not in ("RTP/AVP", "RTP/AVP/UDP", "RTP/AVP/TCP") or "multicast" in fields:
            continue
        is_tcp = protocol.endswith("TCP")
        match = next((m for m in map(_PORTS.fullmatch, fields) if m), None)
        if match is None:
            if is_tcp:
                wanted.append(WantedTransport(True, (0, 1)))
            continue
        first = int(match[1])
        ports = first, int(match[2] or first + 1)
        if max(ports) <= (255 if is_tcp else 65535) and (is_tcp or min(ports) > 0):
            wanted.append(WantedTransport(is_tcp, ports))
    return wanted

"""A bare RTSP client for measurements: asks a simulated camera to play, and hands the socket over."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

_PATIENCE_S = 20.0


class CallError(Exception):
    """The camera did not play."""


def play(url: str) -> tuple[socket.socket, bytes]:
    """A connection over which RTP comes on channel 0, and what came behind the answer to PLAY.

    Only for `khupho city cameras`: one track, `trackID=0`, no login. Raises `CallError`, `OSError`.
    """
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "", parts.port or 554), _PATIENCE_S)
    try:
        _ask(sock, "DESCRIBE", url, 1, "Accept: application/sdp\r\n")
        transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        headers, _rest = _ask(sock, "SETUP", f"{url}/trackID=0", 2, transport)
        session = headers["session"].partition(";")[0]
        _headers, rest = _ask(sock, "PLAY", url, 3, f"Session: {session}\r\n")
    except BaseException:
        sock.close()
        raise
    return sock, rest


def _ask(
    sock: socket.socket, method: str, url: str, number: int, headers: str
) -> tuple[dict[str, str], bytes]:
    sock.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n{headers}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(sock, method)
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if not lines[0].startswith("RTSP/1.0 200"):
        raise CallError(f"{method} {url}: {lines[0]}")
    answered = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    body_bytes = int(answered.get("content-length", "0"))
    while len(rest) < body_bytes:
        rest += _receive(sock, method)
    return answered, rest[body_bytes:]


def _receive(sock: socket.socket, method: str) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise CallError(f"The camera hung up after {method}")
    return data

"""A bare RTSP client of test code: one blocking socket, answers as (status, headers, body)."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit


class RawClient:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.sock = socket.create_connection((parts.hostname, parts.port), 5)
        self.media = bytearray()
        self._cseq = 0
        self._session = ""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def ask(self, method: str, url: str | None = None, **headers: str):
        self._cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._cseq}"]
        if self._session:
            lines.append(f"Session: {self._session}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return self._answer()

    def _answer(self):
        data = b""
        while True:
            while data[:1] == b"$":
                while len(data) < 4 or len(data) < 4 + int.from_bytes(data[2:4], "big"):
                    data += self._receive()
                size = 4 + int.from_bytes(data[2:4], "big")
                self.media += data[:size]
                data = data[size:]
            if data[:1] != b"$" and b"\r\n\r\n" in data:
                break
            data += self._receive()
        head, _blank, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _colon, value = line.partition(":")
            headers[name.lower()] = value.strip()
        assert headers["cseq"] == str(self._cseq)
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += self._receive()
        body, more = rest[:length], rest[length:]
        self.media += more
        if "session" in headers:
            self._session = headers["session"].partition(";")[0]
        return int(re.match(r"RTSP/1.0 (\d+) ", lines[0])[1]), headers, body

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        return data

    def set_up(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1"):
        return self.ask("SETUP", self.url + "/trackID=0", Transport=transport)

    def play(self) -> None:
        assert self.set_up()[0] == 200
        assert self.ask("PLAY")[0] == 200

    def read_media(self, size_bytes: int) -> bytes:
        """Wait for so many bytes of media."""
        while len(self.media) < size_bytes:
            self.media += self._receive()
        return bytes(self.media)

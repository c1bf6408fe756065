"""A bare RTSP client that counts packets, for the relay's own tests."""

from __future__ import annotations

import re
import socket
import struct
import time
from urllib.parse import urlsplit


class RawPlayer:
    """Plays one stream over TCP or UDP and keeps the sequence numbers that came, in order of arrival."""

    def __init__(self, url: str, *, udp: bool = False) -> None:
        parts = urlsplit(url)
        self.url = url
        self.sequences: list[int] = []
        self.arrivals_s: list[float] = []
        self.is_over = False
        self._sock = socket.create_connection((parts.hostname, parts.port), 5)
        self._datagrams = _pair() if udp else ()
        self._data = bytearray()
        self._cseq = 0
        self._session = ""
        if udp:
            ports = [sock.getsockname()[1] for sock in self._datagrams]
            transport = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]}"
        else:
            transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        self._ask("SETUP", url + "/trackID=0", f"Transport: {transport}\r\n")
        self._ask("PLAY", url)
        for _ in range(100):  # a camera begins with its next key frame
            if not self.sequences:
                self.play(0.05)
        assert self.sequences

    def _ask(self, method: str, url: str, headers: str = "") -> None:
        self._cseq += 1
        session = f"Session: {self._session}\r\n" if self._session else ""
        self._sock.sendall(
            f"{method} {url} RTSP/1.0\r\nCSeq: {self._cseq}\r\n{session}{headers}\r\n".encode()
        )
        while b"\r\n\r\n" not in self._data:
            data = self._sock.recv(65536)
            assert data
            self._data += data
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        assert head.startswith(b"RTSP/1.0 200"), head
        found = re.search(rb"Session: (\w+)", head)
        if found:
            self._session = found[1].decode()
        self._data = bytearray(rest)

    def play(self, seconds: float) -> None:
        """Take what comes for so long, or until the connection ends."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not self.is_over:
            sock = self._datagrams[0] if self._datagrams else self._sock
            sock.settimeout(max(end_s - time.monotonic(), 0.001))
            try:
                data = sock.recv(65536)
            except TimeoutError:
                return
            except ConnectionError:
                self.is_over = True
                return
            if self._datagrams:
                self._take(data)
            elif not data:
                self.is_over = True
            else:
                self._data += data
                self._take_frames()

    def _take_frames(self) -> None:
        data = self._data
        while len(data) >= 4:
            assert data[0] == 0x24
            size = 4 + int.from_bytes(data[2:4], "big")
            if len(data) < size:
                return
            if data[1] == 0:
                self._take(bytes(data[4:size]))
            del data[:size]

    def _take(self, packet: bytes) -> None:
        self.sequences.append(struct.unpack_from(">H", packet, 2)[0])
        self.arrivals_s.append(time.monotonic())

    def close(self) -> None:
        for sock in (self._sock, *self._datagrams):
            sock.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    while True:
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            first.bind(("127.0.0.1", 0))
            if first.getsockname()[1] % 2 == 0:
                second.bind(("127.0.0.1", first.getsockname()[1] + 1))
                return first, second
        except OSError:
            pass
        first.close()
        second.close()

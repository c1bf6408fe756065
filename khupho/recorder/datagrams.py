"""The UDP sockets of one session: even and odd ports in pairs, and only the camera is listened to."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

from khupho.errors import Fault
from khupho.recorder.connect import ConnectError

MAX_DATAGRAM_BYTES = 65_536
"""Some cameras send RTP packets of 10,000 bytes (quirk 32)."""
RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
_LOWEST_PORT, _HIGHEST_PORT = 20_000, 60_000
_TRIES = 200
_MOST_AT_ONCE = 512


@dataclass(slots=True)
class DatagramSockets:
    """Pairs of RTP and RTCP sockets. Index 2n is pair n's RTP, 2n+1 its RTCP."""

    sockets: list[socket.socket]
    camera: str
    ports: tuple[tuple[int, int], ...]
    strangers: int = 0
    """Datagrams that came from somebody else and were thrown away."""

    @classmethod
    def open(cls, control: socket.socket, *, pairs: int) -> DatagramSockets:
        """Bind `pairs` pairs on the address that the control connection uses. Raises `ConnectError`."""
        local = control.getsockname()[0]
        camera = control.getpeername()[0]
        sockets: list[socket.socket] = []
        ports: list[tuple[int, int]] = []
        try:
            for _ in range(pairs):
                pair = _bind_pair(control.family, local)
                sockets += pair
                ports.append((pair[0].getsockname()[1], pair[1].getsockname()[1]))
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return cls(sockets, camera, tuple(ports))

    def receive(self, index: int, take: Callable[[int, bytes], None]) -> None:
        """Hand over what has come to one socket; a bounded number at once, never blocking."""
        sock = self.sockets[index]
        for _ in range(_MOST_AT_ONCE):
            try:
                data, sender = sock.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:
                    continue  # an ICMP answer to a report of ours
                raise
            if sender[0] != self.camera:
                self.strangers += 1
                continue
            take(index, data)

    def send(self, index: int, data: bytes, port: int) -> None:
        """Send a report to the camera's port; a lost one is no matter."""
        try:
            self.sockets[index].sendto(data, (self.camera, port))
        except OSError:
            return

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def _bind_pair(family: int, local: str) -> list[socket.socket]:
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST_PORT, _HIGHEST_PORT, 2)
        pair: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                sock = socket.socket(family, socket.SOCK_DGRAM)
                pair.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                sock.bind((local, number))
        except OSError as error:
            for sock in pair:
                sock.close()
            if error.errno != errno.EADDRINUSE:
                raise ConnectError(
                    f"No UDP port can be opened: {error.strerror}", fault=Fault.KHUPHO
                ) from error
        else:
            return pair
    raise ConnectError("No pair of UDP ports is free on this machine", fault=Fault.KHUPHO)

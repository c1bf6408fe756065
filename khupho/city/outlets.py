"""How a session's bytes leave: over its RTSP connection, or as datagrams. Never more than bounded."""

from __future__ import annotations

import contextlib
import socket

from khupho.city.packets import INTERLEAVED_BYTES

SEND_BUFFER_BYTES = 512 << 10
MAX_WAITING_BYTES = 4 << 20


class TcpOutlet:
    """One connection's way out, shared by RTSP answers, RTP and RTCP, so that none cuts another."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting = b""
        self.is_broken = False

    @property
    def waiting_bytes(self) -> int:
        """What the kernel had no room for: the rest of one batch, and answers."""
        return len(self._waiting)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send, and keep what the kernel has no room for. A reader far too slow is cut off."""
        if self._waiting:
            if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
                self.is_broken = True
                return
            self._waiting += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_broken = True
            return
        if sent < len(data):
            self._waiting = bytes(data[sent:])

    def flush(self) -> bool:
        """Try to send what waits. True if nothing waits any more."""
        waiting, self._waiting = self._waiting, b""
        if waiting:
            self.send(waiting)
        return not self._waiting


class UdpOutlet:
    """RTP and RTCP as datagrams from a pair of ports of its own, as a camera does."""

    def __init__(self, local_host: str, client_host: str, client_ports: tuple[int, int]) -> None:
        self.rtp, self.rtcp = _port_pair(local_host)
        self._rtp_address = (client_host, client_ports[0])
        self._rtcp_address = (client_host, client_ports[1])
        self.refused_datagrams = 0

    @property
    def ports(self) -> tuple[int, int]:
        """The server's ports for RTP and RTCP."""
        return self.rtp.getsockname()[1], self.rtcp.getsockname()[1]

    def send_packet(self, interleaved: bytes | memoryview) -> None:
        """Send one RTP packet, given as an interleaved frame. A full queue loses it, as UDP does."""
        try:
            self.rtp.sendto(interleaved[INTERLEAVED_BYTES:], self._rtp_address)
        except OSError:
            self.refused_datagrams += 1

    def send_report(self, packet: bytes) -> None:
        """Send one RTCP packet."""
        try:
            self.rtcp.sendto(packet, self._rtcp_address)
        except OSError:
            self.refused_datagrams += 1

    def drain(self) -> bool:
        """Read away what the client sent (RTCP, hole punching). True if there was anything."""
        heard = False
        for sock in (self.rtp, self.rtcp):
            with contextlib.suppress(OSError):
                for _ in range(16):
                    sock.recv(2048)
                    heard = True
        return heard

    def close(self) -> None:
        """Give the ports back."""
        self.rtp.close()
        self.rtcp.close()


def _port_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on an even port and the next one (RFC 3550 section 11)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(64):
        rtp = socket.socket(family, socket.SOCK_DGRAM)
        rtcp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            rtp.bind((host, 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                for sock in (rtp, rtcp):
                    sock.setblocking(False)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise OSError("no free pair of UDP ports")

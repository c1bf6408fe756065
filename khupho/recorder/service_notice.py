"""Telling systemd how it goes: the sd_notify protocol (sd_notify(3)), a datagram to NOTIFY_SOCKET."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from khupho.units import US_PER_S


class ServiceNotice:
    """Says `READY=1`, `WATCHDOG=1` and the like; says nothing where nobody listens."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        wanted = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", "") in ("", str(pid))
        self.watchdog_us = int(wanted) if wanted.isascii() and wanted.isdigit() and meant else 0
        """The service is ended if it is silent for so long; 0: nobody watches."""

    @property
    def heartbeat_s(self) -> float:
        """How often to say that all is well: thrice in the time allowed."""
        return self.watchdog_us / 3 / US_PER_S

    def say(self, *lines: str) -> None:
        """Send a notice; a listener that has gone is no matter."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return

"""What systemd is told."""

from __future__ import annotations

import socket
from pathlib import Path

from khupho.recorder.service_notice import ServiceNotice


def test_notices_reach_the_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        ServiceNotice({"NOTIFY_SOCKET": str(tmp_path / "notify")}, 7).say("READY=1", "STATUS=well")
        assert listener.recv(1000) == b"READY=1\nSTATUS=well"


def test_an_abstract_socket_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the kernel chooses an abstract name
        listener.settimeout(5)
        name = listener.getsockname()[1:].decode()
        ServiceNotice({"NOTIFY_SOCKET": f"@{name}"}, 7).say("WATCHDOG=1")
        assert listener.recv(1000) == b"WATCHDOG=1"


def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    ServiceNotice({}, 7).say("READY=1")
    ServiceNotice({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 7).say("READY=1")


def test_the_heartbeat_is_three_times_as_quick_as_asked_and_only_for_us() -> None:
    asked = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    assert ServiceNotice(asked, 7).heartbeat_s == 10
    assert ServiceNotice(asked, 8).watchdog_us == 0
    assert ServiceNotice({"WATCHDOG_USEC": "soon"}, 7).watchdog_us == 0

"""One session of one camera, its clock turned by hand: no socket, no sleep."""

from __future__ import annotations

import random

from khupho.city.camera import Camera, Stream
from khupho.city.camera_clock import CameraClock
from khupho.city.faults import parse_fault
from khupho.city.login import LoginCheck, LoginScheme
from khupho.city.packets import PacketTrack
from khupho.city.session import Pacing, Session
from khupho.city.spoiled_sending import send_due_spoiled
from khupho.clock import ManualClock


class HeldTcp:
    """Takes everything, unless it is told to be full."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.sends: list[tuple[int, int]] = []
        self.is_full = False
        self.waiting = b""
        self.clock: ManualClock | None = None

    @property
    def waiting_bytes(self) -> int:
        return len(self.waiting)

    def send(self, data) -> None:
        if self.is_full:
            self.waiting += bytes(data)
            return
        self.sends.append((self.clock.mono_us(), len(data)))
        self.data += data

    def flush(self) -> bool:
        if not self.is_full:
            self.data += self.waiting
            self.waiting = b""
        return not self.waiting


class HeldUdp:
    refused_datagrams = 0

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def send_packet(self, interleaved) -> None:
        self.packets.append(bytes(interleaved[4:]))

    def send_report(self, packet) -> None:
        pass

    def drain(self) -> bool:
        return True

    def close(self) -> None:
        pass


class HandDriven:
    """`run(seconds)` lets time pass; `fault(text)` is as on the command line."""

    def __init__(self, clip, other=None, *, burst_ms=40, drops=True, udp=False, channels=(0, 1)):
        self.clock = ManualClock()
        other_track = PacketTrack(other) if other else None
        stream = Stream("main", PacketTrack(clip), other_track)
        self.camera = Camera(
            "camera-0001", [stream], CameraClock(0), LoginCheck(LoginScheme.NONE, "", "")
        )
        self.camera.faults.rng = random.Random(7)
        self.tcp = HeldTcp()
        self.tcp.clock = self.clock
        self.udp = HeldUdp() if udp else None
        pacing = Pacing(burst_ms * 1000, drops, 60_000_000)
        self.session = Session(
            self.camera, stream, self.clock, pacing, self.tcp, self.udp, channels
        )
        self.truth = self.session.truth
        self._next_us = self.session.begin(0)

    def fault(self, kind_and_value: str) -> None:
        self.camera.apply(parse_fault(f"camera-0001:{kind_and_value}"), self.clock.mono_us())

    def run(self, seconds: float) -> None:
        end_us = self.clock.mono_us() + round(seconds * 1e6)
        while self._next_us <= end_us:
            self.clock.advance(max(self._next_us - self.clock.mono_us(), 0))
            now_us = self.clock.mono_us()
            spoiled = self.camera.faults.spoils_sending
            send = send_due_spoiled if spoiled else Session.send_due
            self._next_us = send(self.session, now_us)
            assert self._next_us > now_us
        self.clock.advance(end_us - self.clock.mono_us())

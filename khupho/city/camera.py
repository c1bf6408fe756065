"""One simulated camera: its clock, its streams, its faults, and what it sent."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from khupho.city.camera_clock import CameraClock
from khupho.city.faults import FaultKind, Faults, FaultSpec, FaultSpecError
from khupho.city.login import LoginCheck
from khupho.city.packets import PacketTrack
from khupho.city.truth import SessionTruth
from khupho.units import MEDIA_CLOCK_HZ, US_PER_S

KEPT_TRUTHS = 64


@dataclass(frozen=True, slots=True)
class Position:
    """A picture on a stream's line."""

    number: int
    clip_unit: int
    round_start_90k: int


class Stream:
    """A camera's main or sub stream: a clip that has been running since the camera was switched on."""

    def __init__(self, name: str, track: PacketTrack, other: PacketTrack | None) -> None:
        self.name = name
        self.track = track
        self._other = other
        self._origin_90k = 0
        self._first_number = 0

    def restart(self) -> None:
        """As after switching on: the line begins at 0 again."""
        self._origin_90k = self._first_number = 0

    def next_key(self, now_90k: int) -> Position:
        """The next key frame to be sent at or after a moment of the camera's time."""
        track = self.track
        round_number, rest_90k = divmod(max(now_90k - self._origin_90k, 0), track.duration_90k)
        key_times = [track.dts_90k[unit] for unit in track.key_units]
        key = bisect_left(key_times, rest_90k)
        if key == len(key_times):
            round_number, key = round_number + 1, 0
        unit = track.key_units[key]
        return Position(
            self._first_number + round_number * len(track) + unit,
            unit,
            self._origin_90k + round_number * track.duration_90k,
        )

    def begin(self) -> Position:
        """The first picture after the last change of track."""
        return Position(self._first_number, 0, self._origin_90k)

    def change(self, now_90k: int) -> None:
        """Go on with the other clip from the next picture on. Raises `FaultSpecError` if there is none."""
        if self._other is None:
            raise FaultSpecError(
                "There is no other video to change to",
                where=self.name,
                advice="Give one with --other-video",
            )
        track = self.track
        if now_90k >= self._origin_90k:
            round_number, rest_90k = divmod(now_90k - self._origin_90k, track.duration_90k)
            unit = bisect_right(track.dts_90k, rest_90k)
            self._first_number += round_number * len(track) + unit
            self._origin_90k += round_number * track.duration_90k + (
                track.dts_90k[unit] if unit < len(track) else track.duration_90k
            )
        self.track, self._other = self._other, self.track


class Camera:
    """A camera. `connections` and `sessions` are kept by the server."""

    def __init__(
        self, name: str, streams: Iterable[Stream], clock: CameraClock, login: LoginCheck
    ) -> None:
        self.name = name
        self.streams = {stream.name: stream for stream in streams}
        self.clock = clock
        self.login = login
        self.faults = Faults(random.Random(name))
        self.rtp_jump_90k = 0
        """By how much the timestamps of running sessions have jumped in all."""
        self.timestamps_from_zero = False
        """After a reboot, RTP timestamps are the time since then."""
        self.truths: deque[SessionTruth] = deque(maxlen=KEPT_TRUTHS)
        """Of the last sessions, running ones included; the newest is last."""

    def apply(self, spec: FaultSpec, now_us: int) -> None:
        """Take a fault on. Raises `FaultSpecError` where this camera cannot have it."""
        match spec.kind:
            case FaultKind.CLEAR:
                self.faults.clear()
                self.clock.set_drift(0, now_us)
            case FaultKind.DRIFT:
                self.clock.set_drift(int(spec.value), now_us)
            case FaultKind.JUMP:
                self.rtp_jump_90k += round(spec.value * MEDIA_CLOCK_HZ)
            case FaultKind.CHANGE:
                self.streams["main"].change(self.clock.now_90k(now_us))
            case FaultKind.STALE_NONCE:
                self.login.forget_nonce()
            case FaultKind.REBOOT:
                self._reboot(now_us + round(spec.value * US_PER_S))
            case _:
                self.faults.set(spec, now_us)

    def _reboot(self, until_us: int) -> None:
        self.faults.rebooting_until_us = until_us
        self.clock = CameraClock(until_us)
        self.timestamps_from_zero = True
        for stream in self.streams.values():
            stream.restart()

    def is_rebooting(self, now_us: int) -> bool:
        """Whether it refuses everything."""
        return now_us < self.faults.rebooting_until_us

    def is_half_open(self, now_us: int) -> bool:
        """Whether it neither reads nor writes."""
        return now_us < self.faults.half_open_until_us

    def refuses_logins(self, now_us: int) -> bool:
        """Whether no login is right."""
        return now_us < self.faults.wrong_password_until_us

"""Faults on demand: what they are called, how they are written, and which of them a camera has now.

A fault is written `CAMERAS:KIND` or `CAMERAS:KIND=VALUE`, with `@SECONDS` behind it to let it begin so
long after the start: `camera-0003:drop=0.01`, `camera-*:reboot=20@60`. CAMERAS is a name or a shell
pattern of names.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from enum import Enum

from khupho.errors import Fault, KhuphoError
from khupho.units import MEDIA_CLOCK_HZ, US_PER_S

FOREVER_US = 1 << 62
MAX_GARBAGE_BYTES = 1 << 20


class FaultSpecError(KhuphoError):
    """A fault is not written as it must be."""

    fault = Fault.USER


class FaultKind(Enum):
    """Everything that a camera can be made to do wrong."""

    DROP = "drop"
    DROP_NEXT = "drop-next"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    GARBAGE = "garbage"
    STALL = "stall"
    JUMP = "jump"
    GLITCH = "glitch"
    NO_SPROP = "no-sprop"
    NO_PARAMETER_SETS = "no-parameter-sets"
    CHANGE = "change"
    REBOOT = "reboot"
    HALF_OPEN = "half-open"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a fault's name
    STALE_NONCE = "stale-nonce"
    HANG_UP = "hang-up"
    DRIFT = "drift"
    CLEAR = "clear"


MEANINGS = {
    FaultKind.DROP: "lose each RTP packet with this probability",
    FaultKind.DROP_NEXT: "lose the next so many RTP packets",
    FaultKind.DUPLICATE: "send each RTP packet twice with this probability",
    FaultKind.REORDER: "UDP: swap each packet with the next one with this probability",
    FaultKind.GARBAGE: "so many bytes of rubbish between two interleaved frames, once",
    FaultKind.STALL: "make no picture for so many seconds (0: until cleared)",
    FaultKind.JUMP: "RTP timestamps jump by so many seconds (may be negative) and stay there",
    FaultKind.GLITCH: "the next picture's RTP timestamp alone is wrong by so many seconds",
    FaultKind.NO_SPROP: "the SDP says nothing about parameter sets",
    FaultKind.NO_PARAMETER_SETS: "no parameter sets in band for so many seconds (0: until cleared)",
    FaultKind.CHANGE: "change to the other picture size and parameter sets, at once",
    FaultKind.REBOOT: "end all connections, refuse new ones for so many seconds, begin anew at 0",
    FaultKind.HALF_OPEN: "read and write nothing, close nothing, for so many seconds (0: for good)",
    FaultKind.WRONG_PASSWORD: "refuse every login for so many seconds (0: until cleared)",
    FaultKind.STALE_NONCE: "Digest: what clients were asked with counts no longer",
    FaultKind.HANG_UP: "close the connection after asking for the password",
    FaultKind.DRIFT: "the camera's clock gains so many microseconds a second (ppm)",
    FaultKind.CLEAR: "no fault any more",
}

_PROBABILITIES = {FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.REORDER}
_WITHOUT_VALUE = {
    FaultKind.NO_SPROP, FaultKind.CHANGE, FaultKind.STALE_NONCE,
    FaultKind.HANG_UP, FaultKind.CLEAR,
}  # fmt: skip
_SIGNED = {FaultKind.JUMP, FaultKind.GLITCH, FaultKind.DRIFT}
_DEFAULT_VALUES = {
    FaultKind.DROP: 0.01,
    FaultKind.DROP_NEXT: 1.0,
    FaultKind.DUPLICATE: 0.01,
    FaultKind.REORDER: 0.01,
    FaultKind.GARBAGE: 100.0,
    FaultKind.JUMP: 3600.0,
    FaultKind.GLITCH: 3600.0,
    FaultKind.REBOOT: 20.0,
    FaultKind.DRIFT: 100.0,
}
_SPEC = re.compile(r"([^:=@]{1,80}):([a-z-]{1,40})(?:=([-+0-9.]{1,20}))?(?:@([0-9.]{1,12}))?")
_MAX_VALUE = 1e6


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault as it was asked for."""

    cameras: str
    """A camera's name, or a shell pattern of names."""
    kind: FaultKind
    value: float = 0.0
    """Probability, count, bytes, seconds or ppm, as `MEANINGS` says."""
    after_s: float = 0.0


def parse_fault(text: str) -> FaultSpec:
    """A fault from its text. Raises `FaultSpecError`."""
    match = _SPEC.fullmatch(text.strip())
    if not match:
        raise FaultSpecError(
            "A fault is written CAMERAS:KIND[=VALUE][@SECONDS]",
            where=text[:100],
            advice="For example camera-0003:drop=0.01 or camera-*:reboot=20@60",
        )
    cameras, name, value_text, after_text = match.groups()
    try:
        kind = FaultKind(name)
    except ValueError as error:
        known = ", ".join(kind.value for kind in FaultKind)
        raise FaultSpecError(
            "There is no such fault", where=name, advice=f"Known: {known}"
        ) from error
    try:
        value = float(value_text) if value_text else _DEFAULT_VALUES.get(kind, 0.0)
        after_s = float(after_text) if after_text else 0.0
    except ValueError as error:
        raise FaultSpecError("A number is expected", where=text[:100]) from error
    _check_value(kind, value, value_text is not None, text)
    return FaultSpec(cameras, kind, value, after_s)


def _check_value(kind: FaultKind, value: float, is_given: bool, text: str) -> None:
    if kind in _WITHOUT_VALUE and is_given:
        raise FaultSpecError(f"{kind.value} takes no value", where=text[:100])
    if kind in _PROBABILITIES and not 0 <= value <= 1:
        raise FaultSpecError("A probability lies between 0 and 1", where=text[:100])
    if abs(value) > _MAX_VALUE or (value < 0 and kind not in _SIGNED):
        raise FaultSpecError("The value is out of range", where=text[:100])
    if kind is FaultKind.DRIFT and abs(value) > _MAX_VALUE / 2:
        raise FaultSpecError("A clock drifts by at most 500000 ppm", where=text[:100])
    if kind is FaultKind.GARBAGE and value > MAX_GARBAGE_BYTES:
        raise FaultSpecError(f"At most {MAX_GARBAGE_BYTES} bytes", where=text[:100])


@dataclass(slots=True)
class Faults:
    """The faults that one camera has now. Moments are on the machine's monotonic clock."""

    rng: random.Random
    drop: float = 0.0
    drop_next: int = 0
    duplicate: float = 0.0
    reorder: float = 0.0
    garbage_bytes: int = 0
    glitch_90k: int = 0
    no_sprop: bool = False
    hangs_up: bool = False
    stalled_until_us: int = 0
    no_parameter_sets_until_us: int = 0
    half_open_until_us: int = 0
    rebooting_until_us: int = 0
    wrong_password_until_us: int = 0
    spoils_sending: bool = field(default=False)
    """Whether sessions must take the slow path, packet by packet."""

    def set(self, spec: FaultSpec, now_us: int) -> None:
        """Take on a fault that needs nothing but being remembered."""
        until_us = now_us + round(spec.value * US_PER_S) if spec.value else FOREVER_US
        match spec.kind:
            case FaultKind.DROP:
                self.drop = spec.value
            case FaultKind.DROP_NEXT:
                self.drop_next += int(spec.value)
            case FaultKind.DUPLICATE:
                self.duplicate = spec.value
            case FaultKind.REORDER:
                self.reorder = spec.value
            case FaultKind.GARBAGE:
                self.garbage_bytes += int(spec.value)
            case FaultKind.GLITCH:
                self.glitch_90k = round(spec.value * MEDIA_CLOCK_HZ)
            case FaultKind.NO_SPROP:
                self.no_sprop = True
            case FaultKind.HANG_UP:
                self.hangs_up = True
            case FaultKind.STALL:
                self.stalled_until_us = until_us
            case FaultKind.NO_PARAMETER_SETS:
                self.no_parameter_sets_until_us = until_us
            case FaultKind.HALF_OPEN:
                self.half_open_until_us = until_us
            case FaultKind.WRONG_PASSWORD:
                self.wrong_password_until_us = until_us
        self.refresh(now_us)

    def clear(self) -> None:
        """Back to a camera without fault; what is over (a jump, a change) stays as it is."""
        fresh = Faults(self.rng)
        for name in Faults.__slots__:
            setattr(self, name, getattr(fresh, name))

    def refresh(self, now_us: int) -> None:
        """Work out anew whether the slow path is needed."""
        self.spoils_sending = bool(
            self.drop
            or self.drop_next
            or self.duplicate
            or self.reorder
            or self.garbage_bytes
            or self.glitch_90k
            or now_us < self.stalled_until_us
            or now_us < self.no_parameter_sets_until_us
            or now_us < self.half_open_until_us
        )

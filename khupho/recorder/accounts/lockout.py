"""Guessing is stopped: an account locks after failures, and refusals don't flood the log."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from khupho.clock import Clock
from khupho.recorder.accounts.account_errors import AccountError
from khupho.units import US_PER_HOUR, US_PER_S

MOST_FAILURES = 5
WITHIN_US = 30 * US_PER_S
LOCKED_US = 300 * US_PER_S
MOST_NAMES = 4_096
"""At a tenth of a second for each try, it takes longer to push a name out than its lock lasts."""
MOST_REFUSALS_AN_HOUR = 200


@dataclass(slots=True)
class _Tries:
    mono_us: list[int] = field(default_factory=list)
    locked_until_mono_us: int | None = None


class Lockout:
    """Failures by name, of known and unknown ones alike, so that a lock tells nothing."""

    def __init__(self, clock: Clock, most_names: int = MOST_NAMES) -> None:
        self._clock = clock
        self._most_names = most_names
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def attempt(self, name: str) -> None:
        """One more try. It counts as a failure until `succeeded` or `undo`: tries that run side by side
        would else all be free. Raises `AccountError` ("locked")."""
        now_us = self._clock.mono_us()
        tries = self._tries.setdefault(name, _Tries())
        if tries.locked_until_mono_us is not None:
            if now_us < tries.locked_until_mono_us:
                raise _locked(tries.locked_until_mono_us - now_us)
            tries.locked_until_mono_us = None
            tries.mono_us.clear()
        tries.mono_us = [us for us in tries.mono_us if now_us - us < WITHIN_US] + [now_us]
        if len(tries.mono_us) >= MOST_FAILURES:
            tries.locked_until_mono_us = now_us + LOCKED_US
        self._tries.move_to_end(name)
        while len(self._tries) > self._most_names:
            self._tries.popitem(last=False)

    def undo(self, name: str) -> None:
        """The last try was not carried out."""
        tries = self._tries.get(name)
        if tries is not None and tries.mono_us:
            tries.mono_us.pop()
            if len(tries.mono_us) < MOST_FAILURES:
                tries.locked_until_mono_us = None

    def succeeded(self, name: str) -> None:
        """Whoever it was knew the password."""
        self._tries.pop(name, None)


def _locked(left_us: int) -> AccountError:
    left_s = -(-left_us // US_PER_S)
    return AccountError(
        "locked",
        "Too many wrong passwords; signing in is locked for a while",
        advice=f"Try again in {left_s} s, or use a passkey",
        retry_after_s=left_s,
    )


class RefusalBudget:
    """How many refusals become rows of the log, so that no guesser fills the disk."""

    def __init__(self, clock: Clock, most: int = MOST_REFUSALS_AN_HOUR) -> None:
        self._clock = clock
        self._most = most
        self._hour = -1
        self._written = 0
        self._left_out = 0

    def take(self) -> int | None:
        """How many were left out before this one is written; None where this one is left out too."""
        hour = self._clock.mono_us() // US_PER_HOUR
        if hour != self._hour:
            self._hour, self._written = hour, 0
        if self._written >= self._most:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out

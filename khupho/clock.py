"""The only reader of the machine's clocks.

Everything else is handed a `Clock`, so that tests turn time by hand and a step of the machine's
clock is one value seen in one place.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that tells the date and may step, one that never steps."""

    def utc_us(self) -> int:
        """Microseconds since the Unix epoch. May step in either direction."""
        ...

    def mono_us(self) -> int:
        """Microseconds since an arbitrary start. Never goes back, never steps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def utc_us(self) -> int:
        return time.time_ns() // 1_000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1_000


class ManualClock:
    """A clock turned by hand, for tests and simulations."""

    def __init__(self, utc_us: int = 1_700_000_000_000_000, mono_us: int = 0) -> None:
        self._utc_us = utc_us
        self._mono_us = mono_us

    def utc_us(self) -> int:
        return self._utc_us

    def mono_us(self) -> int:
        return self._mono_us

    def advance(self, us: int) -> None:
        """Let time pass: both clocks move on by `us` microseconds."""
        if us < 0:
            raise ValueError("time does not run backwards; use step()")
        self._utc_us += us
        self._mono_us += us

    def step(self, us: int) -> None:
        """Step the date by `us` microseconds, as a wrong clock set right does."""
        self._utc_us += us

"""What is wrong with the archive at this moment, told by any thread, read by any thread."""

from __future__ import annotations

import threading
from typing import NamedTuple

from khupho.clock import Clock
from khupho.errors import KhuphoError


class Alarm(NamedTuple):
    """One thing that is wrong, since when, and what to do about it (in the error's words)."""

    since_utc_us: int
    error: KhuphoError


class AlarmBoard:
    """Alarms by name. Raising one that stands keeps its beginning and takes the newer words."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._standing: dict[str, Alarm] = {}

    def sound(self, name: str, error: KhuphoError) -> bool:
        """Raise the alarm `name`; whether it is new."""
        with self._lock:
            standing = self._standing.get(name)
            since_utc_us = standing.since_utc_us if standing else self._clock.utc_us()
            self._standing[name] = Alarm(since_utc_us, error)
            return standing is None

    def clear(self, name: str) -> bool:
        """The cause of `name` has ended; whether it stood."""
        with self._lock:
            return self._standing.pop(name, None) is not None

    def find(self, name: str) -> Alarm | None:
        """The alarm `name`, if it stands."""
        with self._lock:
            return self._standing.get(name)

    def standing(self) -> tuple[Alarm, ...]:
        """All that stand, oldest first."""
        with self._lock:
            return tuple(sorted(self._standing.values(), key=lambda alarm: alarm.since_utc_us))

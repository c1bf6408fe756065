"""How long to wait before the next try: jittered, patient, and never a hammer on a lock-out."""

from __future__ import annotations

import random

from khupho.errors import Fault
from khupho.units import US_PER_MINUTE, US_PER_S

_STEPS_US = tuple(s * US_PER_S for s in (1, 2, 4, 7, 10))
"""The first tries: a camera that comes back after a power cut is found within 10 s."""

_QUICK_TRIES = 12
_SLOW_US = 30 * US_PER_S
"""After a dozen failures in a row the device is most likely off; 30 s costs neither side anything."""

_REFUSED_US = tuple(m * US_PER_MINUTE for m in (1, 5, 15, 30))
"""Many cameras lock the account after five wrong passwords (quirk 20)."""


class Backoff:
    """Waiting times of one source. `wait_us` after a failure, `succeeded` once media flows."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self._refusals = 0

    @property
    def failures(self) -> int:
        """Failures in a row since media last flowed."""
        return self._failures

    def succeeded(self) -> None:
        """Media flows: the next failure starts from the shortest wait."""
        self._failures = 0
        self._refusals = 0

    def wait_us(self, fault: Fault) -> int:
        """Microseconds to wait after a failure: between half and the whole of the step.

        The jitter keeps a street of cameras that lost power together from calling together.
        """
        self._failures += 1
        if fault is Fault.CREDENTIALS:
            step = _REFUSED_US[min(self._refusals, len(_REFUSED_US) - 1)]
            self._refusals += 1
        elif self._failures <= _QUICK_TRIES:
            step = _STEPS_US[min(self._failures, len(_STEPS_US)) - 1]
        else:
            step = _SLOW_US
        return step // 2 + self._rng.randrange(step // 2 + 1)

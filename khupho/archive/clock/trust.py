"""The time that footage is dated with: the machine's date as long as it behaves, and never backwards.

Footage time is `monotonic clock + offset`. While the machine's date agrees with that to half a second,
the offset is slewed after it. When the date steps, footage time goes on along the monotonic clock
(*holdover*) until the date can be believed: then a step forward is taken at once, as a new *era*, and a
step back is slewed away. See "Time" in `docs/design/archive.md`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from khupho.archive.events import Arrival
from khupho.clock import Clock
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY, US_PER_MINUTE, US_PER_MS, US_PER_S, format_utc, parse_utc

STEP_US = 500 * US_PER_MS
"""A smaller disagreement is slewed away without a word."""
MAX_SLEW_PPM = 500
STEADY_US = 15 * US_PER_MINUTE
"""So long a date must run without a step to be believed where no time service vouches for it."""
STEADY_SHARE_OF_LEAP = 100
"""And at least one hundredth of the leap it made: a leap of years is no truth after 15 minutes."""
EARLIEST_DATE_UTC_US = parse_utc("2025-01-01T00:00:00Z")
"""Before this program existed: a machine that lost its date, never believed."""
LONGEST_ABSENCE_US = 400 * US_PER_DAY
"""At start, a date so far past the newest footage is taken for a broken clock, not for an absence."""
_ASK_KERNEL_EVERY_US = US_PER_S
_TELL_EVERY_US = US_PER_DAY
_READING_US = 10 * US_PER_MS
_READINGS = 5


class ClockEvent(Enum):
    """What befell the clock; the value stands in the journal."""

    STARTED = "started"
    """The recorder began to keep time."""
    HOLDOVER = "holdover"
    """The date disagrees with footage time, which goes on along the monotonic clock."""
    STILL_WRONG = "still_wrong"
    """Once a day while it lasts."""
    SLEWING = "slewing"
    """The date is believed and is behind: footage time runs 500 ppm slow until it agrees."""
    BELIEVED = "believed"
    """The date is believed and was ahead: footage time has leapt to it; a new era."""
    AGREES = "agrees"
    """The date and footage time agree again."""


class ClockFact(NamedTuple):
    """One line for the journal."""

    event: ClockEvent
    utc_us: int
    """Footage time, before a leap."""
    machine_utc_us: int
    known_error_us: int
    """Footage time less the machine's date: positive where footage is dated too late."""
    era: int


class ClockWrongError(KhuphoError):
    """The machine's date isn't to be trusted."""

    fault = Fault.CLOCK


class FootageClock:
    """Footage time over the machine's clocks. Any thread may ask it.

    `synchronised` tells whether a time service keeps the date (None: nobody knows); it is asked at most
    once a second. `newest_footage_utc_us` is the end of the newest footage on disk, 0 for none: footage
    time begins there or later. `tell` gets each fact for the journal, on the asking thread; it must not
    block and must not ask this clock.
    """

    def __init__(
        self,
        clock: Clock,
        synchronised: Callable[[], bool | None],
        newest_footage_utc_us: int,
        tell: Callable[[ClockFact], None] = lambda _fact: None,
    ) -> None:
        self._clock = clock
        self._synchronised = synchronised
        self._tell = tell
        self._lock = threading.Lock()
        self._era = 0
        self._slew_rest = 0
        self._holdover = False
        self._slewing = False
        self._vouched = False
        utc_us, mono_us = self._read()
        self._offset_us = utc_us - mono_us
        self._machine_offset_us = self._steady_offset_us = self._offset_us
        self._last_mono_us = self._steady_since_us = self._told_mono_us = mono_us
        self._asked_mono_us = mono_us - _ASK_KERNEL_EVERY_US
        # Against a leap at start the date proves itself too, before footage is deleted by its age.
        self._leap_us = max(utc_us - newest_footage_utc_us, 0) if newest_footage_utc_us else 0
        leapt = self._leap_us > LONGEST_ABSENCE_US and not self._is_vouched(mono_us)
        if newest_footage_utc_us and (utc_us < newest_footage_utc_us or leapt):
            self._offset_us = newest_footage_utc_us - mono_us
        self._fact(ClockEvent.STARTED, utc_us, mono_us)
        self._judge(utc_us, mono_us)

    def arrival(self) -> Arrival:
        """Now, as footage is dated. Never earlier than any answer before it."""
        with self._lock:
            mono_us = self._advance()
            return Arrival(
                mono_us + self._offset_us, mono_us, self._holdover or self._implausible(), self._era
            )

    @property
    def confirmed(self) -> bool:
        """The date is right as far as anybody can tell: footage may be deleted for its age."""
        with self._lock:
            mono_us = self._advance()
            return not self._holdover and not self._implausible() and self._believable(mono_us)

    @property
    def known_error_us(self) -> int:
        """Footage time less the machine's date; positive where footage is dated too late."""
        with self._lock:
            self._advance()
            return self._offset_us - self._machine_offset_us

    def trouble(self) -> ClockWrongError | None:
        """What to tell the operator while the date is not to be trusted, else None."""
        with self._lock:
            mono_us = self._advance()
            if not self._holdover and not self._implausible():
                return None
            machine_utc_us = mono_us + self._machine_offset_us
            footage_utc_us = mono_us + self._offset_us
        error_us = footage_utc_us - machine_utc_us
        if not self._holdover:
            what = "The machine's date is one before this program was written"
        else:
            side = "behind" if error_us > 0 else "ahead of"
            what = f"The machine's date is {abs(error_us) / US_PER_S:.1f} s {side} the footage's"
        return ClockWrongError(
            what,
            where=f"machine {format_utc(machine_utc_us)}, footage {format_utc(footage_utc_us)}",
            advice="Check the date and the time service (timedatectl status); recording goes on, "
            "and the footage is marked",
        )

    # All below runs under the lock, or before anybody else has the object.

    def _read(self) -> tuple[int, int]:
        """Both clocks at the same moment: anew where this thread was put aside between them."""
        for _ in range(_READINGS):
            before_us = self._clock.mono_us()
            utc_us = self._clock.utc_us()
            mono_us = self._clock.mono_us()
            if mono_us - before_us < _READING_US:
                break
        return utc_us, mono_us

    def _advance(self) -> int:
        """Bring the state up to now; returns the monotonic time."""
        utc_us = self._clock.utc_us()
        mono_us = self._clock.mono_us()
        machine_offset_us = utc_us - mono_us
        if self._holdover or abs(machine_offset_us - self._steady_offset_us) >= STEP_US:
            utc_us, mono_us = self._read()
            machine_offset_us = utc_us - mono_us
        self._machine_offset_us = machine_offset_us
        if mono_us < self._last_mono_us:
            # Another thread's reading is newer; a manual clock may be turned unevenly too.
            mono_us = self._last_mono_us
        if not self._holdover or self._slewing:
            self._slew(mono_us - self._last_mono_us)
        self._last_mono_us = mono_us
        if abs(machine_offset_us - self._steady_offset_us) >= STEP_US:
            self._stepped(machine_offset_us, mono_us)
        if self._holdover or abs(machine_offset_us - self._offset_us) >= STEP_US:
            self._judge(utc_us, mono_us)
        return mono_us

    def _stepped(self, machine_offset_us: int, mono_us: int) -> None:
        self._leap_us = abs(machine_offset_us - self._offset_us)
        self._steady_offset_us = machine_offset_us
        self._steady_since_us = mono_us
        # A time service's word from before the step is worth nothing now.
        self._asked_mono_us = mono_us - _ASK_KERNEL_EVERY_US
        self._slewing = False

    def _slew(self, elapsed_us: int) -> None:
        """Move footage time towards the machine's by at most 500 ppm of the time gone by."""
        wanted_us = self._machine_offset_us - self._offset_us
        if not wanted_us:
            self._slew_rest = 0
            return
        allowed_us, self._slew_rest = divmod(elapsed_us * MAX_SLEW_PPM + self._slew_rest, US_PER_S)
        self._offset_us += max(-allowed_us, min(allowed_us, wanted_us))

    def _judge(self, utc_us: int, mono_us: int) -> None:
        """Begin, end or change the holdover."""
        error_us = self._offset_us - self._machine_offset_us
        if abs(error_us) < STEP_US:
            if self._holdover:
                self._holdover = self._slewing = False
                self._fact(ClockEvent.AGREES, utc_us, mono_us)
            return
        if self._believable(mono_us) and error_us < 0:
            self._fact(ClockEvent.BELIEVED, utc_us, mono_us)
            self._offset_us = self._machine_offset_us
            self._era += 1
            self._holdover = self._slewing = False
        elif not self._holdover:
            self._holdover = True
            self._fact(ClockEvent.HOLDOVER, utc_us, mono_us)
        if self._holdover and not self._slewing and self._believable(mono_us):
            self._slewing = True
            self._fact(ClockEvent.SLEWING, utc_us, mono_us)
        elif self._holdover and mono_us - self._told_mono_us >= _TELL_EVERY_US:
            self._fact(ClockEvent.STILL_WRONG, utc_us, mono_us)

    def _believable(self, mono_us: int) -> bool:
        """Whether the machine's date may be taken for the truth."""
        if mono_us + self._machine_offset_us < EARLIEST_DATE_UTC_US:
            return False
        if self._is_vouched(mono_us):
            return True
        needed_us = STEADY_US
        if not self._implausible():
            needed_us = max(needed_us, self._leap_us // STEADY_SHARE_OF_LEAP)
        return mono_us - self._steady_since_us >= needed_us

    def _is_vouched(self, mono_us: int) -> bool:
        if mono_us - self._asked_mono_us >= _ASK_KERNEL_EVERY_US:
            self._asked_mono_us = mono_us
            self._vouched = self._synchronised() is True
        return self._vouched

    def _implausible(self) -> bool:
        """Footage time itself began with a date that cannot be."""
        return self._last_mono_us + self._offset_us < EARLIEST_DATE_UTC_US

    def _fact(self, event: ClockEvent, machine_utc_us: int, mono_us: int) -> None:
        self._told_mono_us = mono_us
        error_us = self._offset_us - self._machine_offset_us
        utc_us = mono_us + self._offset_us
        self._tell(ClockFact(event, utc_us, machine_utc_us, error_us, self._era))

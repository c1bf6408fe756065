"""Whether the disk will hold what was promised, and if not, when the first promise breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY, US_PER_HOUR

LEAST_MEASURED_US = US_PER_HOUR // 6
"""A rate of less footage than that is a guess."""
_GB = 1_000_000_000


class CameraUse(NamedTuple):
    """What one camera's streams write together, and what of it is kept for its guarantee."""

    camera: str
    measured_bytes: int
    """Written in the last `measured_us` (up to some days) of footage."""
    measured_us: int
    guaranteed_us: int
    kept_us: int
    """Age of the oldest footage within the guarantee: grows until it is `guaranteed_us`."""
    kept_bytes: int
    """Bytes of the footage within the guarantee."""


class CapacityWarning(KhuphoError):
    """The disk is too small for what was promised."""

    fault = Fault.DISK


class Forecast(NamedTuple):
    """What will become of the guarantees if cameras go on as they did."""

    breaks_in_us: int | None
    """Time until guaranteed footage must go; 0: it goes now, None: never."""
    needed_bytes: int
    """To keep every guarantee."""
    room_bytes: int
    """What guaranteed footage can have of the disk."""
    holds_percent: int
    """Share of every camera's promise that the disk can keep, at most 100."""
    unmeasured: tuple[str, ...]
    """Cameras that have recorded too little to count with."""

    @property
    def is_kept(self) -> bool:
        return self.breaks_in_us is None

    def warning(self) -> CapacityWarning | None:
        """In plain words, from the first day on which it can be known."""
        if self.breaks_in_us is None:
            return None
        days = self.breaks_in_us / US_PER_DAY
        if self.breaks_in_us <= 0:
            what = "The disk is too small: guaranteed footage is being deleted"
        else:
            when = f"{days:.0f} days" if days >= 2 else f"{self.breaks_in_us // US_PER_HOUR} hours"
            what = f"In {when} the disk will be too small for the footage that was promised"
        lacking_gb = (self.needed_bytes - self.room_bytes) / _GB
        return CapacityWarning(
            what,
            where=f"{self.needed_bytes / _GB:.1f} GB needed, {self.room_bytes / _GB:.1f} GB there",
            advice=f"Add {lacking_gb:.1f} GB, promise fewer days (the disk holds "
            f"{self.holds_percent} % of them) or lower the cameras' bit rates",
        )


def forecast(cameras: Sequence[CameraUse], room_bytes: int) -> Forecast:
    """When the first guarantee breaks.

    `room_bytes` is what guaranteed footage can have: all footage now on disk and the free space, less
    the last reserve and less what is held. Footage beyond its guarantee makes way and isn't counted.
    """
    measured = [use for use in cameras if use.measured_us >= LEAST_MEASURED_US]
    unmeasured = tuple(use.camera for use in cameras if use.measured_us < LEAST_MEASURED_US)
    used_bytes = sum(use.kept_bytes for use in cameras)
    growths = sorted(
        (max(use.guaranteed_us - use.kept_us, 0), use.measured_bytes, use.measured_us)
        for use in measured
    )
    needed_bytes = sum(_needed_bytes(use) for use in cameras)
    holds_percent = min(100, 100 * max(room_bytes, 0) // needed_bytes) if needed_bytes else 100
    if needed_bytes <= room_bytes:
        return Forecast(None, needed_bytes, room_bytes, 100, unmeasured)
    breaks_in_us = _time_to_fill(growths, room_bytes - used_bytes)
    if breaks_in_us is None:
        # Full spans, written at a lower rate than today's: they grow as old footage leaves.
        breaks_in_us = max((use.guaranteed_us for use in measured), default=0)
    return Forecast(breaks_in_us, needed_bytes, room_bytes, holds_percent, unmeasured)


def _needed_bytes(use: CameraUse) -> int:
    """The most that a camera's guaranteed footage will take up.

    It grows until its span is full; from then on what is written replaces what leaves, and in the end
    all is of today's rate. The larger of both counts.
    """
    if use.measured_us < LEAST_MEASURED_US:
        return use.kept_bytes
    grows_us = max(use.guaranteed_us - use.kept_us, 0)
    grown_bytes = use.kept_bytes + use.measured_bytes * grows_us // use.measured_us
    return max(grown_bytes, use.measured_bytes * use.guaranteed_us // use.measured_us)


def _time_to_fill(growths: Sequence[tuple[int, int, int]], left_bytes: int) -> int | None:
    """Time until `left_bytes` are written by cameras, each of which stops growing at its time.

    `growths` are (time to grow, bytes, in this time), by ascending time; None if never.
    """
    if left_bytes <= 0:
        return 0
    now_us = 0
    left = float(left_bytes)
    rates = [written_bytes / measured_us for _, written_bytes, measured_us in growths]
    rate = sum(rates)
    for (ends_us, _, _), own_rate in zip(growths, rates, strict=True):
        grown = rate * (ends_us - now_us)
        if rate > 0 and grown >= left:
            return now_us + int(left / rate)
        left -= grown
        now_us = ends_us
        rate -= own_rate
    return None

"""What each camera's footage weighs, day by day: what the forecast of broken guarantees counts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from khupho.archive.retention.forecast import CameraUse
from khupho.archive.retention.plan import UNLISTED, DaysPolicy, Stored
from khupho.units import US_PER_DAY

MEASURED_DAYS = 3
"""Bit rates are measured over today and the days before, so many together."""


class DayUse(NamedTuple):
    """What one stream's segments that end on one UTC day (since the epoch) weigh and cover."""

    camera: str
    stream: str
    day: int
    size_bytes: int
    covered_us: int


class DiskUse:
    """Bytes and cover of each stream and UTC day. Kept in step by the keeper, so that a forecast
    needn't read millions of rows."""

    def __init__(self, days: Iterable[DayUse] = ()) -> None:
        self._days: dict[str, dict[str, dict[int, list[int]]]] = {}
        """Camera, stream, day: bytes and microseconds."""
        self.total_bytes = 0
        for use in days:
            self._add(use.camera, use.stream, use.day, use.size_bytes, use.covered_us)

    def add(self, segment: Stored) -> None:
        """A segment was closed."""
        self._change(segment, 1)

    def remove(self, segment: Stored) -> None:
        """A segment was deleted."""
        self._change(segment, -1)

    def _change(self, segment: Stored, sign: int) -> None:
        length_us = segment.end_utc_us - segment.start_utc_us
        self._add(
            segment.camera,
            segment.stream,
            segment.end_utc_us // US_PER_DAY,
            sign * segment.size_bytes,
            sign * length_us,
        )

    def _add(self, camera: str, stream: str, day: int, size_bytes: int, covered_us: int) -> None:
        days = self._days.setdefault(camera, {}).setdefault(stream, {})
        cell = days.setdefault(day, [0, 0])
        cell[0] += size_bytes
        cell[1] += covered_us
        self.total_bytes += size_bytes
        if cell[0] <= 0 and cell[1] <= 0:
            del days[day]

    def uses(
        self,
        policies: Mapping[str, DaysPolicy],
        oldest_utc_us: Mapping[str, int],
        now_utc_us: int,
    ) -> list[CameraUse]:
        """Each camera's use for the forecast. `oldest_utc_us` is when each one's footage begins."""
        return [
            self._use(
                camera,
                policies.get(camera, UNLISTED),
                now_utc_us - oldest_utc_us.get(camera, now_utc_us),
                now_utc_us,
            )
            for camera in sorted(self._days)
        ]

    def _use(self, camera: str, policy: DaysPolicy, age_us: int, now_utc_us: int) -> CameraUse:
        guaranteed_days = policy.guaranteed_days
        if policy.maximum_days is not None:
            guaranteed_days = min(guaranteed_days, policy.maximum_days)
        guaranteed_us = guaranteed_days * US_PER_DAY
        today = now_utc_us // US_PER_DAY
        measured_bytes = measured_us = kept_bytes = 0
        for days in self._days[camera].values():
            stream_us = 0
            for day, (size_bytes, covered_us) in days.items():
                if 0 <= today - day < MEASURED_DAYS:
                    measured_bytes += size_bytes
                    stream_us += covered_us
                begin_us = day * US_PER_DAY
                whole_us = max(min(begin_us + US_PER_DAY, now_utc_us) - begin_us, 1)
                kept_us = begin_us + whole_us - max(begin_us, now_utc_us - guaranteed_us)
                kept_bytes += size_bytes * max(kept_us, 0) // whole_us
            # Main and sub stream run beside each other: their time counts once.
            measured_us = max(measured_us, stream_us)
        kept_us = max(min(age_us, guaranteed_us), 0)
        return CameraUse(camera, measured_bytes, measured_us, guaranteed_us, kept_us, kept_bytes)

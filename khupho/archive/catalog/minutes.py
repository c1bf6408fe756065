"""The minute ledger: what each UTC minute of a segment holds, folded over its fragments in order. Pure.

Recording (from events) and rebuild (from files) use this one fold. A fragment without lost packets before it
covers the time from the end of the one before, whose line the anchor may have moved by a few hundred
microseconds; so unbroken footage covers a minute exactly. Frames, bytes and lost packets count in the
minute in which their fragment begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import NamedTuple

from khupho.archive.segments.stored_segment import StoredFragment
from khupho.units import US_PER_MINUTE, US_PER_S

_MOST_MINUTES = 24 * 60
"""Of one fragment, so that a broken file cannot fill the memory."""


class MinuteFlags(IntFlag):
    """What else is to be said of a minute; the numbers stand in the catalog."""

    NONE = 0
    CLOCK_WRONG = 1
    """The recorder's date was not to be trusted."""
    BROKEN = 2
    """Packets were lost: pictures are missing inside the segment."""


_CLOCK_WRONG, _BROKEN = int(MinuteFlags.CLOCK_WRONG), int(MinuteFlags.BROKEN)
"""Plain numbers: operators of flags cost more than all the rest of the fold."""


class MinuteRow(NamedTuple):
    """One minute of one segment."""

    minute: int
    """UTC minutes since the Unix epoch."""
    covered_us: int
    frames: int
    key_frames: int
    size_bytes: int
    """Headers and data."""
    lost_packets: int
    damaged_us: int
    """Of what is covered."""
    flags: int


class MinuteFold:
    """The minutes of one segment. Fragments are to be taken in order."""

    __slots__ = ("_changed", "_end_us", "_rows")

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._changed: set[int] = set()
        self._end_us: int | None = None
        """Until when time is covered."""

    def take(
        self,
        start_utc_us: int,
        duration_us: int,
        size_bytes: int,
        frames: int,
        key_frames: int,
        lost_packets: int,
        damaged: bool,
        clock_wrong: bool,
    ) -> None:
        """Add a fragment."""
        begin_us = start_utc_us
        end_us = start_utc_us + duration_us
        covered_us = self._end_us
        if covered_us is not None and (not lost_packets or begin_us < covered_us):
            begin_us = covered_us
        if covered_us is None or end_us > covered_us:
            self._end_us = end_us
        flags = _CLOCK_WRONG if clock_wrong else 0
        minute = start_utc_us // US_PER_MINUTE
        row = self._row(minute)
        row[1] += frames
        row[2] += key_frames
        row[3] += size_bytes
        row[4] += lost_packets
        row[6] |= flags | _BROKEN if lost_packets else flags
        for minute in range(
            begin_us // US_PER_MINUTE,
            min((end_us - 1) // US_PER_MINUTE, begin_us // US_PER_MINUTE + _MOST_MINUTES) + 1,
        ):
            part_us = min(end_us, (minute + 1) * US_PER_MINUTE) - max(
                begin_us, minute * US_PER_MINUTE
            )
            if part_us > 0:
                row = self._row(minute)
                row[0] += part_us
                row[5] += part_us if damaged else 0
                row[6] |= flags

    def take_stored(self, fragment: StoredFragment, timescale: int) -> None:
        """Add a fragment as it lies in its file, whose track has this time scale."""
        header = fragment.header
        self.take(
            fragment.start_utc_us,
            header.duration_90k * US_PER_S // timescale,
            header.size_bytes,
            len(header.sizes),
            sum(header.is_key),
            fragment.lost_packets,
            fragment.damaged,
            fragment.clock_wrong,
        )

    def rows(self) -> Sequence[MinuteRow]:
        """All minutes, in order."""
        return [MinuteRow(minute, *self._rows[minute]) for minute in sorted(self._rows)]

    def changed(self) -> Sequence[MinuteRow]:
        """The minutes that changed since `forget_changed`, whole, in order."""
        return [MinuteRow(minute, *self._rows[minute]) for minute in sorted(self._changed)]

    def forget_changed(self) -> None:
        """What changed until now is written down."""
        self._changed.clear()

    def mark_changed(self) -> None:
        """Everything is to be written down again."""
        self._changed.update(self._rows)

    def _row(self, minute: int) -> list[int]:
        self._changed.add(minute)
        return self._rows.setdefault(minute, [0] * 7)

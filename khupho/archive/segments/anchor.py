"""The tie between a stream's media time and UTC: durations from the camera's clock, the rest from arrivals.

A packet never arrives before its picture was taken, only after it, by a delay that is sometimes short.
So the least `arrival - media time` of a while is the truest: a minimum filter over the last minute. The line
that fragments are dated with follows it by at most 500 ppm. What disagrees more closes the segment:

- a clock of the camera that runs off faster than that (one stamps 25 frames a second and sends 24.75):
  the next segment has the measured rate for its time scale, and goes on where the last one ended;
- footage dated too early by half a second for a minute (the camera stood still): the next segment is
  set right;
- footage dated too late: the next segment goes on where the last one ended, since two segments may not
  have one time, and the line comes back by 500 ppm. If media time leapt ahead of what arrived at one
  moment, that is a jump of the camera's timestamps; `observe` tells it before any footage is dated so.

Pure: no clock, no disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from khupho.archive.events import Arrival
from khupho.units import MEDIA_CLOCK_HZ, US_PER_MS, US_PER_S

MAX_SLEW_PPM = 500
DISAGREEMENT_US = 500 * US_PER_MS
"""What is wrong by so much closes the segment."""
JUMP_US = US_PER_S
"""Media time that leaps so far ahead of its arrival has jumped."""
BLOCK_US = 3 * US_PER_S
WINDOW_BLOCKS = 16
_COARSE_US = 60 * US_PER_S
_COARSE_BLOCKS = 10
_RATE_ERROR_US = 100 * US_PER_MS
_ROUGHNESS = 6
"""A rise is taken for a rate only if every block lies within a sixth of it to a straight line."""
_NOMINAL_PPM = 300
_LEAST_HZ, _MOST_HZ = MEDIA_CLOCK_HZ // 16, MEDIA_CLOCK_HZ * 16


class Anchor:
    """Dates the media times of one stream. `reset` before each new line of media time."""

    __slots__ = (
        "_block_floor_us",
        "_block_mono_us",
        "_coarse",
        "_coarse_floor_us",
        "_coarse_mono_us",
        "_debt_us",
        "_floors",
        "_line_us",
        "_new_hz",
        "_offset_us",
        "_origin_90k",
        "_slewed_us",
        "_window_us",
        "hz",
        "turn",
    )

    def __init__(self) -> None:
        self.hz = MEDIA_CLOCK_HZ
        """Ticks of media time a true second, as far as is known."""
        self._floors: deque[tuple[int, int]] = deque(maxlen=WINDOW_BLOCKS)
        """Of each finished block: when it ended (monotonic), and the least offset in it."""
        self._coarse: deque[tuple[int, int]] = deque(maxlen=_COARSE_BLOCKS)
        """The same of each minute, for slow drifts under rough arrivals."""
        self.reset()

    def reset(self) -> None:
        """A new line of media time begins, or a new era of the clock. The rate is kept."""
        self.turn = False
        """The segment should close (`CloseCause.CLOCK`) at the next key frame."""
        self._origin_90k: int | None = None
        self._offset_us: int | None = None
        self._new_hz = 0
        self._debt_us = 0
        self._slewed_us = 0
        self._forget()

    def _forget(self) -> None:
        self._floors.clear()
        self._coarse.clear()
        self._coarse_floor_us: int | None = None
        self._coarse_mono_us = 0
        self._window_us: int | None = None
        self._block_floor_us: int | None = None
        self._block_mono_us = 0

    @property
    def has_line(self) -> bool:
        """Something was observed since `reset`."""
        return self._origin_90k is not None

    def observe(self, pts_90k: int, arrival: Arrival, *, is_jump_taken: bool = False) -> bool:
        """Take in the newest media time of a batch. True where it has leapt ahead: a jump.

        A jump is taken in only if `is_jump_taken`; else the caller resets the anchor and observes again.
        """
        if self._origin_90k is None:
            self._origin_90k = pts_90k
        line_us = (pts_90k - self._origin_90k) * US_PER_S // self.hz
        offset_us = arrival.utc_us - line_us
        floor_us, window_us = self._block_floor_us, self._window_us
        if floor_us is None or offset_us < floor_us:
            before_us = floor_us
            if window_us is not None and (before_us is None or window_us < before_us):
                before_us = window_us
            if before_us is not None and offset_us < before_us - JUMP_US and not is_jump_taken:
                return True
            if floor_us is None:
                self._block_mono_us = arrival.mono_us
            self._block_floor_us = floor_us = offset_us
        if arrival.mono_us - self._block_mono_us >= BLOCK_US:
            self._end_block(arrival.mono_us, floor_us)
        if self._offset_us is not None:
            self._slew(line_us, arrival.mono_us)
        return False

    def begin(self, pts_90k: int, not_before_utc_us: int, seam_us: int) -> int:
        """Begin a segment with this media time: its UTC. The anchor must have observed something.

        A beginning at most `seam_us` after `not_before_utc_us` (the end of the segment before) is put
        there: no footage is missing between the two.
        """
        origin_90k = self._origin_90k
        assert origin_90k is not None
        line_us = (pts_90k - origin_90k) * US_PER_S // self.hz
        target_us = self._target()
        offset_us = self._offset_us
        if self._new_hz:
            # The newest block is the truest about a line that bends.
            target_us = self._floors[-1][1] if self._floors else target_us
            target_us += line_us
            offset_us = line_us + (target_us - line_us if offset_us is None else offset_us)
            self.hz, self._new_hz = self._new_hz, 0
            self._origin_90k, line_us = pts_90k, 0
            self._forget()
            self._window_us = target_us
        if offset_us is None or target_us - offset_us >= DISAGREEMENT_US:
            offset_us = target_us
        start_us = line_us + offset_us
        if start_us < not_before_utc_us + seam_us:
            start_us = not_before_utc_us
        self._offset_us = start_us - line_us
        self._slewed_us = line_us
        self._debt_us = min(target_us - self._offset_us, 0)
        self.turn = False
        return start_us

    def utc_us(self, pts_90k: int) -> int:
        """The UTC of a media time, on the line as it is now. Only after `begin`."""
        assert self._origin_90k is not None
        assert self._offset_us is not None
        return (pts_90k - self._origin_90k) * US_PER_S // self.hz + self._offset_us

    def _target(self) -> int:
        floor_us, window_us = self._block_floor_us, self._window_us
        if floor_us is None:
            assert window_us is not None
            return window_us
        return floor_us if window_us is None else min(floor_us, window_us)

    def _slew(self, line_us: int, mono_us: int) -> None:
        """Follow the filter by at most 500 ppm of the media time gone by."""
        offset_us = self._offset_us
        assert offset_us is not None
        wanted_us = self._target() - offset_us
        if not wanted_us:
            self._slewed_us = line_us
            return
        allowed_us = (line_us - self._slewed_us) * MAX_SLEW_PPM // US_PER_S
        if allowed_us > 0:
            self._slewed_us = line_us
            self._offset_us = offset_us + max(-allowed_us, min(allowed_us, wanted_us))
        if wanted_us < self._debt_us - DISAGREEMENT_US and not self.turn:
            self.turn = True
            self._judge_rate(mono_us)

    def _end_block(self, mono_us: int, floor_us: int) -> None:
        self._floors.append((mono_us, floor_us))
        self._window_us = min(floor for _, floor in self._floors)
        self._block_floor_us = None
        coarse_us = self._coarse_floor_us
        if coarse_us is None:
            self._coarse_mono_us = mono_us
        self._coarse_floor_us = floor_us if coarse_us is None else min(coarse_us, floor_us)
        if mono_us - self._coarse_mono_us >= _COARSE_US:
            self._coarse.append((mono_us, self._coarse_floor_us))
            self._coarse_floor_us = None
        if self._offset_us is None:
            return
        if self._window_us - self._offset_us >= DISAGREEMENT_US:
            self.turn = True
        error_us = abs(floor_us - self._offset_us - self._debt_us)
        if not self._new_hz and (self.turn or error_us >= _RATE_ERROR_US):
            self._judge_rate(mono_us)

    def _judge_rate(self, mono_us: int) -> None:
        """Whether the camera's clock runs at another rate, to be taken on at the next segment.

        The longest straight line that leads to now tells it: the shorter, the steeper it must be, since
        rough arrivals make short lines of their own.
        """
        floors = [*self._floors]
        if self._block_floor_us is not None:
            floors.append((mono_us, self._block_floor_us))
        for points, least, least_rise_us in (
            (self._coarse, 4, 100 * US_PER_MS),
            (floors, 12, 150 * US_PER_MS),
            (floors[-8:], 8, 400 * US_PER_MS),
            (floors[-4:], 4, 900 * US_PER_MS),
        ):
            slope = _slope(points, least_rise_us) if len(points) >= least else None
            if slope is not None:
                break
        else:
            return
        hz = min(max(round(self.hz * (1 - slope)), _LEAST_HZ), _MOST_HZ)
        if abs(hz - MEDIA_CLOCK_HZ) * US_PER_S < _NOMINAL_PPM * MEDIA_CLOCK_HZ:
            hz = MEDIA_CLOCK_HZ
        if hz != self.hz:
            self._new_hz = hz
            self.turn = True


def _slope(floors: Sequence[tuple[int, int]], least_rise_us: int) -> float | None:
    """Rise of the floors (time, floor), by least squares; None where they lie on no straight line that
    rises or falls by so much."""
    first_time, first_floor = floors[0]
    points = [(time - first_time, floor - first_floor) for time, floor in floors]
    mean_time = sum(time for time, _ in points) / len(points)
    mean_floor = sum(floor for _, floor in points) / len(points)
    spread = sum((time - mean_time) ** 2 for time, _ in points)
    if not spread:
        return None
    slope = sum((time - mean_time) * (floor - mean_floor) for time, floor in points) / spread
    rough = max(abs(floor - mean_floor - slope * (time - mean_time)) for time, floor in points)
    rise = abs(slope) * points[-1][0]
    return slope if rise >= least_rise_us and rough * _ROUGHNESS <= rise else None

"""RTP timestamps unwrapped, once, to the session's own line (quirks 34, 35 and 36)."""

from __future__ import annotations

from khupho.units import MEDIA_CLOCK_HZ

MAX_STEP_S = 10
"""A greater step forward is no pause: without media for so long the session would have ended."""
MAX_STEP_AFTER_LOSS_S = 3_600
"""After lost packets a long step is what was lost."""
MAX_STEP_BACK_S = 1
"""B-frames go back by less."""
NEW_LINE_UNITS = 3
"""So many access units in a row on another line make it the new one (quirk 34)."""
MAX_USUAL_STEP_S = 2


class Timeline:
    """Gives each access unit its time on a line that begins with the session's first (quirk 35).

    A unit whose timestamp lies on no plausible continuation is restamped, as if it followed the last
    one by the usual step. If three in a row lie on one other line, the camera's line has changed:
    `jumped` is set with the third, and the session's line goes on from where it was.
    """

    __slots__ = (
        "_anchor_ticks",
        "_anchor_timestamp",
        "_other_timestamp",
        "_others",
        "_step",
        "clock_hz",
        "jumped",
        "may_reorder",
        "ticks",
    )

    def __init__(self, clock_hz: int, step_ticks: int) -> None:
        """`step_ticks`: the usual step until one has been seen."""
        self.clock_hz = clock_hz
        self._step = step_ticks
        self._anchor_timestamp: int | None = None
        self._anchor_ticks = 0
        self._others = 0
        self._other_timestamp = 0
        self.ticks = 0
        """The last unit's time on the RTP clock, unwrapped."""
        self.jumped = False
        """A new line began with the last unit pushed."""
        self.may_reorder = True
        """False: no B-frames, so any step back is a jump."""

    def push(self, timestamp: int, *, after_loss: bool = False) -> int:
        """The unit's time in ticks of 90 kHz."""
        self.jumped = False
        anchor = self._anchor_timestamp
        if anchor is None:
            self._anchor_timestamp = timestamp
            self._anchor_ticks = self.ticks = timestamp
            return self.pts_90k(timestamp)
        step = _signed(timestamp - anchor)
        if self._is_plausible(step, after_loss):
            ticks = self._anchor_ticks + step
            usual = ticks - self.ticks
            if 0 < usual <= MAX_USUAL_STEP_S * self.clock_hz:
                self._step = usual
            self._others = 0
            self._anchor(timestamp, ticks)
        else:
            self._push_other(timestamp)
        return self.pts_90k(self.ticks)

    @property
    def is_in_doubt(self) -> bool:
        """The last unit lay on another line."""
        return self._others > 0

    def go_on(self, timestamp: int, step: int, ticks: int) -> None:
        """Units were told elsewhere, by plausible steps: the last one's timestamp and time, and the last
        step forward, 0 if there was none."""
        if 0 < step <= MAX_USUAL_STEP_S * self.clock_hz:
            self._step = step
        self.jumped = False
        self._anchor(timestamp, ticks)

    def _push_other(self, timestamp: int) -> None:
        follows = self._others and self._is_plausible(
            _signed(timestamp - self._other_timestamp), False
        )
        self._others = self._others + 1 if follows else 1
        self._other_timestamp = timestamp
        self.ticks += self._step
        if self._others >= NEW_LINE_UNITS:
            self._others = 0
            self.jumped = True
            self._anchor(timestamp, self.ticks)

    def _anchor(self, timestamp: int, ticks: int) -> None:
        self._anchor_timestamp = timestamp
        self._anchor_ticks = self.ticks = ticks

    def _is_plausible(self, step: int, after_loss: bool) -> bool:
        most_s = MAX_STEP_AFTER_LOSS_S if after_loss else MAX_STEP_S
        back_s = MAX_STEP_BACK_S if self.may_reorder else 0
        return -back_s * self.clock_hz <= step <= most_s * self.clock_hz

    def pts_90k(self, ticks: int) -> int:
        """Ticks of the RTP clock as ticks of 90 kHz, rounded down."""
        if self.clock_hz == MEDIA_CLOCK_HZ:
            return ticks
        return ticks * MEDIA_CLOCK_HZ // self.clock_hz


def _signed(ticks: int) -> int:
    """The shorter way round between two 32-bit timestamps."""
    return ((ticks + 0x80000000) & 0xFFFFFFFF) - 0x80000000

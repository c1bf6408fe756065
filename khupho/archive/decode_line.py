"""The decode times of one segment's samples: never back, forward without footage only at a loss. Pure.

Times are ticks of the track's time scale on one line; what is stored counts from the segment's first
decode time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from khupho.media.reorder import DecodeTimes

_MAX_DURATION = 0x7FFFFFFF
_MAX_SHIFT = 0x7FFFFFFF


class DecodeLine:
    """Gives each fragment its decode time, durations and composition offsets."""

    __slots__ = ("_decode_times", "_end", "_newest", "lead", "too_shallow", "typical", "zero")

    def __init__(self, first: int, reorder_frames: int, typical: int) -> None:
        """`first` is the presentation time of the first sample, `typical` a usual duration (at least 1)."""
        self.typical = typical
        """What a sample lasts of which nobody can tell."""
        self.too_shallow = False
        """Pictures were seen to be reordered deeper than the segment's edit list allows."""
        self._decode_times = DecodeTimes(reorder_frames, typical) if reorder_frames else None
        self.lead = self._decode_times.lead_90k if self._decode_times else 0
        """The first sample's composition offset."""
        self.zero = first - self.lead
        self._end = self.zero
        self._newest = first

    def place(
        self, times: Sequence[int], following: int | None, lost_before: int, lost_after: int
    ) -> tuple[int, list[int], list[int] | None]:
        """Decode time, durations and composition offsets of a fragment of samples with these
        presentation times, in decoding order.

        `following` is the presentation time of the sample after them, `lost_before` and `lost_after` how
        many packets were lost on either side: there, and only there, the line may jump.
        """
        if self._decode_times is None and (
            times[0] == self._end or (lost_before and times[0] > self._end)
        ):
            durations = [later - time for time, later in pairwise(times)]
            if not durations or min(durations) > 0:
                last = times[-1]
                length = self._last(None if following is None else following - last, lost_after)
                durations.append(length)
                self._end = last + length
                self._newest = last
                return times[0] - self.zero, durations, None
        return self._place_slowly(times, following, lost_before, lost_after)

    def _place_slowly(
        self, times: Sequence[int], following: int | None, lost_before: int, lost_after: int
    ) -> tuple[int, list[int], list[int] | None]:
        decode_times = self._decode_times
        at = self._end
        decoded: list[int] = []
        shifts: list[int] = []
        newest = self._newest
        for index, time in enumerate(times):
            wanted = decode_times.push(time) if decode_times else time
            if index or lost_before:
                at = max(at, wanted)
            # Else the fragment begins where the one before it was told to end, whatever came between.
            decoded.append(at)
            shifts.append(max(min(time - at, _MAX_SHIFT), -_MAX_SHIFT))
            if time < newest and time < at:
                self.too_shallow = True
            newest = max(newest, time)
            at += 1
        gap = None
        if following is not None:
            gap = decode_times.peek(following) if decode_times else following
            gap -= decoded[-1]
        length = self._last(gap, lost_after)
        durations = [later - time for time, later in pairwise(decoded)]
        self._newest = newest
        self._end = decoded[-1] + length
        has_shifts = decode_times is not None or any(shifts)
        return decoded[0] - self.zero, [*durations, length], shifts if has_shifts else None

    def _last(self, gap: int | None, lost_after: int) -> int:
        """How long the last sample of a fragment lasts."""
        if gap is None or gap > _MAX_DURATION:
            return self.typical
        if lost_after:
            # Part of the time up to the next sample had another picture, or several.
            return min(max(gap, 1), self.typical)
        if gap <= 0:
            return 1
        self.typical = gap
        return gap

    @property
    def end(self) -> int:
        """Where the line ends so far, from its beginning."""
        return self._end - self.zero

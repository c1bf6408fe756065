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
        decode_times = self._decode_times
        decoded = decode_times.push_all(times) if decode_times else times
        begin = decoded[0]
        if begin != self._end and not (lost_before and begin > self._end):
            return self._place_slowly(times, decoded, following, lost_before, lost_after)
        durations = [later - time for time, later in pairwise(decoded)]
        shifts = None
        if decode_times:
            shifts = [time - at for time, at in zip(times, decoded, strict=True)]
            if min(shifts) < 0:
                return self._place_slowly(times, decoded, following, lost_before, lost_after)
        elif durations and min(durations) <= 0:
            return self._place_slowly(times, decoded, following, lost_before, lost_after)
        last = decoded[-1]
        if following is None:
            length = self.typical
        else:
            if decode_times:
                following = decode_times.peek(following)
            length = self._last(following - last, lost_after)
        durations.append(length)
        self._end = last + length
        newest = max(times) if decode_times else last
        if newest > self._newest:
            self._newest = newest
        return begin - self.zero, durations, shifts

    def _place_slowly(
        self,
        times: Sequence[int],
        wanted: Sequence[int],
        following: int | None,
        lost_before: int,
        lost_after: int,
    ) -> tuple[int, list[int], list[int] | None]:
        """As `place`, where decode times are not as the times before had promised."""
        decode_times = self._decode_times
        at = self._end
        decoded: list[int] = []
        shifts: list[int] = []
        newest = self._newest
        for index, time in enumerate(times):
            if index or lost_before:
                at = max(at, wanted[index])
            # Else the fragment begins where the one before it was told to end, whatever came between.
            decoded.append(at)
            shifts.append(max(min(time - at, _MAX_SHIFT), -_MAX_SHIFT))
            if time < newest and time < at:
                self.too_shallow = True
            newest = max(newest, time)
            at += 1
        length = self.typical
        if following is not None:
            gap = decode_times.peek(following) if decode_times else following
            length = self._last(gap - decoded[-1], lost_after)
        durations = [later - time for time, later in pairwise(decoded)]
        self._newest = newest
        self._end = decoded[-1] + length
        has_shifts = decode_times is not None or any(shifts)
        return decoded[0] - self.zero, [*durations, length], shifts if has_shifts else None

    def _last(self, gap: int, lost_after: int) -> int:
        """How long the last sample of a fragment lasts, `gap` before the next one's decoding."""
        if gap > _MAX_DURATION:
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

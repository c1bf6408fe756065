"""Decode times where frames are reordered (B-frames): RTP carries presentation times only.

A decoder that may hold back `reorder_frames` pictures puts out the i-th picture, in order of
presentation, no later than when it has taken in picture i + `reorder_frames`. So the decode time of
that picture may be the i-th smallest presentation time: never after its own presentation, and never
going back. The first `reorder_frames` decode times have no such picture and are extrapolated
backwards. An edit list that begins at the first sample's composition offset hides the lead.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappush, heappushpop
from operator import lt

MAX_REORDER_FRAMES = 16
"""The decoded picture buffer of either codec holds no more."""
DEFAULT_FRAME_DURATION_90K = 3_600


class DecodeTimes:
    """Gives each picture its decode time, in decoding order. Times are ticks, signed integers."""

    __slots__ = ("_count", "_frame_duration", "_last", "_start", "_waiting", "reorder_frames")

    def __init__(
        self, reorder_frames: int, frame_duration_90k: int = DEFAULT_FRAME_DURATION_90K
    ) -> None:
        """`frame_duration_90k` (at least 1) is used only for the lead before the first picture."""
        if not 0 <= reorder_frames <= MAX_REORDER_FRAMES or frame_duration_90k < 1:
            raise ValueError(f"{reorder_frames} frames of {frame_duration_90k} ticks")
        self.reorder_frames = reorder_frames
        self._frame_duration = frame_duration_90k
        self._waiting: list[int] = []
        self._count = 0
        self._start = 0
        self._last: int | None = None

    @property
    def lead_90k(self) -> int:
        """The first picture's composition offset: the edit list's media time."""
        return self.reorder_frames * self._frame_duration

    def push(self, pts_90k: int) -> int:
        """The decode time of the next picture, greater than every one before.

        It is at most `pts_90k` as long as no more than `reorder_frames` pictures are reordered and
        no two share a time; otherwise the composition offset is negative, which `trun` version 1
        can tell.
        """
        if not self._count:
            self._start = pts_90k - self.lead_90k
        if self._count < self.reorder_frames:
            heappush(self._waiting, pts_90k)
            dts = self._start + self._count * self._frame_duration
        else:
            dts = heappushpop(self._waiting, pts_90k)
        self._count += 1
        if self._last is not None and dts <= self._last:
            dts = self._last + 1
        self._last = dts
        return dts

    def push_all(self, pts_90k: Sequence[int]) -> Sequence[int]:
        """As `push` for each of some pictures, quicker."""
        last = self._last
        if last is None or self._count < self.reorder_frames:
            return [self.push(pts) for pts in pts_90k]
        waiting = self._waiting
        decoded = [heappushpop(waiting, pts) for pts in pts_90k]
        self._count += len(decoded)
        if decoded[0] <= last or not all(map(lt, decoded, decoded[1:])):
            for index, dts in enumerate(decoded):
                last = decoded[index] = max(dts, last + 1)
        self._last = decoded[-1]
        return decoded

    def peek(self, pts_90k: int) -> int:
        """What `push` would give for this picture; nothing changes. Not before the first picture."""
        if self._count < self.reorder_frames:
            dts = self._start + self._count * self._frame_duration
        else:
            dts = min(self._waiting[0], pts_90k) if self._waiting else pts_90k
        return dts if self._last is None or dts > self._last else self._last + 1


def observed_reorder(pts_list: Iterable[int]) -> int:
    """How deep presentation times in decoding order show pictures to be reordered, at most 16.

    It is the greatest number of pictures that come before one in decoding order and after it in
    presentation (`max_num_reorder_frames`). Only a window of 16 pictures is looked at, so the cost
    is linear; times that jump back for good should be split off by the caller first.
    """
    window: list[int] = []
    arrived: deque[int] = deque()
    depth = 0
    for pts in pts_list:
        depth = max(depth, len(window) - bisect_right(window, pts))
        insort(window, pts)
        arrived.append(pts)
        if len(arrived) > MAX_REORDER_FRAMES:
            window.remove(arrived.popleft())
    return depth

"""What a session brings becomes runs of samples: each of one format, on one line of media time.

A session's first half second is held in memory: to see how deep its pictures are reordered, and since many
cameras begin with a burst of old pictures, whose arrival says nothing about when they were taken.
"""

from __future__ import annotations

from itertools import pairwise

from khupho.archive.events import Arrival, CloseCause, Listener
from khupho.archive.place.place import Place
from khupho.archive.place.segment_names import parse_segment_path, segment_path
from khupho.archive.segments.anchor import Anchor
from khupho.archive.segments.batch_pieces import Pieces, copied
from khupho.archive.segments.track_writer import TrackWriter
from khupho.media.samples import Columns, SampleBatch
from khupho.units import MEDIA_CLOCK_HZ, US_PER_MINUTE, US_PER_MS

LONGEST_US = 10 * US_PER_MINUTE
"""A segment closes at the first key frame after that; a session's first one after half to all of it."""
SETTLE_US = 500 * US_PER_MS
"""So much of a session's beginning is held in memory."""
LEAP_90K = 60 * MEDIA_CLOCK_HZ
"""Media time that goes so far at once has jumped, whether anybody said so or not."""
_MAX_HELD_BYTES = 1 << 20
_NEW_LINE_SEAM_US = 700 * US_PER_MS
"""An anchor's first guess after a jump of timestamps is late by up to what the kernel gathers."""


class StreamWriter:
    """Writes one stream of one camera; `recorder.session.Writer`. For one thread.

    Faults of the disk never come out of it: they are told to the place, and the footage is missing.
    """

    __slots__ = (
        "_anchor", "_break", "_era", "_held", "_held_bytes", "_last_90k", "_settle_us", "_track",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        camera: str,
        stream: str,
        listener: Listener,
        *,
        longest_us: int = LONGEST_US,
        settle_us: int = SETTLE_US,
    ) -> None:
        if parse_segment_path(segment_path(camera, stream, 0)) is None:
            raise ValueError(f"no stream is called {camera!r}, {stream!r}")
        self._anchor = Anchor()
        self._track = TrackWriter(place, camera, stream, listener, self._anchor, longest_us)
        self._settle_us = settle_us
        self._era = 0
        self._begin_session()

    def _begin_session(self) -> None:
        self._held: list[tuple[SampleBatch, Arrival]] | None = []
        self._held_bytes = 0
        self._break = False
        """The next sample begins a new line of media time."""
        self._last_90k: int | None = None
        """Media time of the newest sample."""
        self._anchor.reset()
        self._track.begin_session()

    def write(self, batch: SampleBatch, arrival: Arrival) -> None:
        """Take a batch. Its bytes are copied or written when this returns."""
        samples = batch.samples
        if not samples:
            return
        if self._held is None:
            self._take(batch, arrival)
            return
        held = self._held
        is_new_line = any(sample.discontinuity for sample in samples)
        if held and (is_new_line or arrival.era != held[0][1].era):
            self._settle()
            self._take(batch, arrival)
            return
        held.append((copied(batch), arrival))
        self._held_bytes += batch.size_bytes
        if (
            is_new_line
            or arrival.mono_us - held[0][1].mono_us >= self._settle_us
            or self._held_bytes > _MAX_HELD_BYTES
        ):
            self._settle()

    def close(self, cause: CloseCause, now: Arrival) -> None:  # noqa: ARG002 - a writer may need it
        """The session ends. The next batch begins another, with media times of its own."""
        if self._held:
            self._settle()
        self._track.end_session(cause)
        self._begin_session()

    # The beginning of a session

    def _settle(self) -> None:
        """Write what was held; all of it has its say about the anchor and the order of pictures."""
        held, self._held = self._held or [], None
        self._held_bytes = 0
        self._era = held[0][1].era
        pts = [sample.pts_90k for batch, _ in held for sample in batch.samples]
        if not any(sample.discontinuity for batch, _ in held for sample in batch.samples):
            for batch, arrival in held:
                self._anchor.observe(_newest(batch), arrival, is_jump_taken=True)
            self._track.see_order(pts)
        for batch, arrival in held:
            self._put(batch.columns, batch, arrival)

    # A batch

    def _take(self, batch: SampleBatch, arrival: Arrival) -> None:
        if arrival.era != self._era:
            self._track.end_segment(CloseCause.CLOCK)
            self._track.seam_us = 0
            self._era = arrival.era
            self._anchor.reset()
        columns = batch.columns
        is_new_line = self._break or True in columns.discontinuities
        if is_new_line or not self._anchor.observe(_newest(batch), arrival):
            self._put(columns, batch, arrival)
        else:
            self._put_jump(columns, batch, arrival)

    def _put_jump(self, columns: Columns, batch: SampleBatch, arrival: Arrival) -> None:
        """Media time leapt ahead of its arrival somewhere in the batch: where the longest picture is."""
        times = list(columns.pts_90k)
        if batch.next_pts_90k is not None:
            times.append(batch.next_pts_90k)
        gaps = [later - time for time, later in pairwise(times)]
        longest = max(gaps, default=0)
        at = gaps.index(longest) + 1 if gaps else 0
        if longest * 2 < MEDIA_CLOCK_HZ:
            # No picture is long: a burst of what was held back somewhere.
            self._anchor.observe(_newest(batch), arrival, is_jump_taken=True)
            self._put(columns, batch, arrival)
        elif at == len(columns.pts_90k):
            self._put(columns, batch, arrival, is_next_known=False)
            self._break = True
        else:
            jumps = (*columns.discontinuities[:at], True, *columns.discontinuities[at + 1 :])
            self._put(columns._replace(discontinuities=jumps), batch, arrival)

    def _put(
        self, columns: Columns, batch: SampleBatch, arrival: Arrival, *, is_next_known: bool = True
    ) -> None:
        """Write a batch's samples, run by run: a run has one format and one line of media time."""
        pieces = Pieces(batch.pieces, batch.size_bytes)
        pts = columns.pts_90k
        first, last = min(pts), max(pts)
        before = first if self._last_90k is None else self._last_90k
        following = batch.next_pts_90k if is_next_known else None
        after = last if following is None else following
        breaks_after = False
        if (
            last - first > LEAP_90K
            or not -LEAP_90K < first - before < LEAP_90K
            or not -LEAP_90K < after - last < LEAP_90K
        ):
            columns = columns._replace(discontinuities=_leaps_told(columns, before))
            if abs(after - pts[-1]) > LEAP_90K:
                following = None
                breaks_after = True
        self._last_90k = pts[-1]
        formats, jumps = columns.formats, columns.discontinuities
        track = self._track
        if not (self._break or any(formats) or True in jumps):
            self._break = breaks_after
            track.run(columns, following, batch.next_lost_packets, pieces, arrival)
            return
        begin = 0
        for index in range(len(formats)):
            jumps_here = jumps[index] or (index == 0 and self._break)
            new_format = formats[index]
            if new_format == track.format:
                new_format = None
            if not jumps_here and new_format is None:
                continue
            if index > begin:
                next_pts = None if jumps_here else pts[index]
                track.run(columns.part(begin, index), next_pts, 0, pieces, arrival)
            begin = index
            if jumps_here:
                track.end_segment(CloseCause.TIMELINE)
                track.seam_us = 0 if columns.lost_packets[index] else _NEW_LINE_SEAM_US
                stop = index + 1
                while stop < len(jumps) and not jumps[stop]:
                    stop += 1
                newest = pts[stop - 1]
                if stop == len(jumps) and following is not None:
                    newest = max(newest, following)
                self._anchor.reset()
                self._anchor.observe(newest, arrival)
            if new_format is not None:
                track.change_format(new_format)
        run = columns.part(begin, len(formats)) if begin else columns
        track.run(run, following, batch.next_lost_packets, pieces, arrival)
        self._break = breaks_after


def _leaps_told(columns: Columns, before_90k: int) -> tuple[bool, ...]:
    """The discontinuities, and every leap of media time beside them."""
    told = []
    for pts, jumps in zip(columns.pts_90k, columns.discontinuities, strict=True):
        told.append(jumps or abs(pts - before_90k) > LEAP_90K)
        before_90k = pts
    return tuple(told)


def _newest(batch: SampleBatch) -> int:
    """The newest media time of which a byte has arrived."""
    pts_90k = batch.samples[-1].pts_90k
    next_pts = batch.next_pts_90k
    return pts_90k if next_pts is None or next_pts < pts_90k else next_pts

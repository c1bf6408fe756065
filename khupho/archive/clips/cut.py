"""Which samples of which segments make up a clip, and which runs of it are unbroken. Pure.

A segment's *presentation line* is its media line less the edit list's offset: the first picture is shown
at the first decode time. A fragment's `start_utc_us` is the moment of its first decode time on that line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from khupho.archive.events import CloseCause
from khupho.archive.segments.gaps import SEAM_US
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.media.formats import TrackFormat
from khupho.media.progressive import SampleRun
from khupho.units import US_PER_S


class MediaJump(NamedTuple):
    """Time inside a segment for which there is no picture."""

    start_utc_us: int
    end_utc_us: int


@dataclass(frozen=True, slots=True)
class SegmentCut:
    """The part of a segment that a clip takes. Media times are in its own time scale."""

    relative_path: str
    format: TrackFormat
    timescale: int
    cause: CloseCause | None
    first_fragment: int
    stop_fragment: int
    first_sample: int
    """Of the first fragment: the key frame that decoding begins with."""
    stop_sample: int
    """Of the last fragment, exclusive."""
    shown_samples: int
    first_dts: int
    first_shift: int
    """Composition offset of the first sample."""
    decode_span: int
    """From the first sample's decoding to the last one's."""
    shown_time: int
    """When the first shown picture begins, counted from `first_dts`, on the media's line."""
    end_time: int
    """When the last shown picture ends, counted as `shown_time` is."""
    start_utc_us: int
    """When the first shown picture was taken."""
    end_utc_us: int
    is_whole: bool
    """The last fragment is taken whole."""


class _Line:
    """A segment's samples on its presentation line."""

    def __init__(self, segment: StoredSegment) -> None:
        self.segment = segment
        self.times: list[int] = []
        self.dts: list[int] = []
        self.keys: list[int] = []
        """Indices of key samples."""
        self.first_of: list[int] = []
        """Index of each fragment's first sample."""
        self._bases: list[int] = []
        self._starts: list[int] = []
        for fragment in segment.fragments:
            header = fragment.header
            dts = header.base_decode_time_90k
            self.first_of.append(len(self.dts))
            self._bases.append(dts)
            self._starts.append(fragment.start_utc_us)
            for index, duration in enumerate(header.durations):
                if header.is_key[index]:
                    self.keys.append(len(self.dts))
                self.dts.append(dts)
                shift = header.ctts[index] - segment.edit_media_time if header.ctts else 0
                self.times.append(dts + shift)
                dts += duration
        self.end = dts

    def time_of(self, utc_us: int) -> int:
        """The media time of a moment, not past the next fragment's beginning."""
        index = max(bisect_right(self._starts, utc_us) - 1, 0)
        time = self._bases[index] + _ticks(utc_us - self._starts[index], self.segment.timescale)
        if index + 1 < len(self._bases):
            time = min(time, self._bases[index + 1])
        return time

    def utc_of(self, time: int) -> int:
        index = max(bisect_right(self._bases, time) - 1, 0)
        return self._starts[index] + _us(time - self._bases[index], self.segment.timescale)

    def fragment_of(self, sample: int) -> int:
        return bisect_right(self.first_of, sample) - 1


def _ticks(us: int, timescale: int) -> int:
    """Rounded up, so that the microseconds told of a picture find that picture again."""
    return -(-us * timescale // US_PER_S)


def _us(ticks: int, timescale: int) -> int:
    return ticks * US_PER_S // timescale


def cut_segment(segment: StoredSegment, start_utc_us: int, end_utc_us: int) -> SegmentCut | None:
    """What a clip from `start_utc_us` to `end_utc_us` takes of a segment; None for nothing.

    The picture that stands at the start is the first shown; decoding begins at the key frame at or before
    it. Where there is none, the clip begins at the first key frame after the start.
    """
    line = _Line(segment)
    if not line.keys:
        return None
    target = line.time_of(start_utc_us) if start_utc_us > segment.start_utc_us else None
    if target is not None and target >= line.end:
        return None
    key, shown_time = _beginning(line, target)
    end_time = line.end
    stop = len(line.times)
    if end_utc_us < segment.end_utc_us:
        end_time = min(line.time_of(end_utc_us), line.end)
        while stop > key and line.times[stop - 1] >= end_time:
            stop -= 1
    if stop <= key or shown_time >= end_time:
        return None
    first_fragment, last_fragment = line.fragment_of(key), line.fragment_of(stop - 1)
    first_dts = line.dts[key]
    stop_sample = stop - line.first_of[last_fragment]
    edit = segment.edit_media_time if segment.fragments[0].header.ctts else 0
    return SegmentCut(
        relative_path=segment.relative_path,
        format=segment.format,
        timescale=segment.timescale,
        cause=segment.cause,
        first_fragment=first_fragment,
        stop_fragment=last_fragment + 1,
        first_sample=key - line.first_of[first_fragment],
        stop_sample=stop_sample,
        shown_samples=sum(shown_time <= time < end_time for time in line.times[key:stop]),
        first_dts=first_dts,
        first_shift=line.times[key] + edit - first_dts,
        decode_span=line.dts[stop - 1] - first_dts,
        shown_time=shown_time + edit - first_dts,
        end_time=end_time + edit - first_dts,
        start_utc_us=line.utc_of(shown_time),
        end_utc_us=line.utc_of(end_time),
        is_whole=stop_sample == len(segment.fragments[last_fragment].header.sizes),
    )


def _beginning(line: _Line, target: int | None) -> tuple[int, int]:
    """Sample that decoding begins with, and the time of the first shown picture."""
    first_key = line.keys[0]
    if target is None:
        return first_key, line.times[first_key]
    shown_time = max((time for time in line.times if time <= target), default=None)
    before = None
    if shown_time is not None:
        before = max((key for key in line.keys if line.times[key] <= shown_time), default=None)
    if shown_time is None or before is None:
        return first_key, line.times[first_key]
    return before, shown_time


def jumps_of(segment: StoredSegment) -> Iterator[MediaJump]:
    """Where the media line of a segment jumps forward: frames were lost there."""
    previous: StoredFragment | None = None
    for fragment in segment.fragments:
        if previous is not None:
            end = previous.header.end_decode_time_90k
            missing = fragment.header.base_decode_time_90k - end
            if missing > 0:
                start_us = fragment.start_utc_us - _us(missing, segment.timescale)
                yield MediaJump(start_us, fragment.start_utc_us)
        previous = fragment


def runs_of(cuts: Sequence[SegmentCut], *, joined: bool) -> list[list[SegmentCut]]:
    """Cuts, in order of time, grouped into what becomes one file each.

    Within a group footage has one format (browsers stop at a change of it) and, unless `joined`, no gap.
    """
    runs: list[list[SegmentCut]] = []
    for cut in cuts:
        last = runs[-1][-1] if runs else None
        if (
            last is not None
            and (joined or abs(cut.start_utc_us - last.end_utc_us) <= SEAM_US)
            and cut.format == last.format
            and cut.timescale == last.timescale
        ):
            runs[-1].append(cut)
        else:
            runs.append([cut])
    return runs


@dataclass(frozen=True, slots=True)
class PlacedCut:
    """A cut and where it lies on the clip's own line (time scale of the first cut)."""

    cut: SegmentCut
    length: int
    """From its first sample's decoding to the next cut's, or to the clip's end."""


@dataclass(frozen=True, slots=True)
class ClipLine:
    """The cuts of one file, on one media line that begins at 0."""

    placed: tuple[PlacedCut, ...]
    format: TrackFormat
    timescale: int
    edit_media_time: int
    """Where the presentation begins: players show nothing earlier."""
    start_utc_us: int
    end_utc_us: int


def place(cuts: Sequence[SegmentCut]) -> ClipLine:
    """Put cuts of one format behind each other, each at its true time after the first."""
    timescale = cuts[0].timescale
    origin_utc_us = cuts[0].start_utc_us
    edit = cuts[0].shown_time
    placed = []
    begin = 0
    for index, cut in enumerate(cuts):
        begun = begin
        if index + 1 < len(cuts):
            following = cuts[index + 1]
            # Its first shown picture stands at its true time; decoding begins before that.
            begin = edit + _ticks(following.start_utc_us - origin_utc_us, timescale)
            begin = max(begin - following.shown_time, begun + cut.decode_span + 1)
        else:
            # What is shown lasts as long as the media, less what lies before the edit; that counts
            # from the first sample's composition offset (`khupho.media.progressive`).
            begin += cut.end_time - cuts[0].first_shift
        placed.append(PlacedCut(cut, begin - begun))
    return ClipLine(
        tuple(placed), cuts[0].format, timescale, edit, origin_utc_us, cuts[-1].end_utc_us
    )


def sample_runs(segment: StoredSegment, placed: PlacedCut) -> Iterator[SampleRun]:
    """The samples of a cut, a run for each fragment."""
    cut = placed.cut
    chosen = segment.fragments[cut.first_fragment : cut.stop_fragment]
    skipped = len(chosen[-1].header.sizes) - cut.stop_sample
    left = sum(len(fragment.header.sizes) for fragment in chosen) - cut.first_sample - skipped
    for index, fragment in enumerate(chosen):
        header = fragment.header
        first = cut.first_sample if index == 0 else 0
        stop = cut.stop_sample if index + 1 == len(chosen) else len(header.sizes)
        begun = header.base_decode_time_90k - cut.first_dts
        times = list(accumulate(header.durations, initial=begun))[first : stop + 1]
        if index + 1 < len(chosen):
            # A jump of the media line lengthens the last picture before it.
            times[-1] = chosen[index + 1].header.base_decode_time_90k - cut.first_dts
        else:
            times[-1] = placed.length
        # The last pictures' references may be decoded later than the clip's end: they are decoded
        # just before the end then, one a tick, and keep their time of presentation.
        held = [
            max(min(time, placed.length - left + number), 0) for number, time in enumerate(times)
        ]
        left -= stop - first
        shifts = header.ctts[first:stop] if header.ctts else None
        if shifts is not None and held[-2] != times[-2]:
            shifts = tuple(
                shift + time - at
                for shift, time, at in zip(shifts, times[:-1], held[:-1], strict=True)
            )
        yield SampleRun(
            [max(later - time, 0) for time, later in pairwise(held)],
            header.sizes[first:stop],
            header.is_key[first:stop],
            shifts,
        )


class DataRange(NamedTuple):
    """Bytes of one fragment's payload that a clip takes."""

    fragment: StoredFragment
    offset: int
    """In the segment's file."""
    size_bytes: int
    is_whole: bool


def data_ranges(segment: StoredSegment, cut: SegmentCut) -> Iterator[DataRange]:
    """The bytes of a cut, in the order of `sample_runs`."""
    for index in range(cut.first_fragment, cut.stop_fragment):
        fragment = segment.fragments[index]
        sizes = fragment.header.sizes
        first = cut.first_sample if index == cut.first_fragment else 0
        stop = cut.stop_sample if index + 1 == cut.stop_fragment else len(sizes)
        skipped = sum(sizes[:first])
        yield DataRange(
            fragment,
            fragment.offset + fragment.header.data_offset + skipped,
            sum(sizes[first:stop]),
            first == 0 and stop == len(sizes),
        )

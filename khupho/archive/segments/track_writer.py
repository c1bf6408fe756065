"""Runs of samples become fragments of segments: cut, timed, hashed, appended, told.

Fragments end before each key frame and where packets were lost, and with the batch. How deep pictures are
reordered stands in the segment's edit list, so it must be known when a segment begins: it is what the
format declares, and what this stream has shown before. A stream that shows deeper reordering later goes on
with negative composition offsets until its next key frame, and then in a new segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from zlib import crc32

from khupho.archive.events import Arrival, CloseCause, Listener, Segment
from khupho.archive.place.place import Place
from khupho.archive.place.segment_names import segment_path
from khupho.archive.segments.anchor import Anchor
from khupho.archive.segments.batch_pieces import Pieces
from khupho.archive.segments.decode_line import DecodeLine
from khupho.archive.segments.facts import (
    CLOCK_WRONG,
    DAMAGED,
    FRAGMENT_FACTS_TYPE,
    KEY_FIRST,
    MAX_LOST_PACKETS,
    SegmentFacts,
    fragment_facts_payload,
    sealed,
    segment_facts_box,
)
from khupho.archive.segments.file import FragmentToWrite, SegmentFile
from khupho.errors import Fault, KhuphoError
from khupho.media.fmp4 import Keys, fragment_header, init_segment
from khupho.media.formats import AudioFormat, TrackFormat, VideoFormat
from khupho.media.reorder import MAX_REORDER_FRAMES, observed_reorder
from khupho.media.samples import Columns
from khupho.units import MEDIA_CLOCK_HZ, US_PER_MINUTE, US_PER_MS, US_PER_S, utc_us_to_ntp

KEY_PATIENCE_US = 10 * US_PER_MINUTE
"""A segment that should close waits so long for a key frame (quirk 46)."""
RETRY_KEY_PATIENCE_US = 10 * US_PER_S
"""After a fault of the disk footage begins with a key frame, or after so long with any."""
_SAME_LINE_SEAM_US = US_PER_MS
_DEEPEST_REORDER_90K = MEDIA_CLOCK_HZ
"""Time that goes back by more is no reordering of pictures."""
_USUAL_FRAME_90K = 3_600
_USUAL_AUDIO_FRAME = 1_024
"""In ticks of the sampling rate, which is the time scale of audio tracks."""
_NAME_TRIES = 8


class BatchError(KhuphoError):
    """A batch is not what its maker promised: a bug, which must not become a broken file."""

    fault = Fault.KHUPHO


class TrackWriter:
    """Writes runs of samples, each of one format on one line of media time that the anchor has seen."""

    __slots__ = (
        "_age_at_utc_us", "_anchor", "_attempt", "_audio_hz", "_camera", "_file", "_forced_at_utc_us",
        "_format", "_line", "_listener", "_longest_us", "_memory", "_newest_utc_us", "_place",
        "_reorder_frames", "_retry_mono_us", "_sequence", "_stream", "_timescale", "_typical",
        "_zero_90k", "seam_us",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        camera: str,
        stream: str,
        listener: Listener,
        anchor: Anchor,
        longest_us: int,
    ) -> None:
        self._place = place
        self._camera = camera
        self._stream = stream
        self._listener = listener
        self._anchor = anchor
        self._longest_us = longest_us
        self._memory = place.memory_of(camera, stream)
        self._file: SegmentFile | None = None
        self._format: TrackFormat | None = None
        self._audio_hz = 0
        """The sampling rate; 0 for video."""
        self._typical = _USUAL_FRAME_90K
        self._line = DecodeLine(0, 0, self._typical)
        self._reorder_frames = 0
        self._zero_90k = self._sequence = self._forced_at_utc_us = self._newest_utc_us = 0
        self._timescale = MEDIA_CLOCK_HZ
        self.begin_session()

    def begin_session(self) -> None:
        """Another session follows, whose media times have nothing to do with the last one's."""
        self.seam_us = 0
        """A segment that would begin so little after the last one's end begins at that end."""
        self._attempt = 0
        """Failed attempts to write, in a row."""
        self._retry_mono_us = -1
        """When the disk may be tried again; -1 while it works."""
        self._age_at_utc_us = 0
        """When the segment is full; 0 where the session's first one is yet to begin."""

    def end_session(self, cause: CloseCause) -> None:
        """No more comes of this session."""
        self.end_segment(cause)
        if self._retry_mono_us >= 0:
            self._place.works(self._camera, self._stream)

    @property
    def format(self) -> TrackFormat | None:
        """What the track holds; None before anything told it."""
        return self._format

    def change_format(self, track: TrackFormat) -> None:
        """What follows is of another format: another segment."""
        self.end_segment(CloseCause.FORMAT)
        self._format = track
        self._audio_hz = track.clock_hz if isinstance(track, AudioFormat) else 0
        self._typical = _USUAL_AUDIO_FRAME if self._audio_hz else _USUAL_FRAME_90K

    def see_order(self, pts_90k: Sequence[int]) -> None:
        """Take in how deep these pictures, in decoding order, are reordered."""
        if any(before - pts > _DEEPEST_REORDER_90K for before, pts in pairwise(pts_90k)):
            return
        memory = self._memory
        memory.reorder_frames = max(memory.reorder_frames, observed_reorder(pts_90k))

    def run(
        self,
        run: Columns,
        next_pts: int | None,
        next_lost: int,
        pieces: Pieces,
        arrival: Arrival,
    ) -> None:
        """Cut a run into fragments: before key frames, and where packets were lost."""
        times: Sequence[int] = run.pts_90k
        following = next_pts
        is_key, lost = run.is_key, run.lost_packets
        hz = self._audio_hz
        if hz:
            times = [_audio_ticks(pts, hz) for pts in times]
            following = None if next_pts is None else _audio_ticks(next_pts, hz)
        count = len(times)
        begin = 0
        if (not hz and True in is_key[1:]) or any(lost[1:]):
            for end in range(1, count):
                if lost[end] or (is_key[end] and not hz):
                    self._fragment(run, times, begin, end, times[end], lost[end], pieces, arrival)
                    begin = end
        self._fragment(run, times, begin, count, following, next_lost, pieces, arrival)

    def _fragment(
        self,
        run: Columns,
        times: Sequence[int],
        begin: int,
        end: int,
        following: int | None,
        lost_after: int,
        pieces: Pieces,
        arrival: Arrival,
    ) -> None:
        """Make and append one fragment of the samples `begin` to `end` of a run."""
        sizes = run.sizes[begin:end]
        is_key = run.is_key[begin:end]
        data_bytes = sum(sizes)
        data = pieces.take(data_bytes)
        if sum(map(len, data)) != data_bytes:
            raise BatchError("A batch has fewer bytes than its samples", where=self._camera)
        file, anchor = self._file, self._anchor
        if file is not None and file.failed is not None:
            self._failed(file.failed, arrival)
            file = None
        if file is not None and (is_key[0] or arrival.utc_us >= self._forced_at_utc_us):
            self._turn_over(run.pts_90k[begin])
            file = self._file
        if file is None:
            file = self._begin_segment(run, times, begin, arrival)
            if file is None:
                self._place.lose(end - begin)
                return
        line = self._line
        lost_packets = run.lost_packets[begin]
        base, durations, shifts = line.place(times[begin:end], following, lost_packets, lost_after)
        hz = self._audio_hz
        start_us = anchor.utc_us(self._zero_90k + (base * MEDIA_CLOCK_HZ // hz if hz else base))
        if start_us <= self._newest_utc_us:
            start_us = self._newest_utc_us + 1
        self._newest_utc_us = start_us
        self._sequence = sequence = self._sequence + 1
        digest = sha256()
        for piece in data:
            digest.update(piece)
        damaged = True in run.damaged[begin:end]
        facts = fragment_facts_payload(
            (KEY_FIRST if is_key[0] else 0)
            | (DAMAGED if damaged else 0)
            | (CLOCK_WRONG if arrival.clock_wrong else 0),
            min(lost_packets, MAX_LOST_PACKETS),
            start_us,
            sequence,
            self._place.salt(),
            digest.digest(),
        )
        header = sealed(
            fragment_header(
                sequence,
                base,
                durations,
                sizes,
                data_size=data_bytes,
                ntp_64=utc_us_to_ntp(start_us),
                media_time_for_prft=base,
                keys=Keys.ALL if hz else Keys.FIRST if is_key[0] else Keys.NONE,
                ctts=shifts,
                facts_type=FRAGMENT_FACTS_TYPE,
                facts_payload=facts,
            )
        )
        duration_us = sum(durations) * US_PER_S // self._timescale
        to_write = FragmentToWrite(
            data_bytes,
            start_us,
            duration_us,
            end - begin,
            is_key.count(True),
            max(base + shifts[0] if shifts else base, 0) if is_key[0] else -1,
            lost_packets,
            damaged,
            arrival.clock_wrong,
        )
        try:
            file.append(header, data, to_write)
        except OSError as error:
            self._failed(error, arrival, end - begin)
            return
        if start_us + duration_us > self._memory.end_utc_us:
            self._memory.end_utc_us = start_us + duration_us
        self._retry_mono_us = -1
        self._attempt = 0

    # Segments

    def _turn_over(self, pts_90k: int) -> None:
        """End the segment if it is time: before a key frame, or when none came for long."""
        if self._anchor.turn:
            self.end_segment(CloseCause.CLOCK)
        elif self._line.too_shallow:
            self._memory.reorder_frames = min(self._reorder_frames + 1, MAX_REORDER_FRAMES)
            self.end_segment(CloseCause.FORMAT)
        elif self._anchor.utc_us(pts_90k) >= self._age_at_utc_us:
            self.end_segment(CloseCause.AGE)

    def _begin_segment(
        self, run: Columns, times: Sequence[int], begin: int, arrival: Arrival
    ) -> SegmentFile | None:
        """A new segment whose first sample is that one; None where it must wait for the disk."""
        track = self._format
        if track is None:
            return None
        if self._retry_mono_us >= 0:
            waited_us = arrival.mono_us - self._retry_mono_us
            if waited_us < (0 if run.is_key[begin] else RETRY_KEY_PATIENCE_US):
                return None
        anchor, memory = self._anchor, self._memory
        if not anchor.has_line:
            anchor.observe(run.pts_90k[-1], arrival)
        reorder = 0
        if isinstance(track, VideoFormat):
            self.see_order(run.pts_90k[begin:])
            reorder = min(max(track.reorder_frames or 0, memory.reorder_frames), MAX_REORDER_FRAMES)
        line = DecodeLine(times[begin], reorder, self._typical)
        pts_90k = run.pts_90k[begin]
        seam_us = 0 if run.lost_packets[begin] else self.seam_us
        not_before_us = memory.end_utc_us
        try:
            for attempt in range(_NAME_TRIES):
                start_us = anchor.begin(pts_90k, not_before_us, seam_us)
                try:
                    file = self._create(track, start_us, line.lead, arrival)
                    break
                except FileExistsError:
                    if attempt == _NAME_TRIES - 1:
                        raise
                    not_before_us = start_us + US_PER_MS
        except OSError as error:
            self._failed(error, arrival)
            return None
        length_us = self._longest_us
        if not self._age_at_utc_us:
            share = crc32(f"{self._camera}/{self._stream}".encode())
            length_us = length_us // 2 + (length_us * share >> 33)
        self._age_at_utc_us = start_us + length_us
        self._forced_at_utc_us = self._age_at_utc_us + KEY_PATIENCE_US
        self._file, self._line = file, line
        self._reorder_frames = reorder
        self._zero_90k = pts_90k
        self._sequence = 0
        self._newest_utc_us = start_us - 1
        """When the segment's newest fragment begins."""
        return file

    def _create(
        self, track: TrackFormat, start_us: int, lead: int, arrival: Arrival
    ) -> SegmentFile:
        """The file of a segment. Raises `OSError`."""
        hz = self._anchor.hz
        if self._audio_hz:
            hz = (self._audio_hz * hz + MEDIA_CLOCK_HZ // 2) // MEDIA_CLOCK_HZ
        self._timescale = hz
        init = init_segment(
            track,
            timescale=hz,
            edit_media_time_90k=lead,
            creation_utc_s=start_us // US_PER_S,
        )
        facts = SegmentFacts(
            self._place.archive_id,
            self._camera,
            self._stream,
            start_us,
            arrival.clock_wrong,
            arrival.era,
        )
        path = segment_path(self._camera, self._stream, start_us)
        segment = Segment(self._camera, self._stream, path, start_us, track)
        file = SegmentFile(self._place, segment, self._listener)
        file.begin(init + segment_facts_box(init, facts))
        return file

    def end_segment(self, cause: CloseCause) -> None:
        """End the segment, if one is being written."""
        file = self._file
        if file is None:
            return
        self._file = None
        self._typical = self._line.typical
        self.seam_us = _SAME_LINE_SEAM_US
        file.finish(cause)

    def _failed(self, error: OSError, arrival: Arrival, frames: int = 0) -> None:
        """The disk refused: the segment is given up, and a new one tried a little later."""
        if self._file is not None:
            if self._file.failed is None:
                self._file.abandon()
            self._file = None
        self._place.lose(frames)
        wait_us = self._place.failed(self._camera, self._stream, error, self._attempt)
        self._attempt += 1
        self._retry_mono_us = arrival.mono_us + wait_us
        self.seam_us = 0


def _audio_ticks(pts_90k: int, hz: int) -> int:
    """A media time in ticks of the sampling rate, to the nearest."""
    return (pts_90k * hz + MEDIA_CLOCK_HZ // 2) // MEDIA_CLOCK_HZ

"""A stream's samples become fragments of segments: cut, timed, hashed, appended, told.

Fragments end before each key frame and where packets were lost, and with the batch. How deep pictures are
reordered stands in the segment's edit list, so it must be known when a segment begins: it is what the
format declares, what this stream has shown before, and what its first half second shows. That is held in
memory at a session's beginning, also for the anchor, since many cameras begin with a burst of old pictures.
A stream that shows deeper reordering later goes on with negative composition offsets until its next key
frame, and then in a new segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from zlib import crc32

from khupho.archive.anchor import Anchor
from khupho.archive.batch_columns import Columns, Pieces, columns_of, copied
from khupho.archive.decode_line import DecodeLine
from khupho.archive.events import Arrival, CloseCause, Listener, Segment
from khupho.archive.place import Place
from khupho.archive.segment_facts import (
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
from khupho.archive.segment_file import FragmentToWrite, SegmentFile
from khupho.archive.segment_names import parse_segment_path, segment_path
from khupho.errors import Fault, KhuphoError
from khupho.media.fmp4 import Keys, fragment_header, init_segment
from khupho.media.formats import AudioFormat, TrackFormat, VideoFormat
from khupho.media.reorder import MAX_REORDER_FRAMES, observed_reorder
from khupho.media.samples import SampleBatch
from khupho.units import MEDIA_CLOCK_HZ, US_PER_MINUTE, US_PER_MS, US_PER_S, utc_us_to_ntp

LONGEST_US = 10 * US_PER_MINUTE
"""A segment closes at the first key frame after that; a session's first one after half to all of it."""
KEY_PATIENCE_US = 10 * US_PER_MINUTE
"""A segment that should close waits so long for a key frame (quirk 46)."""
RETRY_KEY_PATIENCE_US = 10 * US_PER_S
"""After a fault of the disk footage begins with a key frame, or after so long with any."""
SETTLE_US = 500 * US_PER_MS
"""So much of a session's beginning is held in memory."""
_MAX_HELD_BYTES = 1 << 20
_SAME_LINE_SEAM_US = US_PER_MS
_NEW_LINE_SEAM_US = 700 * US_PER_MS
"""An anchor's first guess after a jump of timestamps is late by up to what the kernel gathers."""
_USUAL_FRAME_90K = 3_600
_USUAL_AUDIO_FRAME = 1_024
"""In ticks of the sampling rate, which is the time scale of audio tracks."""
_NAME_TRIES = 8


class BatchError(KhuphoError):
    """A batch is not what its maker promised: a bug, which must not become a broken file."""

    fault = Fault.KHUPHO


class StreamWriter:
    """Writes one stream of one camera; `recorder.session.Writer`. For one thread.

    Faults of the disk never come out of it: they are told to the place, and the footage is missing.
    """

    __slots__ = (
        "_age_at_utc_us", "_anchor", "_attempt", "_audio_hz", "_break", "_camera", "_era",
        "_file", "_forced_at_utc_us", "_format", "_held", "_held_bytes", "_line", "_listener",
        "_longest_us", "_memory", "_newest_utc_us", "_place", "_reorder_frames", "_retry_mono_us", "_seam_us",
        "_sequence", "_settle_us", "_stream", "_timescale", "_typical", "_zero_90k",
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
        self._place = place
        self._camera = camera
        self._stream = stream
        self._listener = listener
        self._longest_us = longest_us
        self._settle_us = settle_us
        self._memory = place.memory_of(camera, stream)
        self._anchor = Anchor()
        self._file: SegmentFile | None = None
        self._format: TrackFormat | None = None
        self._audio_hz = 0
        """The sampling rate; 0 for video."""
        self._typical = _USUAL_FRAME_90K
        self._era = 0
        self._line = DecodeLine(0, 0, self._typical)
        self._reorder_frames = 0
        self._zero_90k = self._sequence = self._forced_at_utc_us = self._newest_utc_us = 0
        self._timescale = MEDIA_CLOCK_HZ
        self._begin_session()

    def _begin_session(self) -> None:
        self._held: list[tuple[SampleBatch, Arrival]] | None = []
        self._held_bytes = 0
        self._break = False
        """The next sample begins a new line of media time."""
        self._seam_us = 0
        self._attempt = 0
        """Failed attempts to write, in a row."""
        self._retry_mono_us = -1
        """When the disk may be tried again; -1 while it works."""
        self._age_at_utc_us = 0
        """When the segment is full; 0 where the session's first one is yet to begin."""
        self._anchor.reset()

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
        self._end_segment(cause)
        if self._retry_mono_us >= 0:
            self._place.works(self._camera, self._stream)
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
            self._memory.reorder_frames = max(self._memory.reorder_frames, observed_reorder(pts))
        for batch, arrival in held:
            self._put(columns_of(batch), batch, arrival)

    # A batch

    def _take(self, batch: SampleBatch, arrival: Arrival) -> None:
        if arrival.era != self._era:
            self._end_segment(CloseCause.CLOCK)
            self._seam_us = 0
            self._era = arrival.era
            self._anchor.reset()
        columns = columns_of(batch)
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
        formats, jumps = columns.formats, columns.discontinuities
        begin = 0
        for index in range(len(formats)) if self._break or any(formats) or True in jumps else ():
            jumps_here = jumps[index] or (index == 0 and self._break)
            new_format = formats[index]
            if new_format == self._format:
                new_format = None
            if not jumps_here and new_format is None:
                continue
            if index > begin:
                next_pts = None if jumps_here else columns.pts_90k[index]
                self._run(columns.part(begin, index), next_pts, 0, pieces, arrival)
            begin = index
            if jumps_here:
                self._break = False
                self._end_segment(CloseCause.TIMELINE)
                self._seam_us = 0 if columns.lost_packets[index] else _NEW_LINE_SEAM_US
                self._anchor.reset()
                stop = index + 1
                while stop < len(jumps) and not jumps[stop]:
                    stop += 1
                newest = columns.pts_90k[stop - 1] if stop < len(jumps) else _newest(batch)
                self._anchor.observe(newest, arrival)
            if new_format is not None:
                self._end_segment(CloseCause.FORMAT)
                self._format = new_format
                self._audio_hz = new_format.clock_hz if isinstance(new_format, AudioFormat) else 0
                self._typical = _USUAL_AUDIO_FRAME if self._audio_hz else _USUAL_FRAME_90K
        next_pts = batch.next_pts_90k if is_next_known else None
        run = columns.part(begin, len(formats)) if begin else columns
        self._run(run, next_pts, batch.next_lost_packets, pieces, arrival)

    def _run(
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
            self._end_segment(CloseCause.CLOCK)
        elif self._line.too_shallow:
            self._memory.reorder_frames = min(self._reorder_frames + 1, MAX_REORDER_FRAMES)
            self._end_segment(CloseCause.FORMAT)
        elif self._anchor.utc_us(pts_90k) >= self._age_at_utc_us:
            self._end_segment(CloseCause.AGE)

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
            seen = observed_reorder(run.pts_90k[begin:])
            memory.reorder_frames = max(memory.reorder_frames, seen)
            reorder = min(max(track.reorder_frames or 0, memory.reorder_frames), MAX_REORDER_FRAMES)
        line = DecodeLine(times[begin], reorder, self._typical)
        pts_90k = run.pts_90k[begin]
        seam_us = 0 if run.lost_packets[begin] else self._seam_us
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

    def _end_segment(self, cause: CloseCause) -> None:
        file = self._file
        if file is None:
            return
        self._file = None
        self._typical = self._line.typical
        self._seam_us = _SAME_LINE_SEAM_US
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
        self._seam_us = 0


def _newest(batch: SampleBatch) -> int:
    """The newest media time of which a byte has arrived."""
    pts_90k = batch.samples[-1].pts_90k
    next_pts = batch.next_pts_90k
    return pts_90k if next_pts is None or next_pts < pts_90k else next_pts


def _audio_ticks(pts_90k: int, hz: int) -> int:
    """A media time in ticks of the sampling rate, to the nearest."""
    return (pts_90k * hz + MEDIA_CLOCK_HZ // 2) // MEDIA_CLOCK_HZ

"""A progressive MP4 with its index in front, for export: only the header is made here.

The caller writes the header and then copies the payload ranges of the runs, in the order given,
right behind it (`copy_file_range`, `sendfile`): they are the one `mdat`. No byte of video passes
through this module.

Source: ISO/IEC 14496-12 sections 8.5 to 8.7 (`stts`, `ctts`, `stsc`, `stsz`, `co64`, `stss`).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct

from khupho.media.boxes import BoxError, box, full_box, mdat_header
from khupho.media.formats import TrackFormat, VideoFormat
from khupho.media.init_segment import MP4_EPOCH_OFFSET_S, movie_header, track_box
from khupho.units import MEDIA_CLOCK_HZ

_U32_MAX = 0xFFFFFFFF
_U32 = Struct(">I")
_ARRAY_U32 = "I"


@dataclass(frozen=True, slots=True)
class ProgressiveTrack:
    """A track of the file."""

    formats: tuple[TrackFormat, ...]
    """All video or all audio. Several where the parameter sets changed between segments."""
    timescale: int = MEDIA_CLOCK_HZ
    start_90k: int = 0
    """How long after the film's start this track begins (an empty edit)."""
    edit_media_time: int = 0
    """The track's presentation begins here on its media's line: at the first composition offset, or
    later where the film is to begin after its first key frame."""


@dataclass(frozen=True, slots=True)
class SampleRun:
    """Samples whose bytes lie one after the other: a fragment's, or several fragments' together.

    A gap after the run is told by making its last duration longer: the player shows the last
    picture until the next run. Up to 13 hours fit one duration at 90 kHz.
    """

    durations: Sequence[int]
    sizes: Sequence[int]
    is_key: Sequence[bool]
    ctts: Sequence[int] | None = None
    track: int = 0
    """Index into the tracks."""
    format: int = 0
    """Index into that track's formats."""


@dataclass(frozen=True, slots=True)
class ProgressiveHeader:
    """What goes in front of the payload ranges."""

    header: bytes
    """`ftyp moov` and the header of `mdat`."""
    data_size: int
    """Bytes of all runs' samples: what must follow the header."""

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        return len(self.header) + self.data_size


@dataclass(slots=True)
class _Tables:
    """One track's tables while they grow."""

    sizes: array[int] = field(default_factory=lambda: array(_ARRAY_U32))
    keys: array[int] = field(default_factory=lambda: array(_ARRAY_U32))
    durations: array[int] = field(default_factory=lambda: array(_ARRAY_U32))
    """Pairs of count and duration."""
    shifts: array[int] = field(default_factory=lambda: array(_ARRAY_U32))
    """Pairs of count and composition offset, the latter as two's complement."""
    shifted: bool = False
    first_shift: int = 0
    """The first sample's composition offset: where its presentation begins."""
    runs: array[int] = field(default_factory=lambda: array(_ARRAY_U32))
    """Triples of `stsc`: first chunk, samples a chunk, description index."""
    chunks: array[int] = field(default_factory=lambda: array("Q"))
    """Chunk offsets from the payload's start."""
    duration: int = 0


def progressive_header(
    tracks: Sequence[ProgressiveTrack], runs: Iterable[SampleRun], *, creation_utc_s: int = 0
) -> ProgressiveHeader:
    """The header of a file made of these runs, whose bytes follow it in the same order.

    Raises `BoxError` where a run is empty, contradicts itself, or a number doesn't fit.
    """
    tables = [_Tables() for _ in tracks]
    data_size = 0
    for run in runs:
        if not 0 <= run.track < len(tracks):
            raise BoxError(f"a run of track {run.track} of {len(tracks)}", data_size)
        if not 0 <= run.format < len(tracks[run.track].formats):
            raise BoxError(f"a run of format {run.format}", data_size)
        try:
            data_size += _add_run(tables[run.track], run, data_size)
        except OverflowError as e:
            raise BoxError(f"a number of a run doesn't fit 32 bits: {e}", data_size) from e
    if not all(table.sizes for table in tables) or not tables:
        raise BoxError("a track without samples", data_size)
    created_s = creation_utc_s + MP4_EPOCH_OFFSET_S if creation_utc_s else 0
    ftyp = box(b"ftyp", b"isom", bytes(4), b"isomiso4mp41")
    mdat = mdat_header(data_size)
    # Chunk offsets are always 64 bits wide, so the header's size doesn't hang on their values.
    size = len(ftyp) + len(_moov(tracks, tables, 0, created_s)) + len(mdat)
    header = ftyp + _moov(tracks, tables, size, created_s) + mdat
    return ProgressiveHeader(header, data_size)


def _add_run(table: _Tables, run: SampleRun, payload_offset: int) -> int:
    """Put a run into the tables; returns its size in bytes."""
    count = len(run.sizes)
    lengths = {count, len(run.durations), len(run.is_key)}
    if run.ctts is not None:
        lengths.add(len(run.ctts))
    if not count or len(lengths) > 1:
        raise BoxError(f"a run of {sorted(lengths)} samples", payload_offset)
    first = len(table.sizes)
    if not first and run.ctts is not None:
        table.first_shift = run.ctts[0]
    table.sizes.extend(run.sizes)
    table.keys.extend([first + i + 1 for i, key in enumerate(run.is_key) if key])
    table.duration += sum(run.durations)
    for duration in run.durations:
        _append_pair(table.durations, duration)
    if run.ctts is None:
        _append_pair(table.shifts, 0, count)
    else:
        table.shifted = table.shifted or any(run.ctts)
        for shift in run.ctts:
            if not -1 << 31 <= shift < 1 << 31:
                raise OverflowError(f"composition offset {shift}")
            _append_pair(table.shifts, shift & _U32_MAX)
    table.chunks.append(payload_offset)
    description = run.format + 1
    if not table.runs or table.runs[-2] != count or table.runs[-1] != description:
        table.runs.extend((len(table.chunks), count, description))
    return sum(run.sizes)


def _append_pair(pairs: array[int], value: int, count: int = 1) -> None:
    if pairs and pairs[-1] == value:
        pairs[-2] += count
    else:
        pairs.extend((count, value))


def _moov(
    tracks: Sequence[ProgressiveTrack], tables: Sequence[_Tables], offset: int, created_s: int
) -> bytes:
    """`moov`, with chunk offsets counted from `offset`."""
    traks = []
    longest = 0
    for number, (track, table) in enumerate(zip(tracks, tables, strict=True), 1):
        trimmed = track.edit_media_time - table.first_shift
        shown = max(table.duration - trimmed, 0) * MEDIA_CLOCK_HZ // track.timescale
        edits: tuple[tuple[int, int], ...] = ()
        if track.start_90k or track.edit_media_time:
            edits = ((shown, track.edit_media_time),)
        if track.start_90k:
            edits = ((track.start_90k, -1), *edits)
        longest = max(longest, track.start_90k + shown)
        traks.append(
            track_box(
                number,
                track.formats,
                _sample_table(table, offset, isinstance(track.formats[0], VideoFormat)),
                timescale=track.timescale,
                movie_duration=track.start_90k + shown,
                media_duration=table.duration,
                created_s=created_s,
                edits=edits,
            )
        )
    header = movie_header(
        MEDIA_CLOCK_HZ, duration=longest, created_s=created_s, next_track_id=len(tracks) + 1
    )
    return box(b"moov", header, *traks)


def _sample_table(table: _Tables, offset: int, is_video: bool) -> bytes:
    """The boxes of `stbl` after `stsd`."""
    parts = [_table_box(b"stts", 0, table.durations, 2)]
    if table.shifted:
        parts.append(_table_box(b"ctts", 1, table.shifts, 2))
    if is_video and len(table.keys) < len(table.sizes):
        parts.append(_table_box(b"stss", 0, table.keys, 1))
    parts.append(_table_box(b"stsc", 0, table.runs, 3))
    counted = _U32.pack(0) + _U32.pack(len(table.sizes))
    parts.append(full_box(b"stsz", 0, 0, counted, _big_endian(table.sizes)))
    chunks = array("Q", [offset + chunk for chunk in table.chunks])
    parts.append(_table_box(b"co64", 0, chunks, 1))
    return b"".join(parts)


def _table_box(kind: bytes, version: int, rows: array[int], columns: int) -> bytes:
    return full_box(kind, version, 0, _U32.pack(len(rows) // columns), _big_endian(rows))


def _big_endian(numbers: array[int]) -> bytes:
    if sys.byteorder == "little":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()

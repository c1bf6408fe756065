"""The initialisation segment, `ftyp moov`: made from a format, and read back to one.

Source: ISO/IEC 14496-12 sections 4.3, 8.2 to 8.6 and 8.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from khupho.media import aac, g711, h264, h265
from khupho.media.bits import BitsError
from khupho.media.boxes import (
    Box,
    BoxError,
    box,
    box_at,
    boxes_in,
    child,
    children,
    full_box,
    payload_fields,
)
from khupho.media.formats import AudioFormat, TrackFormat, VideoFormat
from khupho.media.fragments import DELTA_FLAGS, KEY_FLAGS, TRACK_ID
from khupho.media.nal import ParameterSetError
from khupho.units import MEDIA_CLOCK_HZ

MAX_INIT_BYTES = 1 << 20
MP4_EPOCH_OFFSET_S = 2_082_844_800
"""Seconds from 1904-01-01, from which MP4 counts, to the Unix epoch."""

_MATRIX = Struct(">9I").pack(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_U16, _U32, _U64 = Struct(">H"), Struct(">I"), Struct(">Q")
_ELST_1 = Struct(">IIQqI")
_VISUAL_BYTES = 78
_AUDIO_BYTES = 28


@dataclass(frozen=True, slots=True)
class InitSegment:
    """What an initialisation segment says."""

    format: TrackFormat
    timescale: int
    """Ticks a second of decode times and durations."""
    edit_media_time_90k: int
    """Where on the media's line the presentation begins (the edit list); 0 without one."""
    creation_utc_s: int
    """Seconds since the Unix epoch; 0 if unsaid."""
    size_bytes: int
    """`ftyp` and `moov`: the first byte after them is here."""


def init_segment(
    format: TrackFormat,
    *,
    timescale: int = MEDIA_CLOCK_HZ,
    edit_media_time_90k: int = 0,
    creation_utc_s: int = 0,
) -> bytes:
    """`ftyp moov` for one track of fragments.

    `edit_media_time_90k` (in the track's time scale) makes an edit list that begins the
    presentation there: the first sample's composition offset where frames are reordered.
    """
    ftyp = box(b"ftyp", b"iso6", bytes(4), b"iso6iso5mp41")
    key_flags = DELTA_FLAGS if isinstance(format, VideoFormat) else KEY_FLAGS
    trex = full_box(b"trex", 0, 0, Struct(">5I").pack(TRACK_ID, 1, 0, 0, key_flags))
    empty_table = full_box(b"stts", 0, 0, bytes(4)) + full_box(b"stsc", 0, 0, bytes(4))
    empty_table += full_box(b"stsz", 0, 0, bytes(8)) + full_box(b"stco", 0, 0, bytes(4))
    created = creation_utc_s + MP4_EPOCH_OFFSET_S if creation_utc_s else 0
    trak = track_box(
        TRACK_ID,
        (format,),
        empty_table,
        timescale=timescale,
        created_s=created,
        edits=((0, edit_media_time_90k),) if edit_media_time_90k else (),
    )
    moov = box(
        b"moov",
        movie_header(timescale, created_s=created, next_track_id=TRACK_ID + 1),
        trak,
        box(b"mvex", trex),
    )
    return ftyp + moov


def movie_header(
    timescale: int, *, duration: int = 0, created_s: int = 0, next_track_id: int = 2
) -> bytes:
    """`mvhd` version 1; times in seconds since 1904, the duration in the time scale."""
    fields = Struct(">QQIQIH10x").pack(created_s, created_s, timescale, duration, 0x10000, 0x100)
    return full_box(b"mvhd", 1, 0, fields, _MATRIX, bytes(24), _U32.pack(next_track_id))


def track_box(
    track_id: int,
    formats: tuple[TrackFormat, ...],
    sample_table: bytes,
    *,
    timescale: int,
    movie_duration: int = 0,
    media_duration: int = 0,
    created_s: int = 0,
    edits: tuple[tuple[int, int], ...] = (),
) -> bytes:
    """`trak`, with a sample description for each of `formats`.

    `sample_table` holds the boxes of `stbl` after `stsd`. `edits` are (duration in the movie's time
    scale, media time or -1 for an empty edit).
    """
    first = formats[0]
    is_video = isinstance(first, VideoFormat)
    width, height = (first.width_px, first.height_px) if isinstance(first, VideoFormat) else (0, 0)
    tkhd = full_box(
        b"tkhd",
        1,
        3,
        Struct(">QQIIQ8xhhH2x").pack(
            created_s, created_s, track_id, 0, movie_duration, 0, 0, 0 if is_video else 0x100
        ),
        _MATRIX,
        Struct(">II").pack(width << 16, height << 16),
    )
    edts = b""
    if edits:
        rows = b"".join(Struct(">QqI").pack(*edit, 0x10000) for edit in edits)
        edts = box(b"edts", full_box(b"elst", 1, 0, _U32.pack(len(edits)), rows))
    mdhd = full_box(
        b"mdhd",
        1,
        0,
        Struct(">QQIQHH").pack(created_s, created_s, timescale, media_duration, 0x55C4, 0),
    )
    handler, name = (b"vide", b"video\0") if is_video else (b"soun", b"audio\0")
    header = full_box(b"vmhd", 0, 1, bytes(8)) if is_video else full_box(b"smhd", 0, 0, bytes(4))
    stsd = full_box(
        b"stsd", 0, 0, _U32.pack(len(formats)), *(entry.sample_entry for entry in formats)
    )
    dinf = box(b"dinf", full_box(b"dref", 0, 0, _U32.pack(1), full_box(b"url ", 0, 1)))
    return box(
        b"trak",
        tkhd,
        edts,
        box(
            b"mdia",
            mdhd,
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
            box(b"minf", header, dinf, box(b"stbl", stsd, sample_table)),
        ),
    )


def parse_init(data: bytes) -> InitSegment:
    """Read back what `init_segment` made, from a buffer that begins with it.

    `BoxError` is raised where boxes or the sample entry are broken; `truncated` is set where the
    buffer ends before `moov` does.
    """
    ftyp = box_at(data, 0, len(data))
    if ftyp.type != b"ftyp":
        raise BoxError(f"a box {ftyp.type!r} stands where ftyp should", 0)
    moov = box_at(data, ftyp.end, len(data), at=ftyp.end)
    if moov.type != b"moov" or moov.end > MAX_INIT_BYTES:
        raise BoxError(f"a box {moov.type!r} of {moov.size} bytes, not moov", moov.offset)
    trak = child(data, moov, b"trak")
    mdia = child(data, trak, b"mdia")
    timescale = payload_fields(_U32, data, child(data, mdia, b"mdhd"), 20)[0]
    created = payload_fields(_U64, data, child(data, moov, b"mvhd"), 4)[0]
    edts = children(data, trak).get(b"edts")
    edit = 0
    if edts is not None:
        elst = child(data, edts, b"elst")
        version_flags, count, _, edit, _ = payload_fields(_ELST_1, data, elst)
        if version_flags >> 24 != 1 or count != 1 or edit < 0:
            raise BoxError("the edit list is not one edit", elst.offset)
    stsd = child(data, mdia, b"minf", b"stbl", b"stsd")
    if payload_fields(_U32, data, stsd, 4)[0] != 1:
        raise BoxError("not one sample description", stsd.offset)
    entries = boxes_in(data, stsd.payload + 8, stsd.end)
    entry = next(entries, None)
    if entry is None:
        raise BoxError("no sample description", stsd.offset)
    return InitSegment(
        format=format_of_entry(data, entry),
        timescale=timescale,
        edit_media_time_90k=edit,
        creation_utc_s=created - MP4_EPOCH_OFFSET_S if created else 0,
        size_bytes=moov.end,
    )


def format_of_entry(data: bytes, entry: Box) -> TrackFormat:
    """The format that a sample entry of `stsd` describes. Raises `BoxError`."""
    raw = bytes(data[entry.offset : entry.end])
    try:
        if entry.type in (b"avc1", b"hvc1"):
            return _video_format(data, entry, raw)
        if entry.type == b"mp4a":
            esds = child_after(data, entry, _AUDIO_BYTES, b"esds")
            config = aac.config_of_esds(bytes(data[esds.payload + 4 : esds.end]))
            return _with_entry(aac.audio_format(config), raw)
        if entry.type in (b"ulaw", b"alaw"):
            return g711.format_of_entry(raw)
    except (ParameterSetError, BitsError, aac.AudioConfigError) as e:
        raise BoxError(f"the sample entry cannot be read: {e}", entry.offset) from e
    raise BoxError(f"an unknown sample entry {entry.type!r}", entry.offset)


def _video_format(data: bytes, entry: Box, raw: bytes) -> VideoFormat:
    if entry.type == b"avc1":
        avcc = child_after(data, entry, _VISUAL_BYTES, b"avcC")
        sps, pps = h264.parameter_sets_of_record(bytes(data[avcc.payload : avcc.end]))
        made = h264.video_format(sps, pps)
    else:
        hvcc = child_after(data, entry, _VISUAL_BYTES, b"hvcC")
        record = bytes(data[hvcc.payload : hvcc.end])
        made = h265.video_format(*h265.parameter_sets_of_record(record))
    return VideoFormat(
        made.codec,
        made.parameter_sets,
        made.width_px,
        made.height_px,
        made.frame_rate,
        made.reorder_frames,
        made.rfc6381,
        raw,
    )


def _with_entry(made: AudioFormat, raw: bytes) -> AudioFormat:
    return AudioFormat(made.codec, made.clock_hz, made.channels, made.rfc6381, raw)


def child_after(data: bytes, entry: Box, fixed_bytes: int, kind: bytes) -> Box:
    """The box of that type after the fixed fields of a sample entry."""
    found = children(data, entry, fixed_bytes).get(kind)
    if found is None:
        raise BoxError(f"sample entry {entry.type!r} has no {kind!r}", entry.offset)
    return found

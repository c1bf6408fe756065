"""The rows that the catalog gets of a segment."""

from __future__ import annotations

from collections.abc import Sequence

from khupho.archive.catalog.minutes import MinuteFold, MinuteRow
from khupho.archive.catalog.queries import SegmentRow
from khupho.archive.segments.reader import counts_of, end_of
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.media.formats import TrackFormat, VideoFormat


def stored_row(
    stored: StoredSegment, number: int, size_bytes: int, *, is_closed: bool = True
) -> SegmentRow:
    """The catalog's row of a segment read from its file, of which `size_bytes` are whole.

    One that isn't closed gets what is needed to know it again: the recorder makes it good.
    """
    fragments, frames, key_frames, lost_packets, _ = counts_of(stored.fragments)
    end_utc_us = stored.end_utc_us
    if not is_closed:
        end_utc_us = end_of(stored.fragments, stored.start_utc_us, stored.timescale)
    return SegmentRow(
        number,
        stored.relative_path,
        stored.start_utc_us,
        end_utc_us,
        size_bytes,
        stored.cause if is_closed else None,
        fragments,
        frames,
        key_frames,
        lost_packets,
        format_text(stored.format),
        size_bytes if is_closed else 0,
    )


def stored_minutes(stored: StoredSegment) -> Sequence[MinuteRow]:
    """The minutes of a segment read from its file."""
    fold = MinuteFold()
    for fragment in stored.fragments:
        fold.take_stored(fragment, stored.timescale)
    return fold.rows()


def format_text(track: TrackFormat) -> str:
    """`avc1.640028 1920x1080`, or `mp4a.40.2 16000 Hz, 1 ch`."""
    if isinstance(track, VideoFormat):
        return f"{track.rfc6381} {track.width_px}x{track.height_px}"
    return f"{track.rfc6381} {track.clock_hz} Hz, {track.channels} ch"

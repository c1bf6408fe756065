"""Playback as HLS: playlists of byte ranges of segments as they lie on the disk.

Every segment has a time line of its own, so each begins with a discontinuity and the moment of its first
picture; so does what follows a hole inside a segment. Footage is cut at key frames alone. While footage is
added, what a playlist has said once stays as it is (RFC 8216 section 6.2.1): a group of pictures is told
when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from khupho.archive.archive_reader import ArchiveReader
from khupho.errors import Fault, KhuphoError
from khupho.media.hls import (
    InitPart,
    MediaEntry,
    MediaPlaylist,
    PlaylistKind,
    Variant,
    render_media_playlist,
    render_multivariant_playlist,
)
from khupho.recorder.viewing.segment_index import (
    KeyRange,
    SegmentIndex,
    SegmentIndexes,
    range_at,
)
from khupho.units import US_PER_DAY, US_PER_S, format_utc

MOST_PLAYLIST_US = US_PER_DAY
SHORTEST_ENTRY_US = 2 * US_PER_S
"""Key frames closer than that share an entry, if footage goes on."""
LONGEST_ENTRY_US = 10 * US_PER_S
"""No entry of several groups of pictures is longer."""
VIDEO_STREAMS = ("main", "sub")


class PlaylistError(KhuphoError):
    """A playlist cannot be made as asked."""

    fault = Fault.USER


class _Part(NamedTuple):
    """What a playlist takes of one segment."""

    segment: SegmentIndex
    ranges: Sequence[KeyRange]


def media_playlist(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    start_utc_us: int,
    end_utc_us: int,
    segment_url: Callable[[str], str],
    *,
    indexes: SegmentIndexes | None = None,
    now_utc_us: int | None = None,
) -> str | None:
    """A media playlist of the footage between two moments, at most a day apart; None for no footage.

    It begins with the group of pictures that contains the start (or the first one after it) and ends with
    the one that contains the end. `segment_url` makes an address of a segment's relative path. Where the
    newest segment is being written and ends before `end_utc_us`, the playlist is an event's, to be asked
    for again; with `now_utc_us` any playlist whose end is later than that moment is. `indexes` makes the
    next playlist of the same footage cheap; it is for one thread at a time.

    Raises `PlaylistError` for a time of no or of too great length, `HlsError` for an address that doesn't
    fit, `SegmentError` for the disk's faults.
    """
    _check(camera, stream, start_utc_us, end_utc_us)
    parts = _parts(reader, camera, stream, start_utc_us, end_utc_us, indexes or SegmentIndexes())
    if not parts:
        return None
    newest = parts[-1].segment
    if now_utc_us is not None:
        goes_on = end_utc_us > now_utc_us
    else:
        goes_on = not newest.is_closed and newest.end_utc_us < end_utc_us
    entries: list[MediaEntry] = []
    for number, part in enumerate(parts):
        is_growing = goes_on and not part.segment.is_closed and number == len(parts) - 1
        entries += _entries(part, segment_url(part.segment.relative_path), is_growing)
    if not entries:
        return None
    return render_media_playlist(
        MediaPlaylist(
            entries,
            PlaylistKind.EVENT if goes_on else PlaylistKind.VOD,
            is_ended=not goes_on,
            # It must not change while entries are added (RFC 8216 section 6.2.1).
            target_duration_s=LONGEST_ENTRY_US // US_PER_S if goes_on else 1,
        )
    )


def multivariant_playlist(
    reader: ArchiveReader,
    camera: str,
    start_utc_us: int,
    end_utc_us: int,
    playlist_url: Callable[[str], str],
    *,
    streams: Sequence[str] = VIDEO_STREAMS,
    indexes: SegmentIndexes | None = None,
) -> str | None:
    """A multivariant playlist of those of a camera's streams that have footage of that time; None for none.

    `playlist_url` makes the address of a stream's media playlist. Codec, picture size and bit rates are those
    of the newest segment within the time. Raises as `media_playlist` does.
    """
    indexes = indexes or SegmentIndexes()
    variants = []
    for stream in streams:
        _check(camera, stream, start_utc_us, end_utc_us)
        paths = reader.segments(camera, stream, start_utc_us, end_utc_us)
        for path in reversed(paths):
            index = indexes.of(reader, path)
            if index is None or not index.bits_per_s or index.end_utc_us <= start_utc_us:
                continue
            variants.append(
                Variant(
                    playlist_url(stream),
                    index.peak_bits_per_s,
                    index.bits_per_s,
                    (index.codec,),
                    index.width_px,
                    index.height_px,
                )
            )
            break
    return render_multivariant_playlist(variants) if variants else None


def _check(camera: str, stream: str, start_utc_us: int, end_utc_us: int) -> None:
    if not 0 < end_utc_us - start_utc_us <= MOST_PLAYLIST_US:
        try:
            when = f", {format_utc(start_utc_us)} to {format_utc(end_utc_us)}"
        except (OverflowError, ValueError):
            when = ""
        raise PlaylistError(
            "A playlist must end after it begins, within a day", where=f"{camera}/{stream}{when}"
        )


def _parts(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    start_utc_us: int,
    end_utc_us: int,
    indexes: SegmentIndexes,
) -> list[_Part]:
    parts = []
    for path in reader.segments(camera, stream, start_utc_us, end_utc_us):
        index = indexes.of(reader, path)
        if index is None:
            continue
        first = range_at(index.ranges, start_utc_us)
        stop = len(index.ranges)
        while stop > first and index.ranges[stop - 1].start_utc_us >= end_utc_us:
            stop -= 1
        if first < stop:
            parts.append(_Part(index, index.ranges[first:stop]))
    return parts


def _entries(part: _Part, url: str, is_growing: bool) -> Iterator[MediaEntry]:
    """The entries of one segment. Of one that is growing only those that nothing can change."""
    index = part.segment
    init = InitPart(url, index.init_bytes)
    ranges = part.ranges
    if is_growing and ranges[-1] is index.ranges[-1]:
        ranges = ranges[:-1]
    groups = _groups(ranges)
    if is_growing and groups and _duration_us(groups[-1]) < SHORTEST_ENTRY_US:
        groups.pop()  # the next group of pictures may join it
    for number, group in enumerate(groups):
        is_seam = number == 0 or group[0].is_after_hole
        yield MediaEntry(
            url,
            group[0].offset,
            sum(piece.size_bytes for piece in group),
            _duration_us(group),
            init,
            group[0].start_utc_us if is_seam else None,
            is_seam,
        )


def _groups(ranges: Sequence[KeyRange]) -> list[list[KeyRange]]:
    """Ranges that become one entry each. From left to right, so that adding ranges changes the last one
    only."""
    groups: list[list[KeyRange]] = []
    duration_us = 0
    for piece in ranges:
        is_joined = (
            groups
            and not piece.is_after_hole
            and duration_us < SHORTEST_ENTRY_US
            and duration_us + piece.duration_us <= LONGEST_ENTRY_US
        )
        if is_joined:
            groups[-1].append(piece)
            duration_us += piece.duration_us
        else:
            groups.append([piece])
            duration_us = piece.duration_us
    return groups


def _duration_us(group: Sequence[KeyRange]) -> int:
    return sum(piece.duration_us for piece in group)

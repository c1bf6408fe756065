"""HLS playlists as text: RFC 8216, with byte ranges of fragmented MP4 (section 3.3). Pure.

Version 7 of the protocol is what `EXT-X-MAP` without `EXT-X-I-FRAMES-ONLY` (6) and CMAF players ask for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_MS, US_PER_S, format_utc

PLAYLIST_MEDIA_TYPE = "application/vnd.apple.mpegurl"
"""RFC 8216 section 4."""
VERSION = 7
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff\"<>]")
"""In URIs: control characters, blanks, quotes; what RFC 3986 leaves out and section 4.2 cannot quote."""
_CODECS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*\Z")


class HlsError(KhuphoError):
    """What is to be put into a playlist doesn't fit there."""

    fault = Fault.KHUPHO


class PlaylistKind(Enum):
    """`EXT-X-PLAYLIST-TYPE` (RFC 8216 section 4.3.3.5)."""

    VOD = "VOD"
    """It never changes."""
    EVENT = "EVENT"
    """Entries may be added at its end, nothing else changes."""
    LIVE = ""
    """No type: entries may also go from its beginning."""


@dataclass(frozen=True, slots=True)
class InitPart:
    """Where the initialisation section lies (`EXT-X-MAP`, RFC 8216 section 4.3.2.5)."""

    uri: str
    size_bytes: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class MediaEntry:
    """One media segment: a byte range of a file, to be played after its initialisation section."""

    uri: str
    offset: int
    size_bytes: int
    duration_us: int
    """`EXTINF`."""
    init: InitPart
    start_utc_us: int | None = None
    """When its first picture was taken (`EXT-X-PROGRAM-DATE-TIME`); None to leave it to the entry before."""
    is_discontinuity: bool = False
    """Its media time or format doesn't go on from the entry before. A first entry shows none."""


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """RFC 8216 section 4.3.3."""

    entries: Sequence[MediaEntry]
    kind: PlaylistKind = PlaylistKind.VOD
    is_ended: bool = True
    """Nothing will be added (`EXT-X-ENDLIST`)."""
    media_sequence: int = 0
    """Number of the first entry."""
    target_duration_s: int = 1
    """At least that; more where an entry is longer."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One media playlist of a multivariant playlist (`EXT-X-STREAM-INF`, RFC 8216 section 4.3.4.2)."""

    uri: str
    peak_bits_per_s: int
    """`BANDWIDTH`: the highest bit rate of any of its segments."""
    bits_per_s: int
    """`AVERAGE-BANDWIDTH`."""
    codecs: tuple[str, ...]
    """RFC 6381, each once."""
    width_px: int = 0
    height_px: int = 0
    """0 and 0 without picture."""


def render_media_playlist(playlist: MediaPlaylist) -> str:
    """The text of a media playlist, with a line feed at its end.

    Raises `HlsError` for a URI with a quote, a blank or a control character, and for negative numbers.
    """
    if playlist.media_sequence < 0:
        raise HlsError(f"a media sequence of {playlist.media_sequence}")
    longest_us = max((entry.duration_us for entry in playlist.entries), default=0)
    target_s = max(playlist.target_duration_s, -(-longest_us // US_PER_S), 1)
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", f"#EXT-X-TARGETDURATION:{target_s}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}")
    if playlist.kind is not PlaylistKind.LIVE:
        lines.append(f"#EXT-X-PLAYLIST-TYPE:{playlist.kind.value}")
    lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    init: InitPart | None = None
    uri: str | None = None
    for index, entry in enumerate(playlist.entries):
        if entry.is_discontinuity and index:
            lines.append("#EXT-X-DISCONTINUITY")
        if entry.init is not init and entry.init != init:
            init = entry.init
            lines.append(
                f'#EXT-X-MAP:URI="{checked_uri(init.uri)}",BYTERANGE="{_range(init)}"',
            )
        if entry.start_utc_us is not None:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_moment(entry.start_utc_us)}")
        lines.append(f"#EXTINF:{_seconds(entry.duration_us)},")
        lines.append(f"#EXT-X-BYTERANGE:{_range(entry)}")
        if entry.uri != uri:
            uri = checked_uri(entry.uri)
        lines.append(entry.uri)
    if playlist.is_ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def render_multivariant_playlist(variants: Sequence[Variant]) -> str:
    """The text of a multivariant playlist (RFC 8216 section 4.3.4), the first variant first to be played.

    Raises `HlsError` as `render_media_playlist` does, and for codecs that are no RFC 6381 names.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for variant in variants:
        if min(variant.peak_bits_per_s, variant.bits_per_s) <= 0:
            raise HlsError("a variant without bit rate", where=variant.uri)
        for codec in variant.codecs:
            if not _CODECS.match(codec):
                raise HlsError(f"a codec {codec!r}", where=variant.uri)
        attributes = [
            f"BANDWIDTH={max(variant.peak_bits_per_s, variant.bits_per_s)}",
            f"AVERAGE-BANDWIDTH={variant.bits_per_s}",
        ]
        if variant.codecs:
            attributes.append(f'CODECS="{",".join(variant.codecs)}"')
        if variant.width_px > 0 and variant.height_px > 0:
            attributes.append(f"RESOLUTION={variant.width_px}x{variant.height_px}")
        lines += ["#EXT-X-STREAM-INF:" + ",".join(attributes), checked_uri(variant.uri)]
    return "\n".join(lines) + "\n"


def checked_uri(uri: str) -> str:
    """The URI, if it can stand on a line and between quotes. Raises `HlsError`."""
    if not uri or uri.startswith("#") or _FORBIDDEN.search(uri):
        raise HlsError(f"a URI that doesn't fit a playlist: {uri[:200]!r}")
    return uri


def _range(part: InitPart | MediaEntry) -> str:
    if part.size_bytes <= 0 or part.offset < 0:
        raise HlsError(f"{part.size_bytes} bytes at {part.offset}", where=part.uri)
    return f"{part.size_bytes}@{part.offset}"


def _seconds(duration_us: int) -> str:
    if duration_us < 0:
        raise HlsError(f"an entry of {duration_us} microseconds")
    return f"{duration_us // US_PER_S}.{duration_us % US_PER_S:06d}"


def _moment(utc_us: int) -> str:
    """RFC 3339 with milliseconds, rounded down: never later than the picture."""
    try:
        text = format_utc(utc_us // US_PER_MS * US_PER_MS)
    except OverflowError as error:
        raise HlsError(f"a moment of {utc_us} microseconds") from error
    return text[:-4] + "Z"

"""G.711 audio (RFC 3551 section 4.5.14): mu-law and A-law sample entries.

The entry types are QuickTime's, which ISO files carry too and ffmpeg and VLC play.
"""

from __future__ import annotations

from struct import Struct

from khupho.media.boxes import box
from khupho.media.formats import AudioFormat, Codec
from khupho.media.nal import ParameterSetError

_ENTRY = Struct(">6xH8xHH4xI")
_KINDS = {Codec.PCMU: b"ulaw", Codec.PCMA: b"alaw"}


def audio_format(codec: Codec, clock_hz: int = 8000, channels: int = 1) -> AudioFormat:
    """The format of a PCMU or PCMA track. Raises `ParameterSetError` for another codec or rate."""
    kind = _KINDS.get(codec)
    if kind is None or not 0 < clock_hz < 1 << 16 or not 0 < channels <= 8:
        raise ParameterSetError(f"no G.711: {codec.value}, {clock_hz} Hz, {channels} channels")
    entry = box(kind, _ENTRY.pack(1, channels, 16, clock_hz << 16))
    return AudioFormat(codec, clock_hz, channels, kind.decode(), entry)


def format_of_entry(entry: bytes) -> AudioFormat:
    """The format of a whole `ulaw` or `alaw` box."""
    if len(entry) < 8 + _ENTRY.size:
        raise ParameterSetError("the G.711 sample entry is cut short")
    _, channels, _, rate = _ENTRY.unpack_from(entry, 8)
    codec = Codec.PCMU if entry[4:8] == b"ulaw" else Codec.PCMA
    made = audio_format(codec, rate >> 16, channels)
    return AudioFormat(made.codec, made.clock_hz, made.channels, made.rfc6381, entry)

"""From a media description to the format that MP4 needs (quirks 1, 2, 3 and 47)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from khupho.errors import KhuphoError
from khupho.media import aac, g711, h264, h265
from khupho.media.formats import AudioFormat, Codec, VideoFormat
from khupho.media.nal import split_annex_b
from khupho.wire.rtsp.sdp import MediaDescription

VIDEO_CODECS = {"H264": Codec.H264, "H265": Codec.H265}
_AUDIO_CODECS = {"MPEG4-GENERIC": Codec.AAC, "PCMU": Codec.PCMU, "PCMA": Codec.PCMA}


def video_format(media: MediaDescription) -> VideoFormat | None:
    """The format that the description declares, or None: then it is waited for in band (quirk 1).

    Missing, cut or garbled parameter sets are None too, never an error.
    """
    try:
        if media.encoding == "H264":
            units = _units(media.fmtp.get("sprop-parameter-sets", ""))
            sps = [unit for unit in units if h264.nal_type(unit[0]) == h264.NAL_SPS]
            pps = [unit for unit in units if h264.nal_type(unit[0]) == h264.NAL_PPS]
            return h264.video_format(sps[0], pps) if sps and pps else None
        if media.encoding == "H265":
            named = [_units(media.fmtp.get(f"sprop-{name}", "")) for name in ("vps", "sps", "pps")]
            # One of the three alone is of no use (quirk 3).
            return h265.video_format(named[0][0], named[1][0], named[2]) if all(named) else None
    except KhuphoError:
        return None
    return None


def _units(text: str) -> list[bytes]:
    units: list[bytes] = []
    for part in text.split(",")[:64]:
        word = part.strip().rstrip("=")
        try:
            raw = base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        found: Sequence[bytes] = split_annex_b(raw) if b"\0\0\1" in raw[:4] else [raw]
        units += [unit for unit in found if unit]
    return units


def audio_format(media: MediaDescription) -> AudioFormat:
    """The format of an audio track. Raises `AudioConfigError` if it cannot be recorded."""
    codec = _AUDIO_CODECS.get(media.encoding)
    if codec is Codec.AAC:
        return aac.audio_format(media.fmtp.get("config", ""))
    if codec is not None:
        return g711.audio_format(codec, media.clock_hz or 8_000, media.channels)
    raise aac.AudioConfigError(f"audio of kind {media.encoding or 'unknown'} is not recorded")

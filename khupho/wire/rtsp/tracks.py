"""Which tracks are wanted, and from a media description to the format that MP4 needs (quirks 1, 2,
3 and 47)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence

from khupho.errors import KhuphoError
from khupho.media import aac, g711, h264, h265
from khupho.media.formats import AudioFormat, Codec, VideoFormat
from khupho.media.nal import split_annex_b
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.sdp import MediaDescription, SessionDescription

VIDEO_CODECS = {"H264": Codec.H264, "H265": Codec.H265}
_AUDIO_CODECS = {"MPEG4-GENERIC": Codec.AAC, "PCMU": Codec.PCMU, "PCMA": Codec.PCMA}
_SPROPS = ("sprop-vps", "sprop-sps", "sprop-pps", "sprop-parameter-sets")
_URL_SAFE = str.maketrans("-_", "+/")


def wanted_tracks(
    description: SessionDescription, *, audio: bool
) -> tuple[list[tuple[str, MediaDescription]], str]:
    """The tracks to set up with their kinds, video first, and why sound is not among them.

    Raises `RtspError` where there is no picture that can be recorded.
    """
    video = description.video()
    if video is None or video.encoding not in VIDEO_CODECS:
        offered = ", ".join(sorted({m.encoding or m.kind for m in description.media}))
        raise RtspError(
            "The camera offers no H.264 or H.265 picture",
            where=f"offered: {offered or 'nothing'}",
            advice="Set its stream to H.264 or H.265",
        )
    tracks = [("video", video)]
    if not audio:
        return tracks, ""
    sound = description.audio()
    if sound is None:
        return tracks, "the camera offers no sound that can be recorded"
    try:
        audio_format(sound)
    except KhuphoError as error:
        return tracks, error.what  # quirk 47: the picture is recorded all the same
    return [*tracks, ("audio", sound)], ""


def video_format(media: MediaDescription) -> VideoFormat | None:
    """The format that the description declares, or None: then it is waited for in band (quirk 1).

    Missing, cut or garbled parameter sets are None too, never an error.
    """
    units = [unit for name in _SPROPS for unit in _units(media.fmtp.get(name, ""))]
    if media.encoding == "H264":
        units += _hexadecimal_units(media.fmtp.get("config", ""))
        named = _by_type(units, h264.nal_type, (h264.NAL_SPS, h264.NAL_PPS))
        for sps in named[0] if named[1] else ():
            try:
                return h264.video_format(sps, named[1])
            except KhuphoError:
                continue  # another one may be whole
    if media.encoding == "H265":
        kinds = (h265.NAL_VPS, h265.NAL_SPS, h265.NAL_PPS)
        named = _by_type(units, h265.nal_type, kinds)
        # One of the three alone is of no use (quirk 3).
        for sps in named[1] if named[0] and named[2] else ():
            try:
                return h265.video_format(named[0][0], sps, named[2])
            except KhuphoError:
                continue
    return None


def _by_type(
    units: Sequence[bytes], nal_type: Callable[[int], int], kinds: Sequence[int]
) -> list[list[bytes]]:
    return [[unit for unit in units if nal_type(unit[0]) == kind] for kind in kinds]


def _units(text: str) -> list[bytes]:
    """The NAL units of a `sprop` value: base64, with what devices put between, around and behind
    it (quirk 2)."""
    units: list[bytes] = []
    for part in text.split(",")[:64]:
        word = re.sub(r"[\s\"'=]", "", part).translate(_URL_SAFE)
        try:
            raw = base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        units += _split(raw)
    return units


def _hexadecimal_units(text: str) -> list[bytes]:
    """The NAL units of a `config` with start codes, as MPEG-4 Visual had it."""
    try:
        return _split(bytes.fromhex(text[:16_384]))
    except ValueError:
        return []


def _split(raw: bytes) -> list[bytes]:
    found: Sequence[bytes] = split_annex_b(raw) if b"\0\0\1" in raw[:4] else [raw]
    return [unit for unit in found if unit]


def audio_format(media: MediaDescription) -> AudioFormat:
    """The format of an audio track. Raises `AudioConfigError` if it cannot be recorded."""
    codec = _AUDIO_CODECS.get(media.encoding)
    if codec is Codec.AAC:
        return aac.audio_format(media.fmtp.get("config", ""))
    if codec is not None:
        return g711.audio_format(codec, media.clock_hz or 8_000, media.channels)
    raise aac.AudioConfigError(f"audio of kind {media.encoding or 'unknown'} is not recorded")

"""A clip: the access units that a simulated camera sends round and round.

Any file that FFmpeg opens will do. H.264 and H.265 are taken as they are; anything else is encoded
once (`khupho.city.encoding`). Sources: ISO/IEC 14496-15 sections 5.3 and 8.3 (lengths before NAL
units), ITU-T H.264 and H.265 annex B (start codes).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from khupho.errors import Fault, KhuphoError
from khupho.media import h264, h265
from khupho.media.formats import Codec, VideoFormat
from khupho.media.nal import ParameterSetError, split_annex_b
from khupho.units import MEDIA_CLOCK_HZ

MAX_CLIP_BYTES = 256 << 20
"""A clip lies in memory as a whole; what is longer is cut before a key frame."""

CODECS = {"h264": Codec.H264, "hevc": Codec.H265}
"""FFmpeg's names of the codecs that are sent as they are."""

_log = logging.getLogger(__name__)


class ClipError(KhuphoError):
    """A video file cannot be sent as a camera's stream."""

    fault = Fault.USER


@dataclass(frozen=True, slots=True)
class ClipUnit:
    """One access unit, in decoding order."""

    nals: tuple[bytes, ...]
    """Without delimiters and without the clip's own parameter sets."""
    pts_90k: int
    dts_90k: int
    """Decode time; the camera sends the unit then. The first one's is 0."""
    is_key: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """A video to be sent in a loop. The first unit is a key frame."""

    name: str
    format: VideoFormat
    units: tuple[ClipUnit, ...]
    duration_90k: int
    """Exactly from the first unit's decode time to that of the first one of the next round."""


def load_clip(path: Path) -> Clip:
    """The clip in a file whose video is H.264 or H.265. Raises `ClipError`."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError("The file has no video", where=str(path))
            stream = container.streams.video[0]
            if stream.codec_context.name not in CODECS:
                raise ClipError(
                    f"The video is {stream.codec_context.name}, not H.264 or H.265",
                    where=str(path),
                )
            return _read(stream, list(_packets(container.demux(stream), path)), path)
    except av.error.FFmpegError as error:
        raise ClipError(
            f"The file cannot be read as video: {error.strerror}",
            where=str(path),
            advice="Name another with --video, or leave it out for the drawn street",
        ) from error
    except ParameterSetError as error:
        raise ClipError(f"The video cannot be decoded: {error}", where=str(path)) from error


def _packets(demuxed: Iterator[Packet[VideoStream]], path: Path) -> Iterator[Packet[VideoStream]]:
    """From the first key frame on, at most `MAX_CLIP_BYTES`, cut before a key frame."""
    taken: list[Packet[VideoStream]] = []
    held_bytes = 0
    begun = False
    for packet in demuxed:
        if not packet.size or not (begun or packet.is_keyframe):
            continue
        begun = True
        if packet.is_keyframe and taken:
            yield from taken
            taken.clear()
        held_bytes += packet.size
        if held_bytes > MAX_CLIP_BYTES:
            _log.warning("%s is longer than %d bytes; only its beginning is used",
                         path, MAX_CLIP_BYTES)  # fmt: skip
            return
        taken.append(packet)
    yield from taken


def _read(stream: VideoStream, packets: list[Packet[VideoStream]], path: Path) -> Clip:
    if not packets:
        raise ClipError("The video has no key frame to begin with", where=str(path))
    codec = CODECS[stream.codec_context.name]
    extradata = bytes(stream.codec_context.extradata or b"")
    length_bytes = _length_bytes(codec, extradata)
    split = [_split(bytes(packet), length_bytes, path) for packet in packets]
    track_format = _format(codec, extradata, length_bytes, split[0])
    times = _times(stream, packets, track_format, path)
    units = tuple(
        ClipUnit(
            tuple(nal for nal in nals if _is_sent(codec, nal, track_format)),
            pts_90k,
            dts_90k,
            bool(packet.is_keyframe),
        )
        for nals, packet, (pts_90k, dts_90k) in zip(split, packets, times, strict=True)
    )
    last = packets[-1]
    step_90k = _ticks(last.duration, stream.time_base) if last.duration else 0
    if step_90k <= 0:
        steps = sorted(b.dts_90k - a.dts_90k for a, b in pairwise(units))
        step_90k = steps[len(steps) // 2] if steps else MEDIA_CLOCK_HZ // 25
    return Clip(path.name, track_format, units, units[-1].dts_90k + step_90k)


def _ticks(value: int | None, time_base: Fraction | None) -> int:
    return round((value or 0) * (time_base or Fraction(1, MEDIA_CLOCK_HZ)) * MEDIA_CLOCK_HZ)


def _times(
    stream: VideoStream, packets: list[Packet[VideoStream]], track_format: VideoFormat, path: Path
) -> list[tuple[int, int]]:
    """Presentation and decode time of each packet from the first decode time on, in 90 kHz ticks."""
    if any(packet.dts is None for packet in packets):
        if track_format.reorder_frames and any(packet.pts is None for packet in packets):
            raise ClipError(
                "The file has no times, and its frames are not in the order they are shown in",
                where=str(path),
                advice="Put it into MP4 first: ffmpeg -i FILE -c copy FILE.mp4",
            )
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        step = Fraction(MEDIA_CLOCK_HZ) / rate
        return [(round(n * step), round(n * step)) for n in range(len(packets))]
    base = stream.time_base
    first_90k = _ticks(packets[0].dts, base)
    times: list[tuple[int, int]] = []
    for packet in packets:
        dts_90k = _ticks(packet.dts, base) - first_90k
        pts_90k = dts_90k if packet.pts is None else _ticks(packet.pts, base) - first_90k
        if times and dts_90k <= times[-1][1]:
            raise ClipError(
                "The file's times go back",
                where=f"{path}, packet {len(times)}",
                advice="Encode it anew: ffmpeg -i FILE FILE.mp4",
            )
        times.append((pts_90k, dts_90k))
    return times


def _length_bytes(codec: Codec, extradata: bytes) -> int:
    """Bytes of the length before each NAL unit, 0 where start codes divide them."""
    if codec is Codec.H264:
        return (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0
    is_record = len(extradata) > 22 and extradata[0] == 1
    return (extradata[21] & 3) + 1 if is_record else 0


def _split(data: bytes, length_bytes: int, path: Path) -> list[bytes]:
    """The NAL units of one packet."""
    if not length_bytes:
        return split_annex_b(data)
    nals: list[bytes] = []
    offset = 0
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + length_bytes], "big")
        offset += length_bytes
        if offset + size > len(data):
            raise ClipError("A NAL unit is cut short", where=str(path))
        if size:
            nals.append(data[offset : offset + size])
        offset += size
    return nals


def _format(
    codec: Codec, extradata: bytes, length_bytes: int, first_unit: list[bytes]
) -> VideoFormat:
    """From the container's record if it has one, else from what stands in band."""
    if codec is Codec.H264:
        if length_bytes:
            sps, pps = h264.parameter_sets_of_record(extradata)
            return h264.video_format(sps, pps)
        units = split_annex_b(extradata) + first_unit
        kinds = [h264.nal_type(unit[0]) for unit in units]
        all_pps = [u for u, kind in zip(units, kinds, strict=True) if kind == h264.NAL_PPS]
        return h264.video_format(_first(units, kinds, h264.NAL_SPS), all_pps)
    if length_bytes:
        vps, sps, pps = h265.parameter_sets_of_record(extradata)
        return h265.video_format(vps, sps, pps)
    units = split_annex_b(extradata) + first_unit
    kinds = [h265.nal_type(unit[0]) for unit in units]
    all_pps = [u for u, kind in zip(units, kinds, strict=True) if kind == h265.NAL_PPS]
    return h265.video_format(
        _first(units, kinds, h265.NAL_VPS), _first(units, kinds, h265.NAL_SPS), all_pps
    )


def _first(units: list[bytes], kinds: list[int], wanted: int) -> bytes:
    return next((u for u, kind in zip(units, kinds, strict=True) if kind == wanted), b"")


def _is_sent(codec: Codec, nal: bytes, track_format: VideoFormat) -> bool:
    """The clip's own parameter sets are put before each key frame by the packetizer."""
    if codec is Codec.H264:
        is_delimiter = h264.nal_type(nal[0]) == h264.NAL_AUD
    else:
        is_delimiter = h265.nal_type(nal[0]) == h265.NAL_AUD
    return not is_delimiter and nal not in track_format.parameter_sets

"""Making clips: the drawn street, and files whose video is neither H.264 nor H.265. Once, then cached."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.video.frame import VideoFrame

from khupho.city.cache import cached
from khupho.city.clip import CODECS, Clip, ClipError, load_clip
from khupho.city.street import Street

STREET_RATE = 25
STREET_SECONDS = 20
MAX_ENCODED_SECONDS = 60
"""Of a file that must be encoded, so much is used."""
_BITRATE = 2_000_000
_VERSION = 1

_log = logging.getLogger(__name__)


def street_clip(width: int = 1280, height: int = 720, directory: Path | None = None) -> Clip:
    """The drawn street: 25 pictures a second, a key frame every two seconds."""

    def make(path: Path) -> None:
        _log.warning("drawing a street of %d x %d; this is done once", width, height)
        frames = STREET_RATE * STREET_SECONDS
        street = Street(width, height, frames, STREET_RATE)
        drawn = (_frame(street, n, width, height) for n in range(frames))
        _encode(drawn, path, width, height, Fraction(STREET_RATE))

    name = f"street-{_VERSION}-{width}x{height}.mp4"
    return load_clip(cached(name, make, directory))


def clip_of_file(path: Path, directory: Path | None = None) -> Clip:
    """The clip in any file that FFmpeg opens: as it is if H.264 or H.265, else encoded once.

    Raises `ClipError`.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError("The file has no video", where=str(path))
            codec = container.streams.video[0].codec_context.name
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(
            f"The file cannot be opened as video: {error.strerror}",
            where=str(path),
            advice="Name another with --video, or leave it out for the drawn street",
        ) from error
    if codec in CODECS:
        return load_clip(path)
    seen = path.stat()
    key = f"{path.resolve()}\n{seen.st_size}\n{seen.st_mtime_ns}\n{_VERSION}"
    name = f"encoded-{hashlib.sha256(key.encode()).hexdigest()[:24]}.mp4"
    return load_clip(cached(name, lambda draft: _encode_file(path, draft), directory))


def _encode_file(path: Path, draft: Path) -> None:
    _log.warning("encoding %s as H.264; this is done once", path)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = min(stream.average_rate or Fraction(25), Fraction(60))
            most = int(rate * MAX_ENCODED_SECONDS)
            width, height = stream.width & ~1, stream.height & ~1
            decoded = _first(container.decode(stream), most)
            scaled = (frame.reformat(width, height, "yuv420p") for frame in decoded)
            _encode(scaled, draft, width, height, rate)
    except av.error.FFmpegError as error:
        raise ClipError(f"The file cannot be encoded: {error.strerror}", where=str(path)) from error


def _first(frames: Iterator[VideoFrame], most: int) -> Iterator[VideoFrame]:
    for number, frame in enumerate(frames):
        if number == most:
            return
        yield frame


def _frame(street: Street, number: int, width: int, height: int) -> VideoFrame:
    picture = street.picture(number)
    frame = VideoFrame(width, height, "yuv420p")
    for plane, data, row_bytes in zip(
        frame.planes,
        (picture.y, picture.u, picture.v),
        (width, width // 2, width // 2),
        strict=True,
    ):
        padding = bytes(plane.line_size - row_bytes)
        if padding:
            rows = range(0, len(data), row_bytes)
            data = b"".join(data[row : row + row_bytes] + padding for row in rows)
        plane.update(data)
    return frame


def _encode(
    frames: Iterable[VideoFrame], path: Path, width: int, height: int, rate: Fraction
) -> None:
    """As a camera encodes: no B-frames, a key frame every two seconds, a steady bit rate."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = _BITRATE
        stream.gop_size = max(round(rate * 2), 1)
        stream.max_b_frames = 0
        stream.options = {
            "preset": "veryfast", "tune": "zerolatency", "sc_threshold": "0",
            "maxrate": str(_BITRATE), "bufsize": str(2 * _BITRATE),
        }  # fmt: skip
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            frame.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

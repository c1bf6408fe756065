"""The process that decodes pictures for the page: `python -m khupho.recorder.still_process ROOT`.

A process of its own, since a decoder works on bytes that a hostile camera chose: should one bring it
down, or keep it busy, recording doesn't notice. One JSON line asks on stdin, either for a camera's newest
picture or with a coded picture behind it; one JSON line and the picture's bytes answer on stdout. It ends
with its parent.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from khupho.media.boxes import BoxError, box_at
from khupho.media.formats import Codec, VideoFormat
from khupho.media.init_segment import format_of_entry
from khupho.recorder.newest_picture import KeyFrame, NewestPictures

PICTURE_WIDTH_PX = 640
_MOST_PIXELS = 64_000_000
_MOST_MEMORY_BYTES = 3 << 30
_DECODERS = {Codec.H264: "h264", Codec.H265: "hevc"}


def to_jpeg(frame: KeyFrame, width_px: int = PICTURE_WIDTH_PX) -> bytes | None:
    """The key frame as JPEG, at most so wide; None if it cannot be decoded."""
    if frame.format.width_px * frame.format.height_px > _MOST_PIXELS:
        return None
    try:
        decoder = _context(_DECODERS[frame.format.codec], "r")
        decoder.thread_count = 1
        pictures = [*decoder.decode(av.Packet(frame.annex_b())), *decoder.decode(None)]
        return _encode(pictures[0], width_px) if pictures else None
    except (av.error.FFmpegError, ValueError, MemoryError):
        return None


def _context(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    return cast(VideoCodecContext, av.CodecContext.create(name, mode))


def _encode(picture: VideoFrame, width_px: int) -> bytes:
    width = min(width_px, picture.width) & ~1
    height = max(picture.height * width // picture.width & ~1, 2)
    encoder = _context("mjpeg", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "4", "qmax": "6"}
    small = picture.reformat(width, height, "yuvj420p", interpolation=Interpolation.AREA)
    small.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(small), *encoder.encode(None)])


def answer(
    pictures: NewestPictures, camera: str, known_utc_us: int
) -> tuple[dict[str, int], bytes]:
    """What a question is answered with: nothing new costs no decoding."""
    try:
        frame = pictures.find(camera)
    except OSError:
        frame = None
    if frame is None:
        return {"taken_utc_us": 0, "size": 0}, b""
    if frame.taken_utc_us == known_utc_us:
        return {"taken_utc_us": known_utc_us, "size": 0}, b""
    jpeg = to_jpeg(frame) or b""
    return {"taken_utc_us": frame.taken_utc_us if jpeg else 0, "size": len(jpeg)}, jpeg


def answer_decode(asked: Mapping[str, object], data: bytes) -> tuple[dict[str, int], bytes]:
    """What a question with a coded picture behind it is answered with; `size` 0 where it is no picture."""
    entry = bytes.fromhex(str(asked["sample_entry"]))
    try:
        track = format_of_entry(entry, box_at(entry, 0, len(entry)))
    except BoxError:
        return {"size": 0}, b""
    if not isinstance(track, VideoFormat):
        return {"size": 0}, b""
    jpeg = to_jpeg(KeyFrame(track, 0, data), int(str(asked["width_px"]))) or b""
    return {"size": len(jpeg)}, jpeg


def main() -> None:
    """Answer until stdin ends."""
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pictures = NewestPictures(Path(sys.argv[1]))
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if "sample_entry" in asked:
            head, jpeg = answer_decode(asked, sys.stdin.buffer.read(asked["size"]))
        else:
            head, jpeg = answer(pictures, str(asked["camera"]), int(asked["known_utc_us"]))
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + jpeg)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

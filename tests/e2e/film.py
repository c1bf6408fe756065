"""Known video: films whose every access unit is another, and the list of them.

People on a square (OpenCV's `vtest.avi`), with a counter of ffmpeg's in a corner, so that no two pictures
and no two access units are alike. Encoded once, then kept in the cache.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import av

from khupho.city.cache import cached

REAL_VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FRAME_90K = 3_600
FRAMES_PER_S = 25
WIDTH_PX, HEIGHT_PX = 640, 360
KEY_FRAMES = 50
"""From one key frame to the next: 2 s."""
SAMPLE_HZ = 16_000
G711_HZ = 8_000
_VERSION = 3

_X264 = ["-c:v", "libx264", "-preset", "superfast", "-crf", "26"]
_X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "27", "-tag:v", "hvc1"]
_KEYS = f"keyint={KEY_FRAMES}:min-keyint={KEY_FRAMES}:scenecut=0"
VIDEO_ENCODERS = {
    "h264": [*_X264, "-x264-params", f"{_KEYS}:bframes=0"],
    "h264-slices": [*_X264, "-x264-params", f"{_KEYS}:bframes=0:slices=4:aud=1"],
    "h264-b": [*_X264, "-x264-params", f"{_KEYS}:bframes=3:b-adapt=0:b-pyramid=normal:ref=3"],
    "h265": [*_X265, "-x265-params", f"log-level=error:{_KEYS}:bframes=0"],
    "h265-b": [*_X265, "-x265-params", f"log-level=error:{_KEYS}:bframes=3:b-adapt=0"],
}
AUDIO_ENCODERS = {
    "aac": ["-c:a", "aac", "-b:a", "48k", "-ar", str(SAMPLE_HZ), "-ac", "1"],
    "pcma": ["-c:a", "pcm_alaw", "-ar", str(G711_HZ), "-ac", "1"],
    "pcmu": ["-c:a", "pcm_mulaw", "-ar", str(G711_HZ), "-ac", "1"],
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit of video, or one frame of audio."""

    digest: bytes
    """SHA-256 of its NAL units without parameter sets and delimiters."""
    pts_90k: int
    is_key: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Film:
    """A file and what is in it, in decoding order."""

    path: Path
    codec: str
    """`h264` or `h265`."""
    parameter_sets: frozenset[bytes]
    units: list[Unit]
    audio: list[Unit] = field(default_factory=list)
    audio_bytes: bytes = b""
    """All sound together: packets of G.711 are cut anywhere."""


def nal_units(data: bytes) -> Iterator[bytes]:
    """The NAL units of a sample as in MP4 (4-byte lengths), or of a byte stream (start codes).

    A length may look like a start code: lengths that fill the sample are lengths.
    """
    nals, offset = [], 0
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + 4], "big")
        if not 0 < size <= len(data) - offset - 4:
            break
        nals.append(data[offset + 4 : offset + 4 + size])
        offset += 4 + size
    if offset < len(data):
        if not data.startswith((b"\0\0\0\1", b"\0\0\1")):
            raise ValueError(f"no NAL unit at byte {offset} of {len(data)}")
        nals = [part.rstrip(b"\0") for part in data.split(b"\0\0\1")[1:]]
    yield from nals


def is_set_or_delimiter(nal: bytes, codec: str) -> bool:
    """Whether it is a parameter set or an access unit delimiter."""
    return nal_type(nal, codec) in ((7, 8, 9) if codec == "h264" else (32, 33, 34, 35))


def nal_type(nal: bytes, codec: str) -> int:
    """ITU-T H.264 section 7.4.1, H.265 section 7.4.2.2."""
    return nal[0] & 0x1F if codec == "h264" else nal[0] >> 1 & 0x3F


def parameter_sets_in(data: bytes, codec: str) -> frozenset[bytes]:
    """Parameter sets among a sample's NAL units."""
    delimiter = 9 if codec == "h264" else 35
    return frozenset(
        nal
        for nal in nal_units(data)
        if is_set_or_delimiter(nal, codec) and nal_type(nal, codec) != delimiter
    )


Alteration = Callable[[bytes], bytes]
"""What a camera makes of a NAL unit that it should have sent as it is."""


def as_it_is(nal: bytes) -> bytes:
    return nal


def unit_digest(data: bytes, codec: str, alter: Alteration = as_it_is) -> bytes:
    """What makes two access units the same one, however their NAL units are packed."""
    made = sha256()
    for nal in nal_units(data):
        if not is_set_or_delimiter(nal, codec):
            nal = alter(nal)
            made.update(len(nal).to_bytes(4, "big") + nal)
    return made.digest()


def units_of(
    path: Path, alter: Alteration = as_it_is
) -> tuple[str, list[Unit], list[Unit], bytes, frozenset[bytes]]:
    """Codec, video, audio, all of its audio's bytes, and parameter sets of a file, as ffmpeg reads it."""
    video: list[Unit] = []
    audio: list[Unit] = []
    sound = bytearray()
    with av.open(str(path)) as container:
        codec = ""
        sets: frozenset[bytes] = frozenset()
        if container.streams.video:
            context = container.streams.video[0].codec_context
            codec = "h265" if context.name == "hevc" else context.name
            sets = sets_of_record(bytes(context.extradata or b""), codec)
        for packet in container.demux():
            if not packet.size:
                continue
            data, is_video = bytes(packet), packet.stream.type == "video"
            # A raw stream has no times.
            pts_90k = round((packet.pts or 0) * (packet.time_base or 0) * 90_000)
            digest = unit_digest(data, codec, alter) if is_video else sha256(data).digest()
            unit = Unit(digest, pts_90k, packet.is_keyframe, len(data))
            (video if is_video else audio).append(unit)
            if is_video:
                sets |= parameter_sets_in(data, codec)
            else:
                sound += data
    return codec, video, audio, bytes(sound), sets


def sets_of_record(record: bytes, codec: str) -> frozenset[bytes]:
    """Those of `avcC` or `hvcC` (ISO/IEC 14496-15 sections 5.3.3 and 8.3.3); of no record, none."""
    if record[:1] != b"\1":
        return frozenset()
    found = []
    if codec == "h264":
        at = 6
        for count in (record[5] & 0x1F, None):
            if count is None:
                count, at = record[at], at + 1
            for _ in range(count):
                size = int.from_bytes(record[at : at + 2], "big")
                found.append(record[at + 2 : at + 2 + size])
                at += 2 + size
    else:
        at = 23
        for _ in range(record[22]):
            kind, count = record[at] & 0x3F, int.from_bytes(record[at + 1 : at + 3], "big")
            at += 3
            for _ in range(count):
                size = int.from_bytes(record[at : at + 2], "big")
                if kind in (32, 33, 34):
                    found.append(record[at + 2 : at + 2 + size])
                at += 2 + size
    return frozenset(found)


def encode_command(target: Path, video: str, audio: str, seconds: int) -> list[str]:
    """ffmpeg's command for such a film."""
    if REAL_VIDEO.exists():
        source = ["-stream_loop", "-1", "-r", str(FRAMES_PER_S), "-i", str(REAL_VIDEO)]
    else:
        source = ["-f", "lavfi", "-i", f"testsrc2=size=768x576:rate={FRAMES_PER_S}"]
    counter = f"testsrc2=size=160x90:rate={FRAMES_PER_S}"
    size = f"{WIDTH_PX}:{HEIGHT_PX}"
    joined = f"[0:v]scale={WIDTH_PX}:-2,crop={size},setsar=1[big];[big][1:v]overlay=8:8,format=yuv420p[out]"
    sound = ["-f", "lavfi", "-i", f"anoisesrc=sample_rate=16000:seed={_VERSION}:amplitude=0.3"]
    return [
        "ffmpeg", "-nostdin", "-v", "error", "-y", *source, "-f", "lavfi", "-i", counter,
        *(sound if audio else []), "-filter_complex", joined, "-map", "[out]",
        *(["-map", "2:a", *AUDIO_ENCODERS[audio]] if audio else []),
        *VIDEO_ENCODERS[video], "-t", str(seconds), str(target),
    ]  # fmt: skip


def film(video: str, audio: str = "", seconds: int = 75) -> Film:
    """A film of so many seconds, 640x360 at 25 pictures a second; made if it isn't in the cache.

    `video` is one of `VIDEO_ENCODERS`, `audio` one of `AUDIO_ENCODERS` or empty.
    """
    # QuickTime holds G.711 as well.
    ending = "mov" if audio.startswith("pcm") else "mp4"

    def make(draft: Path) -> None:
        subprocess.run(encode_command(draft, video, audio, seconds), check=True, timeout=600)

    name = f"e2e-film-{_VERSION}-{video}{'-' + audio if audio else ''}-{seconds}s.{ending}"
    return read_film(cached(name, make))


def read_film(path: Path, alter: Alteration = as_it_is) -> Film:
    """The truth about a file. Raises `ValueError` if two of its access units are the same."""
    codec, video, audio, sound, sets = units_of(path, alter)
    if len({unit.digest for unit in video}) != len(video):
        raise ValueError(f"two access units of {path} are the same")
    return Film(path, codec, sets, video, audio, sound)

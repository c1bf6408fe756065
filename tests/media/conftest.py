"""Clips made by ffmpeg at test time, taken apart by PyAV: what the media room must put together."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

REAL_VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
ENCODERS = {
    "h264-b": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-b_strategy", "0"],
    "h264-baseline": [
        "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-vf", "scale=256:192",
    ],
    "h265-b": [
        "-c:v", "libx265", "-preset", "ultrafast", "-bf", "3", "-tag:v", "hvc1",
        "-x265-params", "log-level=error:b-adapt=0:bframes=3:repeat-headers=0",
    ],
    "aac": ["-c:a", "aac", "-b:a", "32k"],
    "pcmu": ["-c:a", "pcm_mulaw", "-ar", "8000", "-f", "mov"],
}  # fmt: skip


@dataclass(frozen=True)
class ClipPacket:
    """A packet as ffmpeg's own muxer timed it, in ticks of 90 kHz."""

    pts: int
    dts: int
    duration: int
    data: bytes
    is_key: bool


@dataclass(frozen=True)
class Clip:
    path: Path
    extradata: bytes
    width: int
    height: int
    packets: list[ClipPacket]


def load_clip(path: Path) -> Clip:
    with av.open(str(path)) as container:
        stream = container.streams[0]
        base = stream.time_base
        packets = [
            ClipPacket(
                int(p.pts * base * 90_000),
                int(p.dts * base * 90_000),
                int(p.duration * base * 90_000),
                bytes(p),
                p.is_keyframe,
            )
            for p in container.demux(stream)
            if p.size
        ]
        video = stream.type == "video"
        return Clip(
            path,
            stream.codec_context.extradata or b"",
            stream.width if video else 0,
            stream.height if video else 0,
            packets,
        )


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory):
    """`clip(name)`: a four-second clip of one of `ENCODERS`, made once a session."""
    directory = tmp_path_factory.mktemp("clips")
    made: dict[str, Clip] = {}

    def make(name: str) -> Clip:
        if name not in made:
            if name in ("aac", "pcmu"):
                source = ["-f", "lavfi", "-i", "sine=440:sample_rate=48000:duration=3"]
            elif REAL_VIDEO.exists():
                source = ["-i", str(REAL_VIDEO), "-t", "4", "-vf", "scale=384:288", "-g", "16"]
            else:
                source = ["-f", "lavfi", "-i", "testsrc2=size=384x288:rate=10:duration=4"]
                source += ["-g", "16"]
            path = directory / f"{name}.mp4"
            command = ["ffmpeg", "-v", "error", "-y", *source, *ENCODERS[name], str(path)]
            subprocess.run(command, check=True, timeout=60)
            made[name] = load_clip(path)
        return made[name]

    return make


def ffmpeg_errors(path: Path) -> str:
    """What ffmpeg complains of when it demuxes and decodes the whole file: empty if nothing."""
    text = ""
    for codec in (["-c", "copy"], []):
        command = ["ffmpeg", "-v", "error", "-xerror", "-err_detect", "explode", "-i", str(path)]
        done = subprocess.run(
            [*command, *codec, "-f", "null", "-"], capture_output=True, text=True, timeout=60
        )
        text += done.stderr + (f"exit {done.returncode}" if done.returncode else "")
    return text


@pytest.fixture(scope="session")
def complaints():
    return ffmpeg_errors


@pytest.fixture(scope="session")
def packets_of():
    return load_clip

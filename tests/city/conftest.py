"""Short clips made by ffmpeg at test time: small pictures, a key frame every 12 frames."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from khupho.city.clip import Clip, load_clip

ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"],
    "h264-b": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-b_strategy", "0"],
    "h265": [
        "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
        "-x265-params", "log-level=error:bframes=0:keyint=12:min-keyint=12:scenecut=0",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory: pytest.TempPathFactory):
    """`clip_path(name, size, seconds)`: an MP4 file of moving test pictures."""
    directory = tmp_path_factory.mktemp("city-clips")

    def make(name: str, size: str = "320x240", seconds: str = "1.92") -> Path:
        path = directory / f"{name}-{size}-{seconds}.mp4"
        if not path.exists():
            command = [
                "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-t", seconds,
                "-i", f"testsrc2=size={size}:rate=25", "-pix_fmt", "yuv420p", "-g", "12",
                "-sc_threshold", "0", *ENCODERS[name], str(path),
            ]  # fmt: skip
            subprocess.run(command, check=True, timeout=60)
        return path

    return make


@pytest.fixture(scope="session")
def clip(clip_path):
    """`clip(name, size, seconds)`: the same, loaded."""

    def load(name: str, size: str = "320x240", seconds: str = "1.92") -> Clip:
        return load_clip(clip_path(name, size, seconds))

    return load

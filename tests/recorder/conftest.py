"""Short clips made by ffmpeg at test time: small pictures, a key frame every 12, each picture another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"],
    "h264-b": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-b_strategy", "0"],
    "h265": [
        "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
        "-x265-params", "log-level=error:bframes=0:keyint=12:min-keyint=12:scenecut=0",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]  # a function
    """`clip_file(codec, size)`: an MP4 file of 4 s."""
    directory = tmp_path_factory.mktemp("recorder-clips")

    def make(codec: str = "h264", size: str = "320x240") -> Path:
        path: Path = directory / f"{codec}-{size}.mp4"
        if not path.exists():
            command = [
                "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-t", "3.84",
                "-i", f"testsrc2=size={size}:rate=25", "-pix_fmt", "yuv420p", "-g", "12",
                "-sc_threshold", "0", *_ENCODERS[codec], str(path),
            ]  # fmt: skip
            subprocess.run(command, check=True, timeout=60)
        return path

    return make

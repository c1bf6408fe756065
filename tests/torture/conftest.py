"""Clips for the torture: small pictures, each of other bytes than all others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from khupho.city.clip import Clip, load_clip


@pytest.fixture(scope="session")
def torture_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """8 s of H.264 at 25 pictures a second, 320x240, a key frame every 2 s, some 300 kbit/s."""
    path = tmp_path_factory.mktemp("torture") / "clip.mp4"
    make_clip(path, "320x240", 8)
    return load_clip(path)


def make_clip(path: Path, size: str, seconds: int) -> None:
    """Encode moving test pictures with noise, so that no two are alike; no SEI beside the slices."""
    command = [
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-t", str(seconds),
        "-i", f"testsrc2=size={size}:rate=25,noise=alls=6:allf=t:all_seed=7", "-pix_fmt", "yuv420p",
        "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "300k", "-maxrate", "300k", "-bufsize", "300k",
        "-bf", "0", "-g", "50", "-sc_threshold", "0", "-threads", "1",
        "-bsf:v", "filter_units=remove_types=6", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)

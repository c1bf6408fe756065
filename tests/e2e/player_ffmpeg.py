"""ffmpeg as a player: it decodes and copies each file, and must not say a word."""

from __future__ import annotations

import subprocess
from pathlib import Path

_LOUD = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error"]
_DECODE = [*_LOUD, "-xerror", "-err_detect", "explode"]


def complaints(path: Path) -> list[str]:
    """What ffmpeg says of a file, decoded strictly and copied; empty if it is content."""
    found = []
    for command in (
        [*_DECODE, "-i", str(path), "-f", "null", "-"],
        # A wrong `tfdt` shows only here.
        [*_LOUD, "-i", str(path), "-c", "copy", "-f", "null", "-"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        found += done.stderr.splitlines()
        if done.returncode:
            found.append(f"exit code {done.returncode}")
    return found


def shown_pictures(path: Path) -> int:
    """How many pictures its decoder gives."""
    command = [
        "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
        "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return int(done.stdout.strip().split(",")[0])

"""A tiny clip, and a way to run a measurement as its user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))


@pytest.fixture(scope="session")
def bench_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of small pictures, 25 a second, a key frame every 25."""
    path = tmp_path_factory.mktemp("bench-clip") / "tiny.mp4"
    command = [
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-t", "2", "-i", "testsrc2=size=320x240:rate=25",
        "-pix_fmt", "yuv420p", "-g", "25", "-sc_threshold", "0", "-c:v", "libx264",
        "-preset", "ultrafast", "-bf", "0", "-b:v", "1M", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture
def run_bench():
    """`run_bench(program, *arguments)`: the printed text, and the last line's JSON."""

    def run(program: str, *arguments: object) -> tuple[str, dict]:
        command = [sys.executable, str(BENCH / program), *map(str, arguments), "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=110, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, json.loads(done.stdout.splitlines()[-1])

    return run

"""The video that is sent in measurements: a real street, 1080p25 at 2 Mbit/s, a key frame every 2 s.

OpenCV's `vtest.avi` (people on a square, a fixed camera), one picture of it for each picture sent, so that
every picture differs from the last as a camera's do. Encoded once, then cached (XDG cache directory).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from khupho.city.cache import cached

SOURCE = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
FRAMES_PER_S = 25
BITS_PER_S = 2_000_000
KEY_FRAMES = 50
"""From one key frame to the next: 2 s."""
SECONDS = 30
_VERSION = 1

_ENCODERS = {
    "h264": [
        "-c:v", "libx264", "-preset", "veryfast", "-g", str(KEY_FRAMES),
        "-keyint_min", str(KEY_FRAMES), "-sc_threshold", "0", "-bf", "0",
    ],
    "h265": [
        "-c:v", "libx265", "-preset", "superfast", "-tag:v", "hvc1", "-x265-params",
        f"log-level=error:keyint={KEY_FRAMES}:min-keyint={KEY_FRAMES}:scenecut=0:bframes=0",
    ],
}  # fmt: skip
CODECS = tuple(_ENCODERS)


def encode_command(source: Path, target: Path, codec: str) -> list[str]:
    """ffmpeg's command: 750 pictures at a constant rate of bits, no B-frames, as cameras send."""
    rate = str(BITS_PER_S)
    return [
        "ffmpeg", "-nostdin", "-v", "error", "-y", "-r", str(FRAMES_PER_S), "-i", str(source),
        "-frames:v", str(FRAMES_PER_S * SECONDS), "-an",
        "-vf", "scale=1920:1080:flags=bicubic,format=yuv420p",
        *_ENCODERS[codec], "-b:v", rate, "-maxrate", rate, "-bufsize", rate, str(target),
    ]  # fmt: skip


def real_video(codec: str) -> Path:
    """The file, made if it isn't in the cache. Ends the program with advice if it can't be made."""
    if not SOURCE.exists():
        sys.exit(
            f"{SOURCE} is not there. On Debian: apt-get install opencv-doc; or name a file with --video"
        )

    def make(draft: Path) -> None:
        print(f"encoding {SOURCE.name} as {codec}, 1080p25 at 2 Mbit/s; once", file=sys.stderr)
        subprocess.run(encode_command(SOURCE, draft, codec), check=True, timeout=1800)

    return cached(f"bench-vtest-{_VERSION}-{codec}.mp4", make)

"""On what machine and with which versions a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _ffmpeg_version() -> str:
    try:
        text = subprocess.run(
            ["ffmpeg", "-version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    words = text.split()
    return words[2] if len(words) > 2 else "unknown"


def _pyav_version() -> str:
    import av

    libraries = ".".join(map(str, av.library_versions.get("libavformat", ())))
    return f"{av.__version__} (libavformat {libraries})"


def describe() -> dict[str, str]:
    """What belongs beside every figure."""
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_gb()} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ffmpeg": _ffmpeg_version(),
        "pyav": _pyav_version(),
    }


def describe_text() -> str:
    """The same in one line."""
    return ", ".join(f"{name} {value}" for name, value in describe().items())

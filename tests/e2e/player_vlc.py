"""VLC as a player: every picture that it shows is read from a pipe, and counted."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from child_process import ChildProcess, until

RATES = (8, 4, 2)
"""The film is played that much faster; on a busy machine the slower ones are tried too."""
PATIENCE_S = 200.0
_FRAME = b"FRAME\n"


@dataclass(frozen=True, slots=True)
class Shown:
    """What VLC showed."""

    pictures: int
    complaints: list[str]


def is_here() -> bool:
    """Whether this machine has it (Debian: vlc-bin, vlc-plugin-base)."""
    return shutil.which("cvlc") is not None


def show(path: Path, rate: int = RATES[0]) -> Shown:
    """Play the video of a file to its end."""
    with tempfile.TemporaryDirectory(prefix="khupho-vlc-") as home:
        Path(home).chmod(0o777)
        film, pictures = Path(home) / "film.mp4", Path(home) / "pictures.y4m"
        shutil.copy(path, film)
        film.chmod(0o644)
        os.mkfifo(pictures)
        pictures.chmod(0o666)
        command = [
            "cvlc", "-I", "dummy", "--no-audio", "--vout", "yuv", "--yuv-file", str(pictures),
            "--avcodec-hw", "none", "--no-drop-late-frames", "--no-skip-frames",
            "--rate", str(rate), "--play-and-exit", str(film),
        ]  # fmt: skip
        counts: list[int] = []
        is_over = threading.Event()

        def read() -> None:
            # It opens the pipe once for each output that it tries.
            while not is_over.is_set():
                counts.append(_count(pictures))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        with ChildProcess(command, env={"HOME": home}, as_nobody=True) as child:
            until(lambda: child.returncode is not None, f"VLC to play {path}", PATIENCE_S)
            said = child.said().splitlines()
        is_over.set()
        while reader.is_alive():
            os.close(os.open(pictures, os.O_RDWR | os.O_NONBLOCK))
            reader.join(0.1)
        return Shown(sum(counts), [line for line in said if _is_about_the_file(line)])


def _is_about_the_file(line: str) -> bool:
    """Of drivers, D-Bus and sound it complains in any case; and it counts fragments from 0, where
    ISO/IEC 14496-12 section 8.8.5 says that they usually begin at 1."""
    return "demux" in line and not line.endswith("Fragment sequence discontinuity detected 1 != 0")


def _count(path: Path) -> int:
    """Different pictures in YUV4MPEG2: a line for the file, then a line and the bytes for each picture.

    One that comes twice in a row was only shown again, as VLC does when it is late.
    """
    with path.open("rb") as file:
        fields = {part[:1]: part[1:] for part in file.readline().split()[1:]}
        if not fields:
            return 0
        width, height = int(fields[b"W"]), int(fields[b"H"])
        half = (width + 1) // 2 * ((height + 1) // 2)
        picture_bytes = len(_FRAME) + width * height + 2 * half
        pictures, last = 0, -1
        while len(picture := file.read(picture_bytes)) == picture_bytes:
            digest = crc32(picture)
            pictures += digest != last
            last = digest
        return pictures

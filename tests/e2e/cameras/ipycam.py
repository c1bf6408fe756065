"""ipycam: encodes for each session anew, over TCP alone; ffmpeg's packets through its own server."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child_process import ChildProcess, free_port
from film import FRAME_90K, Film, Unit, film, units_of

from cameras.foreign_camera import CameraKind, ForeignCamera

_SERVER = Path(__file__).with_name("ipycam_server.py")


def is_here() -> bool:
    return importlib.util.find_spec("ipycam") is not None


def _truth(path: Path) -> Film:
    """A raw stream has no times: its encoder was told 25 pictures a second, and counts them."""
    codec, video, _, _, sets = units_of(path)
    video = [
        Unit(unit.digest, number * FRAME_90K, unit.is_key, unit.size_bytes)
        for number, unit in enumerate(video)
    ]
    return Film(path, codec, sets, video)


def ipycam(name: str, video: str) -> CameraKind:
    """A camera kind whose pictures are those of the film, encoded anew."""

    @contextmanager
    def start(seconds: int) -> Iterator[ForeignCamera]:
        shown = film(video, "", seconds)
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="khupho-ipycam-") as name:
            # -P: this directory has an `ipycam` too.
            command = [sys.executable, "-P", str(_SERVER), str(shown.path), str(port), name]

            def sent() -> list[Film]:
                paths = sorted(Path(name).glob("truth-*.h264"))
                return [_truth(path) for path in paths if path.stat().st_size]

            with ChildProcess(command) as child:
                child.wait_for_port(port)
                yield ForeignCamera(f"rtsp://127.0.0.1:{port}/live", sent)

    return CameraKind(name, start)

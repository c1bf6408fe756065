"""aio-rtsp-toolkit: a film from its beginning for each session, over TCP alone, packets paced one by one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child_process import ChildProcess, free_port
from film import film

from cameras.foreign_camera import CameraKind, ForeignCamera

_SERVER = Path(__file__).with_name("aio_server.py")


def aio_toolkit(name: str, video: str, *, audio: str = "", transport: str = "tcp") -> CameraKind:
    """A camera kind that shows the film of that video (without B-frames, which it can't time)."""

    @contextmanager
    def start(seconds: int) -> Iterator[ForeignCamera]:
        made = film(video, audio, seconds)
        port = free_port()
        command = [sys.executable, str(_SERVER), str(made.path.parent), str(port)]
        with ChildProcess(command) as child:
            child.wait_for_port(port)
            yield ForeignCamera(f"rtsp://127.0.0.1:{port}/{made.path.name}", lambda: [made])

    return CameraKind(name, start, transport, audio)

"""GStreamer's gst-rtsp-server: a film from its beginning for each session, over TCP or UDP alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from child_process import ChildProcess, free_port
from film import film

from cameras.foreign_camera import CameraKind, ForeignCamera

SYSTEM_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("gstreamer_server.py")
_PROBE = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
)


@cache
def is_here() -> bool:
    """Whether this machine has it (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi)."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, check=False, timeout=60
    )
    return done.returncode == 0


def gstreamer(
    name: str, video: str, *, transport: str = "tcp", audio: str = "", password: str = ""
) -> CameraKind:
    """A camera kind that shows the film of that video and audio; with a password it asks by Digest."""

    @contextmanager
    def start(seconds: int) -> Iterator[ForeignCamera]:
        made = film(video, audio, seconds)
        port = free_port()
        user = "admin" if password else ""
        wanted = {
            "port": port, "file": str(made.path), "video": made.codec, "audio": audio,
            "transport": transport, "user": user, "password": password,
        }  # fmt: skip
        with ChildProcess([SYSTEM_PYTHON, str(_SERVER), json.dumps(wanted)]) as child:
            child.wait_for_port(port)
            url = f"rtsp://127.0.0.1:{port}/live"
            yield ForeignCamera(url, lambda: [made], user, password)

    return CameraKind(name, start, transport, audio)

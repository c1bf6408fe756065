"""VLC as a camera: live over UDP; whoever comes later joins in the midst."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from child_process import ChildProcess, free_port
from film import film, read_film

from cameras.foreign_camera import CameraKind, ForeignCamera


def is_here() -> bool:
    """Whether this machine has it (Debian: vlc-bin, vlc-plugin-base)."""
    return shutil.which("cvlc") is not None


_FRAGMENT_BYTES = 1_385
"""Of a NAL unit in one packet of 1,400 bytes (RFC 7798 section 4.4.3)."""


def _as_it_sends(nal: bytes) -> bytes:
    """VLC 3.0 loses an H.265 NAL unit's last byte where that alone would be a packet."""
    return nal[:-1] if len(nal) > 1_388 and (len(nal) - 2) % _FRAGMENT_BYTES == 1 else nal


def vlc(name: str, video: str) -> CameraKind:
    """A camera kind that shows the film of that video, without sound."""

    @contextmanager
    def start(seconds: int) -> Iterator[ForeignCamera]:
        made = film(video, "", seconds)
        if made.codec == "h265":
            made = read_film(made.path, _as_it_sends)
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="khupho-vlc-camera-") as home:
            # It runs as another user, who may not look into our cache.
            Path(home).chmod(0o777)
            shown = Path(home) / made.path.name
            shutil.copy(made.path, shown)
            shown.chmod(0o644)
            command = [
                "cvlc", "-I", "dummy", "--no-sout-audio", "--sout-keep",
                "--sout", f"#rtp{{sdp=rtsp://127.0.0.1:{port}/live}}", str(shown),
            ]  # fmt: skip
            with ChildProcess(command, env={"HOME": home}, as_nobody=True) as child:
                child.wait_for_port(port)
                yield ForeignCamera(f"rtsp://127.0.0.1:{port}/live", lambda: [made])

    # It counts microseconds.
    return CameraKind(name, start, "udp", is_live=True, pts_slack_90k=2)

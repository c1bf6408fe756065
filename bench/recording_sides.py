"""The four recorders that are compared: how each is started, stopped, and its files are read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from click.testing import CliRunner
from khupho_command import KHUPHO
from measured_city import RunningCity
from process_cost import pinned
from recorded_frames import Recorded, in_interleaved, in_mp4

_STOP_PATIENCE_S = 60.0
_BETWEEN_STARTS_S = 0.2
"""An ffmpeg that starts costs much more than one that records: all at once they would be late for their
pictures."""
_BENCH = Path(__file__).parent


def camera_id(number: int) -> str:
    """The camera's name in the city, in paths and in this project's recorder."""
    return f"camera-{number:04d}"


class Side(Protocol):
    """One recorder. Everything it writes lies below `directory`."""

    name: str
    what: str
    start_per_camera_s: float
    """For each camera, so long all of them record on average, at the most, while it starts."""

    def start(
        self, city: RunningCity, count: int, directory: Path, cores: frozenset[int]
    ) -> list[subprocess.Popen[bytes]]:
        """Record cameras 1 to `count`."""
        ...

    def files(self, directory: Path, number: int) -> Sequence[Path]:
        """What it has written of one camera so far, oldest first."""
        ...

    def recorded(self, directory: Path, number: int, frames_per_s: float) -> Recorded:
        """Frames and holes of one camera, after the end."""
        ...

    def complaints(self, directory: Path) -> list[str]:
        """What the recorder's own checker finds wrong, after the end."""
        ...


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to end and wait; kill what doesn't."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_PATIENCE_S
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class FloorSide:
    """The recv-and-write floor (`floor_receiver.py`), with or without hashing what is received."""

    def __init__(self, mark_bytes: int, *, hashes: bool = False) -> None:
        self.name = "hashed" if hashes else "floor"
        self.what = "receive, SHA-256, write" if hashes else "receive and write, nothing parsed"
        self.start_per_camera_s = 0.01
        self._mark_bytes = mark_bytes
        self._hashes = hashes

    def start(
        self, city: RunningCity, count: int, directory: Path, cores: frozenset[int]
    ) -> list[subprocess.Popen[bytes]]:
        command = [
            sys.executable, str(_BENCH / "floor_receiver.py"), city.url_pattern, str(count),
            "--directory", str(directory), "--mark-bytes", str(self._mark_bytes),
            *(["--hash"] if self._hashes else []),
        ]  # fmt: skip
        return [subprocess.Popen(pinned(cores, command), stdout=subprocess.DEVNULL)]

    def files(self, directory: Path, number: int) -> Sequence[Path]:
        return list(directory.glob(f"{camera_id(number)}.rtp"))

    def recorded(self, directory: Path, number: int, frames_per_s: float) -> Recorded:  # noqa: ARG002
        return in_interleaved(directory / f"{camera_id(number)}.rtp")

    def complaints(self, directory: Path) -> list[str]:  # noqa: ARG002 - it has no checker
        return []


class FfmpegSide:
    """One ffmpeg process a camera, copying into ten-second MP4 files, as recorders built on it do."""

    name = "ffmpeg"
    what = "ffmpeg -c copy -f segment, a process a camera"
    start_per_camera_s = _BETWEEN_STARTS_S / 2

    def start(
        self, city: RunningCity, count: int, directory: Path, cores: frozenset[int]
    ) -> list[subprocess.Popen[bytes]]:
        processes = []
        for number in range(1, count + 1):
            own = directory / camera_id(number)
            own.mkdir()
            command = [
                "ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp",
                "-i", city.url(number), "-an", "-c", "copy", "-f", "segment",
                "-segment_time", "10", "-segment_format", "mp4", "-reset_timestamps", "1",
                str(own / "%05d.mp4"),
            ]  # fmt: skip
            processes.append(
                subprocess.Popen(
                    pinned(cores, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            time.sleep(_BETWEEN_STARTS_S)
        return processes

    def files(self, directory: Path, number: int) -> Sequence[Path]:
        return sorted((directory / camera_id(number)).glob("*.mp4"))

    def recorded(self, directory: Path, number: int, frames_per_s: float) -> Recorded:
        return in_mp4(self.files(directory, number), frames_per_s, is_one_line=False)

    def complaints(self, directory: Path) -> list[str]:  # noqa: ARG002 - it has no checker
        return []


class PyAvSide:
    """PyAV, one thread a camera (`pyav_recorder.py`)."""

    name = "pyav"
    what = "PyAV demux and mux, a thread a camera"
    start_per_camera_s = 0.025

    def start(
        self, city: RunningCity, count: int, directory: Path, cores: frozenset[int]
    ) -> list[subprocess.Popen[bytes]]:
        command = [
            sys.executable, str(_BENCH / "pyav_recorder.py"), city.url_pattern, str(count),
            "--directory", str(directory),
        ]  # fmt: skip
        return [subprocess.Popen(pinned(cores, command))]

    def files(self, directory: Path, number: int) -> Sequence[Path]:
        return list(directory.glob(f"{camera_id(number)}.mp4"))

    def recorded(self, directory: Path, number: int, frames_per_s: float) -> Recorded:
        return in_mp4(self.files(directory, number), frames_per_s, is_one_line=True)

    def complaints(self, directory: Path) -> list[str]:  # noqa: ARG002 - it has no checker
        return []


class KhuphoSide:
    """This project's recorder, as an operator starts it."""

    name = "khupho"
    what = "khupho recorder"
    start_per_camera_s = 0.01

    def start(
        self, city: RunningCity, count: int, directory: Path, cores: frozenset[int]
    ) -> list[subprocess.Popen[bytes]]:
        from khupho.commands.camera import add

        for number in range(1, count + 1):
            arguments = [
                camera_id(number), city.url(number), "--transport", "tcp", "--data", str(directory)
            ]  # fmt: skip
            result = CliRunner().invoke(add, arguments)
            if result.exit_code:
                raise SystemExit(f"khupho camera add: {result.output}")
        command = [*KHUPHO, "recorder", "--data", str(directory), "--listen", "127.0.0.1:0"]
        with (directory / "recorder.log").open("wb") as log:
            return [subprocess.Popen(pinned(cores, command), stdout=log, stderr=log)]

    def files(self, directory: Path, number: int) -> Sequence[Path]:
        return sorted(directory.glob(f"**/{camera_id(number)}/main/*/*.mp4"))

    def recorded(self, directory: Path, number: int, frames_per_s: float) -> Recorded:
        return in_mp4(self.files(directory, number), frames_per_s, is_one_line=False)

    def complaints(self, directory: Path) -> list[str]:
        """What `khupho archive check` says."""
        command = [*KHUPHO, "archive", "check", "--data", str(directory), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode == 0:
            return []
        return [line for line in (done.stdout + done.stderr).splitlines() if line][-20:] or [
            json.dumps({"exit": done.returncode})
        ]

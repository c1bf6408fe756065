"""One run of one recorder: start, warm up, measure the middle, stop, look at what it recorded."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measured_city import RunningCity
from memory_ballast import ballast
from process_cost import CpuTime, cpu_time, memory_bytes, process_tree
from recording_sides import Side, stop

_START_PATIENCE_S = 90.0
_POLL_S = 0.2
_START_S = 6.0
"""So long cameras record on average before the warm-up begins, besides `Side.start_per_camera_s`."""
_LOOKED_AT = 8
_LEAST_BYTES = 0.9
"""A camera's files must hold this part of what its video has in the measured time."""


class RunError(Exception):
    """A run that measured nothing that can be compared."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured, and how."""

    seconds: float
    warm_up: float
    frames_per_s: float
    bytes_per_s: float
    """Of one camera's video."""
    is_memory_used: bool = True
    """Whether the recorder writes into memory that was used before (`memory_ballast`)."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One measured run."""

    side: str
    cameras: int
    elapsed_s: float
    cpu: CpuTime
    memory_bytes: int
    socket_bytes: int
    """What the kernel held for all TCP sockets of the machine at the end of the window."""
    city_cpu_s: float
    problems: tuple[str, ...]
    """Why the figures don't count: frames missing, a checker's findings."""

    @property
    def cost(self) -> float:
        """CPU seconds per camera and second."""
        return self.cpu.cpu_s / self.elapsed_s / self.cameras

    @property
    def load(self) -> float:
        """Part of the core that it used."""
        return self.cpu.cpu_s / self.elapsed_s


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """In memory (/dev/shm) where there is such a thing, so that no disk is measured.

    Gigabytes lie there: SIGTERM, as `timeout` sends it, takes them away too.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    memory = Path("/dev/shm")
    root = memory if memory.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="khupho-bench-", dir=root))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def socket_bytes() -> int:
    """Kernel memory of all TCP sockets (`mem` in /proc/net/sockstat, in pages)."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * 4096
    return 0


def run_side(
    side: Side, city: RunningCity, count: int, window: Window, cores: frozenset[int]
) -> RunResult:
    """Measure one recorder with so many cameras. Raises `RunError` if it doesn't get going."""
    recorded_s = window.seconds + window.warm_up + _START_S + side.start_per_camera_s * count
    filled_bytes = int(count * window.bytes_per_s * recorded_s) if window.is_memory_used else 0
    with scratch_directory() as root, ballast(root, filled_bytes):
        directory = root / side.name
        directory.mkdir()
        processes = side.start(city, count, directory, cores)
        try:
            _await_recording(side, city, count, directory, processes)
            time.sleep(window.warm_up)
            city.state()
            measured = _measure(city, processes, window.seconds)
            memory = memory_bytes(process_tree([process.pid for process in processes]))
            sockets = socket_bytes()
            problems = _live_problems(city, count)
        finally:
            stop(processes)
        problems += _problems(side, directory, count, window)
    cpu, elapsed_s, city_cpu_s = measured
    return RunResult(side.name, count, elapsed_s, cpu, memory, sockets, city_cpu_s, tuple(problems))


def _measure(
    city: RunningCity, processes: Sequence[subprocess.Popen[bytes]], seconds: float
) -> tuple[CpuTime, float, float]:
    pids = process_tree([process.pid for process in processes])
    before, city_before, began = cpu_time(pids), cpu_time([city.pid]), time.monotonic()
    time.sleep(seconds)
    spent = cpu_time(pids).since(before)
    elapsed_s = time.monotonic() - began
    return spent, elapsed_s, cpu_time([city.pid]).since(city_before).cpu_s


def _await_recording(
    side: Side,
    city: RunningCity,
    count: int,
    directory: Path,
    processes: Sequence[subprocess.Popen[bytes]],
) -> None:
    """Until each camera plays and something of it lies on disk."""

    def begun() -> bool:
        ended = [process for process in processes if process.poll() is not None]
        if ended:
            raise RunError(f"{side.name} ended by itself, with {ended[0].returncode}")
        return city.state()["playing"] >= count and all(
            _size(side.files(directory, number)) for number in range(1, count + 1)
        )

    if not _wait_until(begun, _START_PATIENCE_S):
        playing = city.state()["playing"]
        raise RunError(f"{side.name} records {playing} of {count} cameras after 90 s")


def _wait_until(holds: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _looked_at(count: int) -> range:
    return range(1, count + 1, max(count // _LOOKED_AT, 1))


def _live_problems(city: RunningCity, count: int) -> list[str]:
    """What the cameras know: who does not play any more, what they could not send."""
    playing = city.state()["playing"]
    problems = [f"{playing} of {count} cameras play"] if playing != count else []
    for number in _looked_at(count):
        skipped = city.frames_skipped(number)
        if skipped:
            problems.append(f"camera {number} had to skip {skipped} pictures for its reader")
    return problems


def _problems(side: Side, directory: Path, count: int, window: Window) -> list[str]:
    """What the files tell: bytes of every camera, frames and holes of some."""
    problems: list[str] = []
    least = _LEAST_BYTES * window.bytes_per_s * window.seconds
    sizes = {n: _size(side.files(directory, n)) for n in range(1, count + 1)}
    short = [number for number, size in sizes.items() if size < least]
    if short:
        problems.append(f"{len(short)} cameras have too few bytes, first camera {short[0]}")
    for number in _looked_at(count):
        found = side.recorded(directory, number, window.frames_per_s)
        if found.holes:
            problems.append(f"camera {number}: {found.holes} holes")
        if found.frames < window.frames_per_s * window.seconds:
            problems.append(f"camera {number}: {found.frames} frames")
    return problems + side.complaints(directory)

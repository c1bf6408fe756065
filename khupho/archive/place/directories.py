"""The archive's directories: which streams there are, their days, and the segments of a day."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from khupho.archive.place.segment_names import parse_segment_path
from khupho.units import US_PER_MS

_FAR_UTC_US = 1 << 62
_CAMERA = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SEGMENT = re.compile(r"\d{6}\.\d{3}Z\.mp4")
"""Names that no other file or directory of an archive has: `proof/main` would be a camera's."""
STREAMS = ("main", "sub", "audio")


class StreamDay(NamedTuple):
    """One directory of segments. Sorts by day first."""

    day: str
    camera: str
    stream: str

    @property
    def path(self) -> str:
        return f"{self.camera}/{self.stream}/{self.day}"


def stream_directories(root: int | Path) -> list[tuple[str, str]]:
    """Camera and stream of each stream that has a directory. Raises `OSError`."""
    return [
        (camera, stream)
        for camera in _names(root, "", _CAMERA)
        for stream in STREAMS
        if is_there(root, f"{camera}/{stream}")
    ]


def days_of(root: int | Path, camera: str, stream: str) -> list[str]:
    """The days that a stream has a directory for, oldest first. Raises `OSError`."""
    return _names(root, f"{camera}/{stream}", _DAY)


def segments_of(root: int | Path, day: StreamDay) -> list[str]:
    """Relative paths of a day's segments, oldest first. Raises `OSError`."""
    return [f"{day.path}/{name}" for name in _names(root, day.path, _SEGMENT)]


def stream_days(root: int | Path) -> list[StreamDay]:
    """All directories of segments, by day. Raises `OSError`."""
    return sorted(
        StreamDay(day, camera, stream)
        for camera, stream in stream_directories(root)
        for day in days_of(root, camera, stream)
    )


def newest_segment(root: int | Path, camera: str, stream: str) -> str | None:
    """The path of a stream's newest segment, by its name. Raises `OSError`."""
    for day in reversed(days_of(root, camera, stream)):
        paths = segments_of(root, StreamDay(day, camera, stream))
        if paths:
            return paths[-1]
    return None


def next_start_utc_us(root: int | Path, path: str) -> int:
    """When the next segment of the same stream begins, to the millisecond below, by its name; far away
    where there is none. Raises `OSError`."""
    camera, stream, day, _ = path.split("/")
    for later in days_of(root, camera, stream):
        if later < day:
            continue
        for other in segments_of(root, StreamDay(later, camera, stream)):
            name = parse_segment_path(other) if other > path else None
            if name is not None:
                return name.start_utc_ms * US_PER_MS
    return _FAR_UTC_US


def file_size(root: int | Path, path: str) -> int:
    """Of a file; 0 where it is gone. Raises `OSError`."""
    try:
        if isinstance(root, Path):
            return (root / path).stat().st_size
        return os.stat(path, dir_fd=root).st_size
    except FileNotFoundError:
        return 0


def sync_names(root_fd: int, path: str, known_days: set[str]) -> None:
    """Bring a new segment's name to the disk, and those of its directories if its day isn't known yet.

    Most file systems do that with the file's own first sync; POSIX promises it only for the directory's.
    Raises `OSError`.
    """
    day, _, _ = path.rpartition("/")
    stream, _, _ = day.rpartition("/")
    camera, _, _ = stream.rpartition("/")
    # A directory's name stands in the one above it.
    above = [one for one in (stream, camera, ".") if day not in known_days]
    for directory in (day, *above):
        sync_path(root_fd, directory)
    known_days.add(day)


def sync_path(root_fd: int, path: str) -> None:
    """Bring a file or directory to the disk, whoever wrote it. Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def strangers(root: int | Path) -> Iterator[str]:
    """Segments or directories in places where none belong. Raises `OSError`."""
    for camera, stream in stream_directories(root):
        for name in _list(root, f"{camera}/{stream}"):
            if not _DAY.fullmatch(name):
                yield f"{camera}/{stream}/{name}"
                continue
            directory = f"{camera}/{stream}/{name}"
            for file in _list(root, directory):
                if not _SEGMENT.fullmatch(file):
                    yield f"{directory}/{file}"


def _names(root: int | Path, directory: str, form: re.Pattern[str]) -> list[str]:
    return sorted(name for name in _list(root, directory) if form.fullmatch(name))


def _list(root: int | Path, directory: str) -> list[str]:
    """Names in a directory; none where it is gone."""
    try:
        # Opened anew each time: a shared descriptor has one position for all threads.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if isinstance(root, Path):
            file = os.open(root / directory, flags)
        else:
            file = os.open(directory or ".", flags, dir_fd=root)
        try:
            return os.listdir(file)  # noqa: PTH208 - of a descriptor
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_there(root: int | Path, path: str) -> bool:
    """Whether there is such a file or directory. Raises `OSError`."""
    try:
        if isinstance(root, Path):
            return (root / path).exists()
        os.stat(path, dir_fd=root)
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False

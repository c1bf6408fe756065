"""What was done to a disk, in order: the common language of the FUSE file system and the traced process.

A trace is a file of pickled `Op`s, appended as they happen; only this project's tests read it.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Op(NamedTuple):
    """One change of the disk, or one promise that changes are on it.

    kind        path            file    offset      data
    exists      of the file     id      -           its bytes when it was first opened
    mkdir       -               0       -
    create      of the file     id      -
    write       -               id      offset      bytes
    truncate    -               id      new size
    fsync       -               id      -                       (fdatasync as well)
    fsyncdir    of directory    0
    rename      old             0       -           new path, encoded
    link        of the file     id      -           the other path, encoded
    unlink      of the file     id
    rmdir       of directory    0
    mark        -               0       any number that the test wants to know
    """

    kind: str
    mono_us: int
    path: str = ""
    file: int = 0
    offset: int = 0
    data: bytes = b""


class TraceWriter:
    """Appends ops to a file; any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=1 << 16)
        self._lock = threading.Lock()
        self._next_id = 0
        self._ids: dict[str, int] = {}

    def put(
        self, kind: str, path: str = "", file: int = 0, offset: int = 0, data: bytes = b""
    ) -> None:
        """Append one op, as of now."""
        with self._lock:
            self._put(Op(kind, time.monotonic_ns() // 1000, path, file, offset, data))

    def _put(self, op: Op) -> None:
        pickle.dump(tuple(op), self._file, pickle.HIGHEST_PROTOCOL)

    def file_id(self, path: str, existing: bytes | None = None) -> int:
        """The id of the file at a path; a new file's is made. `existing` are the bytes it has had."""
        with self._lock:
            found = self._ids.get(path)
            if found is None:
                self._next_id += 1
                found = self._ids[path] = self._next_id
                kind = "create" if existing is None else "exists"
                mono_us = time.monotonic_ns() // 1000
                self._put(Op(kind, mono_us, path, found, 0, existing or b""))
            return found

    def knows(self, path: str) -> bool:
        """Whether the file at that path has an id."""
        with self._lock:
            return path in self._ids

    def rename(self, old: str, new: str) -> None:
        """A file or a directory has another name."""
        with self._lock:
            moved = {
                path: new + path[len(old) :]
                for path in self._ids
                if path == old or path.startswith(old + "/")
            }
            for path, target in moved.items():
                self._ids[target] = self._ids.pop(path)
            self._put(Op("rename", time.monotonic_ns() // 1000, old, 0, 0, new.encode()))

    def link(self, path: str, other: str) -> None:
        """A file has one more name."""
        with self._lock:
            found = self._ids[other] = self._ids[path]
            self._put(Op("link", time.monotonic_ns() // 1000, path, found, 0, other.encode()))

    def unlink(self, path: str) -> None:
        """A name is gone; whoever has the file open keeps its id."""
        with self._lock:
            found = self._ids.pop(path, 0)
            self._put(Op("unlink", time.monotonic_ns() // 1000, path, found))

    def flush(self) -> None:
        """Hand everything to the operating system."""
        with self._lock:
            self._file.flush()


def read_trace(path: Path) -> Iterator[Op]:
    """The ops of a trace file; one that was cut short at its end is left out."""
    with path.open("rb") as file:
        while True:
            try:
                yield Op(*pickle.load(file))
            except (EOFError, pickle.UnpicklingError):
                return

"""Whether files have changed since the last look: cheap enough for once a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Mark = tuple[int, int, int] | None
"""Inode, time of change in ns, size; None where there is no file."""


class FileWatch:
    """Compares files with what they were. Files that are replaced whole have another inode."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: _mark(path) for path in paths}

    def changed(self) -> bool:
        """Whether any of them is another one than at the last call."""
        now = {path: _mark(path) for path in self._seen}
        if now == self._seen:
            return False
        self._seen = now
        return True


def _mark(path: Path) -> Mark:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size

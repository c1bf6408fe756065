"""Changes of files are seen once each."""

from __future__ import annotations

import os
from pathlib import Path

from khupho.durable_file import replace_file
from khupho.recorder.file_watch import FileWatch


def test_making_replacing_touching_and_removing_are_changes(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    watch = FileWatch((path, other))
    assert not watch.changed()
    replace_file(path, b"one")
    assert watch.changed()
    assert not watch.changed()
    stat = path.stat()
    replace_file(path, b"two")  # as long as before, and with its old times: another inode tells
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert watch.changed()
    other.write_bytes(b"")
    assert watch.changed()
    path.unlink()
    assert watch.changed()
    assert not watch.changed()

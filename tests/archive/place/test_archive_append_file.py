"""Append-only files: nothing synced is lost or written again, whatever the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from khupho.archive.place import append_file
from khupho.archive.place.append_file import AppendFile, AppendFileError
from khupho.errors import Fault

NAME = "some.log"


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path, os.O_RDONLY)
    yield file
    os.close(file)


def refusing(error: int) -> Callable[..., int]:
    def call(*_args: object) -> int:
        raise OSError(error, os.strerror(error))

    return call


def test_buffered_written_synced(root_fd: int, tmp_path: Path) -> None:
    file = AppendFile(root_fd, NAME)
    file.append(b"abc")
    assert (file.size_bytes, file.written_bytes, file.synced_bytes) == (3, 0, 0)
    assert (tmp_path / NAME).read_bytes() == b""
    file.write()
    assert (file.size_bytes, file.written_bytes, file.synced_bytes) == (3, 3, 0)
    file.append(b"de")
    file.sync()
    assert (file.size_bytes, file.written_bytes, file.synced_bytes) == (5, 5, 5)
    assert (tmp_path / NAME).read_bytes() == b"abcde"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    file.close()
    again = AppendFile(root_fd, NAME)
    again.append(b"f")
    again.sync()
    assert (tmp_path / NAME).read_bytes() == b"abcdef"
    assert again.cut_bytes == 0


def test_a_torn_write_is_gone_over(
    root_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AppendFile(root_fd, NAME)
    file.append(b"first ")
    file.sync()
    file.append(b"second")
    real = os.pwrite
    calls = 0

    def torn(handle: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(handle, bytes(data[:2]), offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(AppendFileError, match="No space") as raised:
        file.sync()
    assert raised.value.fault is Fault.DISK
    assert (tmp_path / NAME).read_bytes() == b"first se"
    file.append(b" third")
    monkeypatch.setattr(os, "pwrite", real)
    file.sync()
    assert (tmp_path / NAME).read_bytes() == b"first second third"


def test_after_a_refused_flush_the_bytes_are_written_again(
    root_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AppendFile(root_fd, NAME)
    file.append(b"kept ")
    file.sync()
    file.append(b"doubtful")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refusing(errno.EIO))
        with pytest.raises(AppendFileError, match="flush"):
            file.sync()
    assert file.synced_bytes == 5
    # The kernel dropped the pages that it could not write.
    (tmp_path / NAME).write_bytes(b"kept \0\0\0\0\0\0\0\0")
    file.sync()
    assert (tmp_path / NAME).read_bytes() == b"kept doubtful"


def test_memory_is_bounded(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_file, "MAX_UNSYNCED_BYTES", 10)
    file = AppendFile(root_fd, NAME)
    file.append(b"12345678")
    with pytest.raises(AppendFileError, match="too long"):
        file.append(b"abc")
    assert file.size_bytes == 8
    file.sync()
    file.append(b"abc")


def test_a_disk_that_was_away(root_fd: int, tmp_path: Path) -> None:
    file = AppendFile(root_fd, NAME)
    file.append(b"synced ")
    file.sync()
    file.append(b"and not")
    file.write()
    os.truncate(tmp_path / NAME, 9)  # the rest never came to the disk
    file.reopen(root_fd)
    file.sync()
    assert (tmp_path / NAME).read_bytes() == b"synced and not"
    os.truncate(tmp_path / NAME, 3)
    with pytest.raises(AppendFileError, match="shorter") as raised:
        file.reopen(root_fd)
    assert raised.value.fault is Fault.ARCHIVE


def test_what_is_found_is_cut_to_what_is_whole(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"whole+torn")
    file = AppendFile(root_fd, NAME, lambda _file, _size: 5)
    assert file.cut_bytes == 5
    assert (tmp_path / NAME).read_bytes() == b"whole"


def test_no_link_is_followed(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AppendFileError, match="opened"):
        AppendFile(root_fd, NAME)

"""A file that only grows, and keeps its beginning through power cuts and faults of the disk."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import PurePosixPath

from khupho.errors import Fault, KhuphoError

MAX_UNSYNCED_BYTES = 64 << 20
"""Kept in memory until the disk has confirmed them."""
_MODE = 0o600


class AppendFileError(KhuphoError):
    """The disk refused to take, or to give back, bytes of an append-only file."""

    fault = Fault.DISK


def disk_error(what: str, name: str, error: OSError) -> AppendFileError:
    """A refused call in plain words; `errno` stays in the cause."""
    advice = "Look at the disk: dmesg, smartctl -a"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "The disk is full: make room"
    return AppendFileError(f"{what}: {error.strerror}", where=name, advice=advice)


class AppendFile:
    """Buffered appends to one file below the archive's root, for one writer.

    What is appended stays in memory until `sync` has succeeded. After a refused write or flush the same
    bytes are written again to the same place, since a kernel that reported an error once may have dropped
    the pages it could not write and calls them clean. Nothing that was synced is ever written again.
    """

    def __init__(
        self, root_fd: int, name: str, whole_bytes: Callable[[int, int], int] | None = None
    ) -> None:
        """Open or create `name` (relative, with forward slashes; its directory must exist).

        `whole_bytes(file, size)` says how much of a file found is whole; the rest is cut away. Raises
        `AppendFileError` and what `whole_bytes` raises.
        """
        self.name = name
        self.cut_bytes = 0
        """Of a torn end, cut away at opening."""
        self._unsynced = bytearray()
        self._file = -1
        try:
            file, is_new = _open(root_fd, name)
            try:
                size = os.fstat(file).st_size
                whole = size if whole_bytes is None else whole_bytes(file, size)
                if whole < size:
                    os.ftruncate(file, whole)
                    self.cut_bytes = size - whole
                if size:
                    # Also after a kill: what it left is in the page cache, and counts as synced from here on.
                    os.fsync(file)
                if is_new:
                    _sync_directory_of(root_fd, name)
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            raise disk_error("An archive's file cannot be opened", name, error) from error
        self._file = file
        self._written = self._synced = whole

    @property
    def size_bytes(self) -> int:
        """With all that was appended, written or not."""
        return self._synced + len(self._unsynced)

    @property
    def written_bytes(self) -> int:
        """As far as others can read it."""
        return self._written

    @property
    def synced_bytes(self) -> int:
        """As far as a power cut cannot take it."""
        return self._synced

    @property
    def file(self) -> int:
        """The descriptor, for reading."""
        return self._file

    def append(self, data: bytes | bytearray) -> None:
        """Add to the buffer. Raises `AppendFileError` where the disk has confirmed nothing for too long;
        nothing of `data` is taken then."""
        if len(self._unsynced) + len(data) > MAX_UNSYNCED_BYTES:
            raise AppendFileError(
                "The disk has confirmed nothing for too long; no more is kept in memory",
                where=self.name,
                advice="Look at the disk: dmesg, smartctl -a",
            )
        self._unsynced += data

    def write(self) -> None:
        """Hand all that was appended to the kernel, in one call if it takes it. Raises `AppendFileError`."""
        # A copy, since a view of it in a traceback would forbid the next append.
        rest = memoryview(bytes(self._unsynced[self._written - self._synced :]))
        while rest:
            try:
                written = os.pwrite(self._file, rest, self._written)
            except OSError as error:
                raise disk_error("The disk refused a write", self.name, error) from error
            self._written += written
            rest = rest[written:]

    def sync(self) -> None:
        """Bring all that was appended to the disk. Raises `AppendFileError`; nothing is lost then."""
        self.write()
        if not self._unsynced:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._written = self._synced
            raise disk_error("The disk refused a flush", self.name, error) from error
        self._synced = self._written
        self._unsynced.clear()

    def reopen(self, root_fd: int) -> None:
        """Go on in the same file after its disk was away. Raises `AppendFileError` where the file there
        lacks what was synced."""
        try:
            file, _ = _open(root_fd, self.name)
        except OSError as error:
            raise disk_error("An archive's file cannot be opened", self.name, error) from error
        try:
            size = os.fstat(file).st_size
            if size < self._synced:
                raise AppendFileError(
                    f"The file is {self._synced - size} bytes shorter than what was written to it",
                    where=self.name,
                    advice="Is this the disk that was here before? Run khupho archive check",
                    fault=Fault.ARCHIVE,
                )
            os.ftruncate(file, self._synced)
        except OSError as error:
            os.close(file)
            raise disk_error("An archive's file cannot be opened", self.name, error) from error
        except AppendFileError:
            os.close(file)
            raise
        self.close()
        self._file = file
        self._written = self._synced

    def close(self) -> None:
        """Let the file go; what was not written is dropped."""
        if self._file >= 0:
            file, self._file = self._file, -1
            with contextlib.suppress(OSError):
                os.close(file)


def read_at(file: int, offset: int, size: int) -> bytes:
    """`size` bytes from `offset`, or fewer where the file ends before. Raises `OSError`."""
    data = os.pread(file, size, offset)
    while 0 < len(data) < size:
        more = os.pread(file, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def open_to_read(root_fd: int, name: str) -> int:
    """A descriptor beside the writer's. Raises `OSError`."""
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root_fd)


def _open(root_fd: int, name: str) -> tuple[int, bool]:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=root_fd), False
    except FileNotFoundError:
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, _MODE, dir_fd=root_fd), True


def _sync_directory_of(root_fd: int, name: str) -> None:
    directory = os.open(
        PurePosixPath(name).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd
    )
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

"""Where segments are written: one directory, held open, and what its disk has to say.

Everything goes through a descriptor of the archive's root, so a disk that was unmounted, or another one
mounted over it, never gets a byte of footage meant for this one. A fault of the disk ends a segment, not a
session: the writers try again after 1 to 5 s, each with a key frame, and the alarm stands until all of them
write again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from khupho.archive.alarms import AlarmBoard
from khupho.archive.place.identity import ArchiveIdentityError, read_identity
from khupho.archive.place.spill import MAX_BYTES, Spill
from khupho.clock import Clock
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_MS, US_PER_S

WRITE_ALARM, SLOW_ALARM, PLACE_ALARM = "disk-write", "disk-slow", "disk-missing"
SLOW_WRITE_US = 2 * US_PER_S
"""A write that took longer raises the alarm."""
SLOW_ALARM_STANDS_US = 60 * US_PER_S
NOTED_US = 100 * US_PER_MS
DRAIN_PATIENCE_S = 20.0
_RETRY_US = (1 * US_PER_S, 2 * US_PER_S, 5 * US_PER_S)
_SALTS = 256
SALT_BYTES = 16
"""Random, in the facts of each fragment."""
_MAX_PIECES = 1000
"""Fewer than IOV_MAX (1024 on Linux)."""
_MAX_UNFINISHED = 10_000
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = _APPEND | os.O_CREAT | os.O_EXCL

Buffer = bytes | memoryview


class DiskError(KhuphoError):
    """The archive's disk refused something, is slow, or isn't there."""

    fault = Fault.DISK


class DiskCalls(NamedTuple):
    """The calls to the operating system, so that tests can let them fail."""

    open: Callable[..., int] = os.open
    mkdir: Callable[..., None] = os.mkdir
    writev: Callable[[int, Sequence[Buffer]], int] = os.writev
    ftruncate: Callable[[int, int], None] = os.ftruncate
    close: Callable[[int], None] = os.close
    unlink: Callable[..., None] = os.unlink


@dataclass(slots=True)
class StreamMemory:
    """What is known of a stream from one writer and session to the next."""

    end_utc_us: int = 0
    """Where its newest footage ends: no later segment may begin before."""
    reorder_frames: int = 0
    """How deep its pictures were seen to be reordered."""


class _Unfinished(NamedTuple):
    relative_path: str
    offset: int
    tail: bytes


class Place:
    """An archive's directory, for writing. Its methods are called by any thread."""

    def __init__(
        self,
        path: Path,
        archive_id: bytes,
        clock: Clock,
        alarms: AlarmBoard,
        *,
        calls: DiskCalls | None = None,
        spill_bytes: int = MAX_BYTES,
    ) -> None:
        """Raises `DiskError` where the directory cannot be opened, `ArchiveIdentityError` where it is
        another archive or none."""
        self.path = path
        self.archive_id = archive_id
        self.calls = calls or DiskCalls()
        self.lost_frames = 0
        """Pictures that the disk did not take, since the start."""
        self.has_failing = False
        """Some stream isn't written at the moment."""
        self.mono_us = clock.mono_us
        self.spill = Spill(clock.mono_us, spill_bytes)
        self._alarms = alarms
        self._lock = threading.Lock()
        self._memories: dict[tuple[str, str], StreamMemory] = {}
        self._failing: set[tuple[str, str]] = set()
        self._unfinished: deque[_Unfinished] = deque(maxlen=_MAX_UNFINISHED)
        self._salts: list[bytes] = []
        self._slow_mono_us: int | None = None
        self._retired_fd = -1
        self._is_here = True
        self.root_fd = self._open_root()
        try:
            found = read_identity(self.root_fd).archive_id
            if found != archive_id:
                raise _another(path, found, archive_id)
        except KhuphoError:
            os.close(self.root_fd)
            raise

    def drain(self, patience_s: float = DRAIN_PATIENCE_S) -> bool:
        """Wait until what a slow disk kept in memory is written, but no longer; whether all is written.

        To be called after all writers are closed, and before the last flush.
        """
        return self.spill.drain(patience_s)

    def close(self) -> None:
        """After `drain`."""
        self.spill.close()
        for name in ("root_fd", "_retired_fd"):
            file = getattr(self, name)
            setattr(self, name, -1)
            if file >= 0:
                _close(file)

    def memory_of(self, camera: str, stream: str) -> StreamMemory:
        """What all writers of a stream share."""
        with self._lock:
            return self._memories.setdefault((camera, stream), StreamMemory())

    def salt(self) -> bytes:
        """16 random bytes."""
        salts = self._salts
        try:
            return salts.pop()
        except IndexError:
            fresh = os.urandom(_SALTS * SALT_BYTES)
            salts += [
                fresh[at : at + SALT_BYTES] for at in range(SALT_BYTES, len(fresh), SALT_BYTES)
            ]
            return fresh[:SALT_BYTES]

    # Writing

    def open_segment(self, relative_path: str) -> int:
        """A new file, with its directories. Raises `OSError`, `FileExistsError` among them."""
        if not self._is_here:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), relative_path)
        try:
            return self.calls.open(relative_path, _CREATE, 0o600, dir_fd=self.root_fd)
        except FileNotFoundError:
            parts = relative_path.split("/")[:-1]
            for count in range(1, len(parts) + 1):
                with contextlib.suppress(FileExistsError):
                    self.calls.mkdir("/".join(parts[:count]), 0o700, dir_fd=self.root_fd)
        return self.calls.open(relative_path, _CREATE, 0o600, dir_fd=self.root_fd)

    def remove_segment(self, relative_path: str) -> None:
        """A file that nobody was told of. Raises `OSError`."""
        self.calls.unlink(relative_path, dir_fd=self.root_fd)

    def write_all(self, file: int, pieces: Sequence[Buffer], size_bytes: int) -> None:
        """Append all of it, in one call if the disk lets us. Raises `OSError`."""
        if len(pieces) > _MAX_PIECES:
            pieces = [b"".join(pieces)]
        written = self.calls.writev(file, pieces)
        if written < size_bytes:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                written = self.calls.writev(file, [rest])
                if written <= 0:
                    raise OSError(errno.EIO, "nothing was written")
                rest = rest[written:]

    def took(self, duration_us: int) -> None:
        """A call of the disk took so long (only those over `NOTED_US` need be told)."""
        self.spill.note(duration_us)
        if duration_us < SLOW_WRITE_US:
            return
        self._slow_mono_us = self.mono_us()
        self._alarms.sound(
            SLOW_ALARM,
            DiskError(
                f"The archive's disk is slow: a write took {duration_us / US_PER_S:.1f} s",
                where=str(self.path),
                advice="Look what else uses the disk (iostat -x 5), and at its health (smartctl -a)",
            ),
        )

    # Faults

    def failed(self, camera: str, stream: str, error: OSError, attempt: int) -> int:
        """A stream's segment was given up; after how many microseconds it may try the next one."""
        with self._lock:
            self._failing.add((camera, stream))
            self.has_failing = True
            count = len(self._failing)
        self._alarms.sound(WRITE_ALARM, explain_disk_error(error, self.path, count))
        return _RETRY_US[min(attempt, len(_RETRY_US) - 1)]

    def works(self, camera: str, stream: str) -> None:
        """A stream that failed writes again, or has ended."""
        with self._lock:
            self._failing.discard((camera, stream))
            if self._failing:
                return
            self.has_failing = False
        self._alarms.clear(WRITE_ALARM)

    def refused(self) -> frozenset[tuple[str, str]]:
        """Cameras and streams whose footage the disk does not take at this moment."""
        with self._lock:
            return frozenset(self._failing)

    def lose(self, frames: int) -> None:
        """So many pictures were not written."""
        with self._lock:
            self.lost_frames += frames

    def leave_unfinished(self, relative_path: str, offset: int, tail: bytes) -> None:
        """A segment's end that the disk refused, to be appended at `offset` by `watch` once it can be.

        If that never happens, recovery makes the segment's end good at the next start.
        """
        self._unfinished.append(_Unfinished(relative_path, offset, tail))

    @property
    def unfinished(self) -> int:
        """Segments that still lack the end that the disk refused."""
        return len(self._unfinished)

    # The keeper's thread

    def watch(self) -> None:
        """Look whether this is still our disk, and take it back when it has come back.

        To be called every few seconds by one thread.
        """
        if self._retired_fd >= 0:
            retired, self._retired_fd = self._retired_fd, -1
            _close(retired)
        trouble = self._look()
        if trouble is not None:
            self._alarms.sound(PLACE_ALARM, trouble)
        else:
            self._alarms.clear(PLACE_ALARM)
            self._finish_segments()
        slow_us = self._slow_mono_us
        if slow_us is not None and self.mono_us() - slow_us > SLOW_ALARM_STANDS_US:
            self._slow_mono_us = None
            self._alarms.clear(SLOW_ALARM)

    def _look(self) -> DiskError | None:
        """Whether the path leads to our directory, or to our archive in another one: then that is it."""
        try:
            there = self._open_root()
        except DiskError as error:
            self._is_here = self._is_ours(self.root_fd) is None
            return error
        trouble = self._is_ours(there)
        if trouble is None and _identity(there) == _identity(self.root_fd):
            self._is_here = True
            _close(there)
        elif trouble is None:
            self._retired_fd, self.root_fd = self.root_fd, there
            self._is_here = True
        else:
            _close(there)
            self._is_here = self._is_ours(self.root_fd) is None
        return trouble

    def _open_root(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DiskError(
                f"The archive's directory is not there: {error.strerror}",
                where=str(self.path),
                advice="Mount its disk again; recording goes on by itself then",
            ) from error

    def _is_ours(self, root_fd: int) -> DiskError | None:
        try:
            found = read_identity(root_fd).archive_id
        except ArchiveIdentityError as error:
            return DiskError(
                f"The archive's disk is not where it was: {error.what}",
                where=str(self.path),
                advice="Mount its disk again; recording goes on by itself then",
            )
        return None if found == self.archive_id else _another(self.path, found, self.archive_id)

    def _finish_segments(self) -> None:
        for _ in range(len(self._unfinished)):
            left = self._unfinished.popleft()
            try:
                self._finish_segment(left)
            except FileNotFoundError:
                continue  # deleted for its age, meanwhile
            except OSError:
                self._unfinished.append(left)
                return

    def _finish_segment(self, left: _Unfinished) -> None:
        file = self.calls.open(left.relative_path, _APPEND, dir_fd=self.root_fd)
        try:
            if os.fstat(file).st_size < left.offset:
                return  # the disk lost what it had taken: a matter for recovery
            self.calls.ftruncate(file, left.offset)
            self.write_all(file, [left.tail], len(left.tail))
        finally:
            self.calls.close(file)


def explain_disk_error(error: OSError, path: Path, streams: int = 0) -> DiskError:
    """A refused write in plain words."""
    number = error.errno
    what, advice = f"The disk refuses to write: {error.strerror}", "Look at it: dmesg, smartctl -a"
    if number == errno.ENOSPC:
        what = "The archive's disk is full, or has no inodes left"
        advice = "Look what fills it (df -h, df -i); old footage beyond its guarantee is deleted by itself"
    elif number == errno.EDQUOT:
        what = "The recorder's disk quota is used up"
        advice = "Raise the quota of its user, or give the archive a disk of its own"
    elif number == errno.EROFS:
        what = "The archive's disk can only be read now"
        advice = "The kernel does that when a disk fails: look at dmesg, then run fsck and mount it again"
    elif number == errno.EIO:
        what = "The archive's disk fails"
        advice = "Look at dmesg and smartctl -a; copy what is there, and replace the disk"
    elif number in (errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ENXIO):
        what = "The archive's disk is gone"
        advice = "Connect and mount it again; recording goes on by itself then"
    elif number in (errno.EACCES, errno.EPERM):
        what = "The recorder may not write to its archive"
        advice = "Give the archive's directory to the recorder's user (chown -R)"
    elif number == errno.ENOBUFS:
        what = "The archive's disk is so slow that footage is lost"
        advice = "Look what else uses the disk (iostat -x 5), and at its health (smartctl -a)"
    elif number in (errno.EMFILE, errno.ENFILE):
        what = "Too many files are open"
        advice = "Raise the limit of open files (LimitNOFILE, ulimit -n)"
    if streams > 1:
        what += f" ({streams} streams are not recorded)"
    return DiskError(what, where=str(path), advice=advice)


def _another(path: Path, found: bytes, wanted: bytes) -> DiskError:
    return DiskError(
        "Another archive lies where this recorder's should be",
        where=f"{path}: {found.hex()}, not {wanted.hex()}",
        advice="Mount the disk that belongs here",
    )


def _close(file: int) -> None:
    """A dead file system complains; the descriptor is gone all the same (close(2))."""
    with contextlib.suppress(OSError):
        os.close(file)


def _identity(file: int) -> tuple[int, int] | None:
    """Which directory a descriptor leads to; None where its file system is dead (ENOTCONN, EIO)."""
    try:
        status = os.fstat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino

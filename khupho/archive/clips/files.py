"""Files of an export: all of them whole in their places, or none at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from khupho.errors import Fault, KhuphoError

CHUNK_BYTES = 1 << 20
_MODE = 0o600


class ExportError(KhuphoError):
    """A clip cannot be exported as asked."""

    fault = Fault.USER


class ExportCancelledError(ExportError):
    """Whoever asked for the clip wants it no longer; nothing is left of it."""


Progress = Callable[[int, int], None]
"""`progress(done_bytes, total_bytes)`; may raise `ExportCancelledError`."""


class PartialFile:
    """A file that grows under a name of its own, beside its place. Made by `NewFiles`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self.temporary, flags, _MODE)
        except OSError as error:
            raise disk_error(error, path) from error

    def append(self, data: bytes) -> None:
        """Write all of `data`. Raises `ExportError`."""
        self._hash.update(data)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                raise disk_error(error, self.path) from error
        self.size_bytes += len(data)

    @property
    def sha256(self) -> str:
        """Of all that was written, in hex."""
        return self._hash.hexdigest()

    def sync(self) -> None:
        """Bring it to the disk and close it. Raises `ExportError`."""
        try:
            os.fsync(self._file)
            self.close()
        except OSError as error:
            raise disk_error(error, self.path) from error

    def close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


class NewFiles:
    """A set of files that appear together at the end of a `with` block, or not at all."""

    def __init__(self, *, replace_existing: bool = False) -> None:
        self._replace_existing = replace_existing
        self._files: list[PartialFile] = []

    def __enter__(self) -> NewFiles:
        return self

    def begin(self, path: Path) -> PartialFile:
        """A new file for `path`, which must not exist unless existing ones may be replaced."""
        if not self._replace_existing and path.exists():
            raise ExportError(
                "There is a file of that name already",
                where=str(path),
                advice="Name another with --out, or replace it with --force",
            )
        made = PartialFile(path)
        self._files.append(made)
        return made

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._put_in_place()
        finally:
            for file in self._files:
                with contextlib.suppress(OSError):
                    file.close()
                with contextlib.suppress(OSError):
                    file.temporary.unlink()

    def _put_in_place(self) -> None:
        for file in self._files:
            file.sync()
        placed: list[Path] = []
        for file in self._files:
            try:
                file.temporary.replace(file.path)
            except OSError as error:
                for path in placed:
                    with contextlib.suppress(OSError):
                        path.unlink()
                raise disk_error(error, file.path) from error
            placed.append(file.path)
        for directory in {file.path.parent for file in self._files}:
            # Some file systems cannot flush a directory; the files themselves are safe.
            with contextlib.suppress(OSError):
                handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def check_room(directory: Path, needed_bytes: int) -> None:
    """Raise `ExportError` where so much doesn't fit on the directory's disk."""
    try:
        status = os.statvfs(directory)
    except OSError as error:
        raise disk_error(error, directory) from error
    free_bytes = status.f_bavail * status.f_frsize
    if needed_bytes > free_bytes:
        raise ExportError(
            f"The clip needs {needed_bytes / 1e6:,.0f} MB, and {free_bytes / 1e6:,.0f} MB are free",
            where=str(directory),
            advice="Make room, choose another place with --out, or a shorter time",
            fault=Fault.DISK,
        )


def chunks_of(file: int, offset: int, size_bytes: int, where: str) -> Iterator[bytes]:
    """Bytes of a footage file, at most a megabyte at a time. Raises `ExportError`."""
    while size_bytes > 0:
        try:
            chunk = os.pread(file, min(size_bytes, CHUNK_BYTES), offset)
        except OSError as error:
            raise ExportError(
                f"The footage cannot be read: {error.strerror}",
                where=f"{where}, byte {offset}",
                advice="Look at the disk: khupho archive check, dmesg, smartctl -a",
                fault=Fault.DISK,
            ) from error
        if not chunk:
            raise ExportError(
                "A segment is shorter than its index says",
                where=f"{where}, byte {offset}",
                advice="Run khupho archive check",
                fault=Fault.ARCHIVE,
            )
        yield chunk
        offset += len(chunk)
        size_bytes -= len(chunk)


def part_paths(out: Path, parts: int) -> Sequence[Path]:
    """The names of a clip's files: `out` itself, or `out` with a number for each of several."""
    if parts == 1:
        return [out]
    width = len(str(parts))
    return [
        out.with_name(f"{out.stem}-{number:0{width}}{out.suffix}") for number in range(1, parts + 1)
    ]


def disk_error(error: OSError, path: Path) -> ExportError:
    """What a failed write means."""
    advice = "Check the place named with --out, and its disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "The disk is full: make room, or choose another place with --out"
    elif error.errno == errno.EFBIG:
        advice = (
            "That disk takes no file so large (FAT: 4 GB): choose a shorter time or another disk"
        )
    return ExportError(
        f"The clip cannot be written: {error.strerror}",
        where=str(path),
        advice=advice,
        fault=Fault.USER if error.errno in (errno.ENOENT, errno.ENOTDIR) else Fault.DISK,
    )

"""Records everything that this process does to a directory as a trace (`write_trace`), without FUSE.

`install` replaces functions of `os` and SQLite's default VFS. It must run before anything of `khupho` is
imported, since that keeps references to some of them.
"""

# The very functions that are replaced are called by their names.
# ruff: noqa: PTH100, PTH110, PTH113, PTH117, PTH118
from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
from write_trace import TraceWriter

_real = {
    name: getattr(os, name)
    for name in (
        "open", "close", "dup", "write", "writev", "pwrite", "ftruncate", "truncate", "fsync", "fdatasync",
        "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "link", "posix_fallocate",
    )
}  # fmt: skip


class TracedOs:
    """The replaced functions. Paths outside `root` pass untouched."""

    def __init__(self, root: Path, trace: TraceWriter) -> None:
        self._root = os.path.realpath(root)
        self._trace = trace
        self._files: dict[int, tuple[str, int]] = {}
        """Descriptor to path below the root and file id; -1 for a directory."""
        self._written: set[int] = set()
        """Files that were written with traced calls."""

    def install(self) -> None:
        """From now on everything is traced."""
        for name in ("open", "close", "dup", "write", "writev", "pwrite", "ftruncate", "truncate"):
            setattr(os, name, getattr(self, name))
        os.fsync = os.fdatasync = self.fsync  # type: ignore[assignment]
        os.rename = os.replace = self.rename  # type: ignore[assignment]
        os.unlink = os.remove = self.unlink  # type: ignore[assignment]
        os.posix_fallocate = self.posix_fallocate  # type: ignore[assignment]
        os.mkdir, os.rmdir, os.link = self.mkdir, self.rmdir, self.link  # type: ignore[assignment]
        self._vfs = _TracedVfs(self, self._trace)

    def below(self, path: object, dir_fd: int | None = None) -> str | None:
        """A path from the root on; None for one that lies elsewhere."""
        text = os.fsdecode(path)  # type: ignore[arg-type]
        if dir_fd is not None and not os.path.isabs(text):
            base = self._files.get(dir_fd)
            if base is None:
                return None
            return posixpath.normpath(f"{base[0]}/{text}").lstrip("/").removeprefix(".")
        directory, name = os.path.split(os.path.abspath(text))
        whole = os.path.join(os.path.realpath(directory), name)
        if whole == self._root:
            return ""
        return whole[len(self._root) + 1 :] if whole.startswith(self._root + "/") else None

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        below = self.below(path, dir_fd)
        if below is None:
            return _real["open"](path, flags, mode, dir_fd=dir_fd)
        existed = os.path.lexists(self._full(below))
        before = b""
        if existed and os.path.isfile(self._full(below)) and not self._trace.knows(below):
            before = Path(self._full(below)).read_bytes()
        handle = _real["open"](path, flags, mode, dir_fd=dir_fd)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            self._files[handle] = (below, -1)
            return handle
        file = self._trace.file_id(below, before if existed else None)
        self._files[handle] = (below, file)
        if existed and flags & os.O_TRUNC:
            self._trace.put("truncate", file=file)
        return handle

    def close(self, handle):
        self._files.pop(handle, None)
        _real["close"](handle)

    def dup(self, handle):
        made = _real["dup"](handle)
        if handle in self._files:
            self._files[made] = self._files[handle]
        return made

    def _traced_write(self, handle: int, do: Callable[[], int], data: bytes, at: int | None) -> int:
        known = self._files.get(handle)
        if known is None:
            return do()
        if at is None:
            import fcntl

            is_append = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_APPEND
            at = os.fstat(handle).st_size if is_append else os.lseek(handle, 0, os.SEEK_CUR)
        written = do()
        self._written.add(known[1])
        self._trace.put("write", file=known[1], offset=at, data=data[:written])
        return written

    def write(self, handle, data):
        return self._traced_write(handle, lambda: _real["write"](handle, data), bytes(data), None)

    def writev(self, handle, pieces: Sequence):
        whole = b"".join(bytes(piece) for piece in pieces)
        return self._traced_write(handle, lambda: _real["writev"](handle, pieces), whole, None)

    def pwrite(self, handle, data, offset):
        return self._traced_write(
            handle, lambda: _real["pwrite"](handle, data, offset), bytes(data), offset
        )

    def ftruncate(self, handle, size):
        _real["ftruncate"](handle, size)
        known = self._files.get(handle)
        if known is not None:
            self._trace.put("truncate", file=known[1], offset=size)

    def posix_fallocate(self, handle, offset, size):
        _real["posix_fallocate"](handle, offset, size)
        known = self._files.get(handle)
        if known is not None:
            self._trace.put("truncate", file=known[1], offset=os.fstat(handle).st_size)

    def truncate(self, path, size):
        _real["truncate"](path, size)
        known = self._files.get(path) if isinstance(path, int) else None
        below = known[0] if known else self.below(path)
        if below is not None:
            self._trace.put("truncate", file=self._trace.file_id(below), offset=size)

    def fsync(self, handle):
        number = handle if isinstance(handle, int) else handle.fileno()
        _real["fdatasync"](number)
        known = self._files.get(number)
        if known is None:
            return
        if known[1] < 0:
            self._trace.put("fsyncdir", known[0])
            return
        if known[1] not in self._written:
            # Written through a file object, whose calls nobody sees: what is there was written before.
            data = os.pread(number, os.fstat(number).st_size, 0)
            self._trace.put("write", file=known[1], data=data)
        self._trace.put("fsync", file=known[1])

    def rename(self, source, target, *, src_dir_fd=None, dst_dir_fd=None):
        _real["rename"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        old, new = self.below(source, src_dir_fd), self.below(target, dst_dir_fd)
        if old is not None and new is not None:
            self._trace.rename(old, new)
            self._files = {
                handle: ((new, file) if path == old else (path, file))
                for handle, (path, file) in self._files.items()
            }

    def unlink(self, path, *, dir_fd=None):
        _real["unlink"](path, dir_fd=dir_fd)
        self.gone(self.below(path, dir_fd))

    def gone(self, below: str | None) -> None:
        """A name was removed."""
        if below is not None:
            self._trace.unlink(below)

    def mkdir(self, path, mode=0o777, *, dir_fd=None):
        _real["mkdir"](path, mode, dir_fd=dir_fd)
        below = self.below(path, dir_fd)
        if below:
            self._trace.put("mkdir", below)

    def rmdir(self, path, *, dir_fd=None):
        _real["rmdir"](path, dir_fd=dir_fd)
        below = self.below(path, dir_fd)
        if below is not None:
            self._trace.put("rmdir", below)

    def link(self, source, target, **how):
        _real["link"](source, target, **how)
        old, new = self.below(source), self.below(target)
        if old is not None and new is not None:
            self._trace.link(old, new)


class _TracedVfs(apsw.VFS):
    """SQLite's files. The shared memory of WAL is left out: it is made anew from the WAL."""

    def __init__(self, calls: TracedOs, trace: TraceWriter) -> None:
        self._calls = calls
        self._trace = trace
        super().__init__("traced", "unix", makedefault=True)

    def xOpen(self, name, flags):
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        below = self._calls.below(text) if text else None
        return _TracedFile(name, flags, below, self._trace)

    def xDelete(self, filename, syncdir):
        super().xDelete(filename, syncdir)
        self._calls.gone(self._calls.below(filename))


class _TracedFile(apsw.VFSFile):
    def __init__(self, name, flags, below: str | None, trace: TraceWriter) -> None:
        existed = below is not None and os.path.exists(
            name.filename() if isinstance(name, apsw.URIFilename) else name
        )
        super().__init__("unix", name, flags)
        self._trace = trace
        self._file = 0
        if below is not None:
            self._file = trace.file_id(below, self._content() if existed else None)

    def _content(self) -> bytes:
        size = self.xFileSize()
        return self.xRead(size, 0) if size else b""

    def xWrite(self, data, offset):
        super().xWrite(data, offset)
        if self._file:
            self._trace.put("write", file=self._file, offset=offset, data=bytes(data))

    def xTruncate(self, newsize):
        super().xTruncate(newsize)
        if self._file:
            self._trace.put("truncate", file=self._file, offset=newsize)

    def xSync(self, flags):
        super().xSync(flags)
        if self._file:
            self._trace.put("fsync", file=self._file)

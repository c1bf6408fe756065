"""A FUSE file system over a directory that fails on demand and keeps a trace of what was done to it.

Run as a program: `fault_disk.py BACKING MOUNT CONTROL [TRACE]`. CONTROL is a unix socket that takes lines
of JSON, the whole set of faults each time, and answers `ok`: see `Faults`.
"""

# A file system is made of calls on descriptors and strings.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH113, PTH208
from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import mfusepy
from write_trace import TraceWriter


@dataclass
class Faults:
    """What goes wrong now. Errors are named as in `errno`; empty is none."""

    write: str = ""
    fsync: str = ""
    create: str = ""
    """Making files and directories."""
    change: str = ""
    """Removing and renaming."""
    read: str = ""
    write_delay_s: float = 0.0
    fsync_delay_s: float = 0.0
    only: str = ""
    """Only paths that contain this suffer."""
    free_bytes: int = -1
    """What the disk says is free; -1 is the truth."""
    after_bytes: int = -1
    """Writes fail once so many bytes more have been written; -1 is at once."""


class FaultDisk(mfusepy.Operations):
    """Passes everything on to the backing directory, except for what the faults say."""

    use_ns = True

    def __init__(self, backing: Path, trace: TraceWriter | None) -> None:
        self._root = str(backing)
        self._trace = trace
        self.faults = Faults()
        self._files: dict[int, tuple[str, int]] = {}

    def _full(self, path: str) -> str:
        return self._root + path

    def _check(self, fault: str, path: str) -> None:
        name = getattr(self.faults, fault)
        if name and self.faults.only in (path or ""):
            raise mfusepy.FuseOSError(getattr(errno, name))

    # Reading

    def getattr(self, path, fh=None):
        st = os.fstat(fh) if fh else os.lstat(self._full(path))
        keys = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_ino")
        return {key: getattr(st, key) for key in keys} | {
            "st_atime": st.st_atime_ns, "st_mtime": st.st_mtime_ns, "st_ctime": st.st_ctime_ns,
        }  # fmt: skip

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self._full(path))]

    def statfs(self, path):
        st = os.statvfs(self._full(path))
        keys = (
            "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files",
            "f_frsize", "f_namemax",
        )  # fmt: skip
        found = {key: getattr(st, key) for key in keys}
        if self.faults.free_bytes >= 0:
            found["f_bavail"] = found["f_bfree"] = self.faults.free_bytes // st.f_frsize
        return found

    def open(self, path, flags):
        if flags & os.O_TRUNC:
            self._check("write", path)
        fh = os.open(self._full(path), flags & ~os.O_APPEND & ~os.O_DIRECT)
        if self._trace is not None and not self._trace.knows(path[1:]):
            with open(self._full(path), "rb") as file:
                self._trace.file_id(path[1:], file.read())
        self._files[fh] = (path, self._trace.file_id(path[1:]) if self._trace else 0)
        if self._trace is not None and flags & os.O_TRUNC:
            self._trace.put("truncate", file=self._files[fh][1])
        return fh

    def read(self, path, size, offset, fh):
        self._check("read", path)
        return os.pread(fh, size, offset)

    # Changing

    def create(self, path, mode, fi=None):
        self._check("create", path)
        fh = os.open(self._full(path), os.O_RDWR | os.O_CREAT, mode)
        self._files[fh] = (path, self._trace.file_id(path[1:]) if self._trace else 0)
        return fh

    def write(self, path, data, offset, fh):
        name, file = self._files[fh]
        faults = self.faults
        if faults.write_delay_s and faults.only in name:
            time.sleep(faults.write_delay_s)
        if faults.after_bytes >= len(data):
            faults.after_bytes -= len(data)
        else:
            room = max(faults.after_bytes, 0)
            if room and faults.write:
                data, faults.after_bytes = data[:room], 0  # a disk takes what still fits
            else:
                self._check("write", name)
        written = os.pwrite(fh, data, offset)
        if self._trace is not None:
            self._trace.put("write", file=file, offset=offset, data=bytes(data[:written]))
        return written

    def truncate(self, path, length, fh=None):
        self._check("write", path)
        os.truncate(fh if fh else self._full(path), length)
        if self._trace is not None:
            self._trace.put("truncate", file=self._trace.file_id(path[1:]), offset=length)

    def fsync(self, path, datasync, fh):
        name, file = self._files[fh]
        if self.faults.fsync_delay_s and self.faults.only in name:
            time.sleep(self.faults.fsync_delay_s)
        self._check("fsync", name)
        if self._trace is not None:
            self._trace.put("fsync", file=file)

    def flush(self, path, fh):
        return 0

    def opendir(self, path):
        return 0

    def fsyncdir(self, path, datasync, fh):
        self._check("fsync", path)
        if self._trace is not None:
            self._trace.put("fsyncdir", path[1:])

    def release(self, path, fh):
        self._files.pop(fh, None)
        os.close(fh)

    def mkdir(self, path, mode):
        self._check("create", path)
        os.mkdir(self._full(path), mode)
        if self._trace is not None:
            self._trace.put("mkdir", path[1:])

    def link(self, target, source):
        self._check("create", target)
        os.link(self._full(source), self._full(target))
        if self._trace is not None:
            self._trace.link(source[1:], target[1:])

    def unlink(self, path):
        self._check("change", path)
        os.unlink(self._full(path))
        if self._trace is not None:
            self._trace.unlink(path[1:])

    def rmdir(self, path):
        self._check("change", path)
        os.rmdir(self._full(path))
        if self._trace is not None:
            self._trace.put("rmdir", path[1:])

    def rename(self, old, new):
        self._check("change", old)
        if (
            self._trace is not None
            and not self._trace.knows(old[1:])
            and os.path.isfile(self._full(old))
        ):
            with open(self._full(old), "rb") as file:
                self._trace.file_id(old[1:], file.read())
        os.rename(self._full(old), self._full(new))
        if self._trace is not None:
            self._trace.rename(old[1:], new[1:])

    def chmod(self, path, mode):
        os.chmod(self._full(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self._full(path), uid, gid)

    def utimens(self, path, times=None):
        os.utime(self._full(path), ns=times)


def serve_control(disk: FaultDisk, control: Path, trace: TraceWriter | None) -> None:
    """Take faults until the process ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(control))
    listener.listen(8)

    def serve() -> None:
        while True:
            connection, _address = listener.accept()
            with connection, connection.makefile("rw") as file:
                for line in file:
                    disk.faults = Faults(**json.loads(line))
                    if trace is not None:
                        trace.flush()
                    file.write("ok\n")
                    file.flush()

    threading.Thread(target=serve, name="control", daemon=True).start()


class _Started(FaultDisk):
    """Threads must begin after the mount has gone to its final process."""

    control: Path

    def init(self, path):
        serve_control(self, self.control, self._trace)


def main() -> None:
    backing, mount, control = (Path(word) for word in sys.argv[1:4])
    trace = TraceWriter(Path(sys.argv[4])) if len(sys.argv) > 4 else None
    disk = _Started(backing, trace)
    disk.control = control
    mfusepy.FUSE(disk, str(mount), foreground=True, nothreads=False, fsname="khupho-torture")
    if trace is not None:
        trace.flush()


if __name__ == "__main__":
    main()

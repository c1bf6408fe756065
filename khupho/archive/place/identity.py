"""Which archive a directory is, and who writes it: `archive.json`, `running.json`, `running.lock`.

`archive.json` is written once. `running.json` lies there while a recorder writes; one that is found when
nobody holds the lock tells how the last recorder ended. The lock is an open file description lock
(fcntl(2), Linux 3.15): the kernel drops it with its holder, however that ends, and a checker can ask
for it without taking it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from khupho.durable_file import create_file, replace_file, sync_directory
from khupho.errors import Fault, KhuphoError
from khupho.units import format_utc, parse_utc

FORMAT_VERSION = 1
IDENTITY_NAME = "archive.json"
RUNNING_NAME = "running.json"
LOCK_NAME = "running.lock"
PROOF_DIRECTORY = "proof"
ID_BYTES = 16
_MAX_FILE_BYTES = 64 << 10
_FOREIGN_BUT_HARMLESS = frozenset({"lost+found"})
"""In the root of a fresh disk."""
_FLOCK = "hhqqi4x"
"""struct flock: l_type, l_whence, l_start, l_len, l_pid (fcntl(2))."""


class ArchiveIdentityError(KhuphoError):
    """The directory is no archive that this program can write or read."""

    fault = Fault.ARCHIVE


class ArchiveBusyError(ArchiveIdentityError):
    """Another recorder writes this archive."""

    fault = Fault.USER

    def __init__(self, root: Path, pid: int) -> None:
        who = f"the recorder with pid {pid}" if pid else "another recorder"
        super().__init__(
            f"This archive is being written by {who}",
            where=str(root),
            advice="Stop it first, or give this one a data directory of its own",
        )
        self.pid = pid
        """Of the other; 0 where it cannot be told."""


class ArchiveIdentity(NamedTuple):
    """What `archive.json` says."""

    archive_id: bytes
    """16 bytes, in every segment."""
    recorder_id: str
    """Of the recorder that made the archive."""
    created_utc_us: int


class LastEnd(Enum):
    """How the recorder before this one ended; the value stands in the journal."""

    CLEAN = "clean"
    """Orderly, or there was none."""
    KILLED = "killed"
    """The process ended and the machine ran on: all that was written is there."""
    POWER_CUT = "power cut"
    """The machine ended too: what was not flushed may be missing or half there."""


class Running(NamedTuple):
    """What `running.json` says of the recorder that writes, or wrote last."""

    pid: int
    boot_id: str
    started_utc_us: int


def create_archive(root: Path, recorder_id: str, now_utc_us: int) -> ArchiveIdentity:
    """Make an archive in an empty directory, or in a new one. Raises `ArchiveIdentityError`."""
    identity = ArchiveIdentity(os.urandom(ID_BYTES), recorder_id, now_utc_us)
    fields = {
        "khupho_archive": FORMAT_VERSION,
        "id": identity.archive_id.hex(),
        "recorder": recorder_id,
        "created": format_utc(now_utc_us),
    }
    try:
        if not root.exists():
            root.mkdir(mode=0o700)
            sync_directory(root.parent)
        _check_empty(root)
        (root / PROOF_DIRECTORY).mkdir(mode=0o700, exist_ok=True)
        create_file(root / IDENTITY_NAME, json.dumps(fields, indent=1).encode() + b"\n")
    except FileExistsError:
        # Another program of this recorder was first; its archive counts.
        return read_identity(root)
    except OSError as error:
        raise _cannot_use(root, error) from error
    return identity


def open_archive(
    root: Path, recorder_id: str, now_utc_us: int, *, expected_id: bytes | None = None
) -> ArchiveIdentity:
    """The archive in `root`, made if there is none yet. Raises `ArchiveIdentityError`.

    With `expected_id` none is made and no other is taken: the disk that belongs here isn't mounted.
    """
    if expected_id is None and not (root / IDENTITY_NAME).exists():
        return create_archive(root, recorder_id, now_utc_us)
    identity = read_identity(root)
    if expected_id is not None and identity.archive_id != expected_id:
        raise ArchiveIdentityError(
            "There is another archive than the one that was recorded to before",
            where=f"{root}: {identity.archive_id.hex()}, not {expected_id.hex()}",
            advice="Mount the disk that belongs here",
            fault=Fault.DISK,
        )
    return identity


def read_identity(root: Path | int) -> ArchiveIdentity:
    """What the archive in a directory (or below its descriptor) is. Raises `ArchiveIdentityError`."""
    where = str(root / IDENTITY_NAME) if isinstance(root, Path) else IDENTITY_NAME
    try:
        fields = _read_json(root, IDENTITY_NAME)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArchiveIdentityError(
            "There is no archive here",
            where=where,
            advice="Is its disk mounted? Name the recorder's data directory with --data",
            fault=Fault.USER,
        ) from error
    except OSError as error:
        raise _cannot_use(Path(where), error) from error
    except ValueError as error:
        raise _broken(where, str(error)) from error
    version = fields.get("khupho_archive")
    if not isinstance(version, int):
        raise _broken(where, "it names no version")
    if version != FORMAT_VERSION:
        raise ArchiveIdentityError(
            f"The archive's format has version {version}, and this program knows {FORMAT_VERSION}",
            where=where,
            advice="Use the program that wrote it, or a newer one",
        )
    try:
        archive_id = bytes.fromhex(_text(fields, "id"))
        created_utc_us = parse_utc(_text(fields, "created"))
        recorder_id = _text(fields, "recorder")
    except (ValueError, OverflowError) as error:
        raise _broken(where, str(error)) from error
    if len(archive_id) != ID_BYTES:
        raise _broken(where, "its id has another length")
    return ArchiveIdentity(archive_id, recorder_id, created_utc_us)


@dataclass(slots=True)
class WritingLock:
    """Held by the one recorder that writes an archive."""

    root: Path
    last_end: LastEnd
    previous: Running | None
    """Who ended without order before, if anybody."""
    _running: Running
    _file: int

    @classmethod
    def take(
        cls, root: Path, now_utc_us: int, *, pid: int | None = None, boot: str | None = None
    ) -> WritingLock:
        """Become the archive's writer. Raises `ArchiveBusyError`, `ArchiveIdentityError`.

        `pid` and `boot` are for tests.
        """
        running = Running(
            os.getpid() if pid is None else pid, boot_id() if boot is None else boot, now_utc_us
        )
        try:
            file = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_use(root, error) from error
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
            previous = read_running(root)
            last_end = _judge(root, previous, running)
            replace_file(root / RUNNING_NAME, _running_json(running))
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                other = read_running(root)
                raise ArchiveBusyError(root, other.pid if other else 0) from error
            raise _cannot_use(root, error) from error
        return cls(root, last_end, previous, running, file)

    def release(self) -> None:
        """An orderly end: everything was synced. Raises `ArchiveIdentityError`; the lock is free anyway."""
        try:
            # Another disk may be mounted here by now; its file isn't ours.
            if self._file >= 0 and read_running(self.root) == self._running:
                (self.root / RUNNING_NAME).unlink()
                sync_directory(self.root)
        except OSError as error:
            raise _cannot_use(self.root, error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """An end without order: the next start looks closely."""
        if self._file >= 0:
            file, self._file = self._file, -1
            # A dead file system complains; the descriptor is gone all the same (close(2)).
            with contextlib.suppress(OSError):
                os.close(file)


def read_running(root: Path) -> Running | None:
    """Who writes this archive, or ended without order; None where nobody did."""
    try:
        fields = _read_json(root, RUNNING_NAME)
        pid = fields.get("pid")
        if not isinstance(pid, int):
            raise ValueError("no pid")
        return Running(pid, _text(fields, "boot"), parse_utc(_text(fields, "started")))
    except (OSError, ValueError, OverflowError):
        return None


def is_being_written(root: Path) -> bool:
    """Whether a recorder holds the archive now. Asks only: a recorder that starts isn't disturbed."""
    try:
        file = os.open(root / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
        told = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
        kind: int = struct.unpack(_FLOCK, told)[0]
        return kind != fcntl.F_UNLCK
    except OSError:
        return False
    finally:
        os.close(file)


def boot_id() -> str:
    """Of this run of the kernel (random(4)); empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _judge(root: Path, previous: Running | None, now: Running) -> LastEnd:
    if previous is None:
        # A file that is there and cannot be read was torn, or is none of ours: suspect the worst.
        return LastEnd.POWER_CUT if (root / RUNNING_NAME).exists() else LastEnd.CLEAN
    if previous.boot_id and previous.boot_id == now.boot_id:
        return LastEnd.KILLED
    return LastEnd.POWER_CUT


def _running_json(running: Running) -> bytes:
    fields = {
        "pid": running.pid,
        "boot": running.boot_id,
        "started": format_utc(running.started_utc_us),
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def _check_empty(root: Path) -> None:
    for entry in root.iterdir():
        name = entry.name
        if name in _FOREIGN_BUT_HARMLESS or name.startswith(f".{IDENTITY_NAME}."):
            continue
        if name == PROOF_DIRECTORY and not any(entry.iterdir()):
            continue  # our own, made just before a power cut
        if name == IDENTITY_NAME:
            raise FileExistsError
        raise ArchiveIdentityError(
            f"The directory is not empty and is no archive: it has {name!r} and no {IDENTITY_NAME}",
            where=str(root),
            advice="Give the archive a directory of its own. If this is an archive that lost its "
            f"{IDENTITY_NAME}, put the file back from a backup",
            fault=Fault.USER,
        )


def _read_json(root: Path | int, name: str) -> Mapping[str, object]:
    if isinstance(root, Path):
        file = os.open(root / name, os.O_RDONLY | os.O_CLOEXEC)
    else:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)
    try:
        data = os.read(file, _MAX_FILE_BYTES)
    finally:
        os.close(file)
    try:
        fields = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested without end") from error
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    return fields


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value


def _broken(where: str, why: str) -> ArchiveIdentityError:
    return ArchiveIdentityError(
        f"The archive's identity cannot be read: {why}",
        where=where,
        advice="Put the file back from a backup; its id stands in every segment too",
    )


def _cannot_use(root: Path, error: OSError) -> ArchiveIdentityError:
    return ArchiveIdentityError(
        f"The archive's directory cannot be used: {error.strerror}",
        where=str(root),
        advice="Check the directory, its owner and its disk",
        fault=Fault.DISK,
    )

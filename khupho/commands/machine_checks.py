"""What a recorder needs of its machine, each judged in plain words. Reads only, but for one small file."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import socket
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from khupho.archive.clock.trust import EARLIEST_DATE_UTC_US
from khupho.archive.retention.plan import DiskRoom
from khupho.units import format_utc

PYTHON_AT_LEAST = (3, 11)
SQLITE_AT_LEAST = (3, 37, 0)
"""The catalog's tables are STRICT."""
DESCRIPTORS_PER_CAMERA = 10
"""Two streams: socket, segment and the keeper's copy of each, and UDP's sockets."""
DESCRIPTORS_AT_LEAST = 256
RECEIVE_BUFFER_BYTES = 2 << 20
_MB, _GB = 1_000_000, 1_000_000_000
_NEEDED = ("apsw", "click", "cryptography", "litestar", "msgspec", "uvicorn", "uvloop")
_USEFUL = {"av": "camera tests and thumbnails"}
_OCTAL = re.compile(r"\\([0-7]{3})")
_VOLATILE = {"tmpfs", "ramfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph"}
_SIMPLE = {"vfat", "msdos", "exfat"}
_LAYERED = {"overlay", "aufs"}


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WEAK = "weak"
    """Recording works, but something may be lost or slow."""
    PREVENTS = "prevents recording"


class Finding(NamedTuple):
    """One thing looked at."""

    subject: str
    level: Level
    what: str
    advice: str = ""


class Mount(NamedTuple):
    """The file system that a path lies on."""

    device: str
    point: str
    kind: str
    options: frozenset[str]


def python_version(version: tuple[int, ...]) -> Finding:
    """Judge the interpreter."""
    text = ".".join(str(part) for part in version[:3])
    if version[:2] < PYTHON_AT_LEAST:
        return Finding(
            "Python", Level.PREVENTS, f"{text} is too old", "Install Python 3.11 or newer"
        )
    return Finding("Python", Level.OK, text)


def packages() -> list[Finding]:
    """Judge the packages that the recorder imports."""
    missing = [name for name in _NEEDED if not _importable(name)]
    found = []
    if missing:
        advice = "Install again with `make install`, which brings all of them"
        found.append(Finding("Packages", Level.PREVENTS, f"Missing: {', '.join(missing)}", advice))
    for name, purpose in _USEFUL.items():
        if not _importable(name):
            what = f"{name} is missing; without it there are no {purpose}"
            found.append(Finding("Packages", Level.WEAK, what, "Install again with `make install`"))
    return found or [Finding("Packages", Level.OK, "all there")]


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        return False
    return True


def sqlite_version(text: str) -> Finding:
    """Judge the SQLite that lies in apsw."""
    parts = tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())
    if parts < SQLITE_AT_LEAST:
        return Finding(
            "SQLite", Level.PREVENTS, f"{text} is too old", "Update apsw: `make install`"
        )
    return Finding("SQLite", Level.OK, text)


def packet_loop(is_compiled: bool) -> Finding:
    """Judge how packets are taken apart."""
    if is_compiled:
        return Finding("Packet loop", Level.OK, "compiled")
    return Finding(
        "Packet loop",
        Level.WEAK,
        "Not compiled: each camera costs more processor time",
        "Install a C compiler and Python's headers (apt-get install gcc python3-dev), "
        "remove .venv and run `make install`",
    )


def writable(directory: Path, subject: str) -> Finding:
    """Whether a file can be made, flushed and removed there; asks the nearest parent if it isn't there."""
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        handle, name = tempfile.mkstemp(prefix=".doctor-", dir=place)
    except OSError as error:
        return Finding(
            subject, Level.PREVENTS, f"{place} cannot be written: {error.strerror}",
            f"Give it to the recorder's user: chown -R {_user()} {place}",
        )  # fmt: skip
    try:
        os.write(handle, b"khupho\n")
        os.fsync(handle)
    except OSError as error:
        return Finding(
            subject, Level.PREVENTS, f"{place} cannot be flushed: {error.strerror}",
            "Look at the disk: dmesg, smartctl -a",
        )  # fmt: skip
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            Path(name).unlink()
    if place != directory:
        return Finding(subject, Level.OK, f"{directory} isn't there yet and can be made")
    return Finding(subject, Level.OK, f"{directory} can be written")


def _user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return str(os.getuid())


def private(directory: Path) -> list[Finding]:
    """Whether only the owner can look into the data directory, where keys and footage lie."""
    try:
        mode = directory.stat().st_mode & 0o777
    except OSError:
        return []
    if mode & 0o007:
        what = f"Every user of this machine can look into {directory}"
        return [Finding("Privacy", Level.WEAK, what, f"chmod 700 {directory}")]
    return [Finding("Privacy", Level.OK, "other users cannot look in")]


def mount_of(path: Path, mounts: str) -> Mount | None:
    """The mount that `path` lies on, of the text of /proc/self/mounts (fstab(5) fields)."""
    best: Mount | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[1])
        inside = path == Path(point) or Path(point) in path.parents
        if inside and (best is None or len(point) >= len(best.point)):
            best = Mount(fields[0], point, fields[2], frozenset(fields[3].split(",")))
    return best


def file_system(mount: Mount | None) -> Finding:
    """Judge the kind of disk that footage lies on."""
    subject = "Disk type"
    if mount is None:
        return Finding(subject, Level.OK, "unknown")
    what = f"{mount.kind} on {mount.device}, at {mount.point}"
    if "ro" in mount.options:
        return Finding(
            subject, Level.PREVENTS, f"{what}, is mounted read-only",
            "A disk with faults is often set so: look at dmesg, then mount it anew",
        )  # fmt: skip
    if mount.kind in _VOLATILE:
        return Finding(subject, Level.WEAK, f"{what}: memory, gone at the next start",
                       "Let footage lie on a disk: khupho settings set archive /mnt/…")  # fmt: skip
    if mount.kind in _LAYERED:
        return Finding(subject, Level.WEAK, f"{what}: a container's layer, gone with the container",
                       "Mount a volume there")  # fmt: skip
    if mount.kind in _REMOTE:
        return Finding(subject, Level.WEAK, f"{what}: over the network, which may fail or be slow",
                       "Record on a disk of this machine and copy from there")  # fmt: skip
    if mount.kind in _SIMPLE:
        return Finding(subject, Level.WEAK, f"{what}: breaks on power cuts, knows no owners",
                       "Format it as ext4 or XFS")  # fmt: skip
    if Path(mount.device).name.startswith("mmcblk"):
        return Finding(subject, Level.WEAK, f"{what}: a memory card, which wears out in months",
                       "Record on an SSD or a hard disk; cards for endurance last longer")  # fmt: skip
    return Finding(subject, Level.OK, what)


def disk_room(total_bytes: int, free_bytes: int, free_space_percent: int) -> Finding:
    """Judge the free space."""
    room = DiskRoom(total_bytes, free_bytes, free_space_percent)
    what = f"{free_bytes / _GB:.1f} of {total_bytes / _GB:.1f} GB are free"
    if free_bytes < room.reserve_bytes:
        return Finding(
            "Disk space", Level.PREVENTS,
            f"{what}: less than the last reserve of {room.reserve_bytes / _GB:.1f} GB",
            "Make room, or choose another disk: khupho settings set archive /mnt/…",
        )  # fmt: skip
    if free_bytes < room.floor_bytes:
        return Finding(
            "Disk space", Level.WEAK, f"{what}: old footage is deleted to have more",
            "That is normal on a full recorder's own disk; else make room",
        )  # fmt: skip
    return Finding("Disk space", Level.OK, what)


def inodes(total: int, free: int) -> list[Finding]:
    """Judge the number of files that the disk can still take; some disks have no such limit."""
    if not total or free > total // 100 or free > 1_000_000:
        return []
    level = Level.PREVENTS if free < 100 else Level.WEAK
    what = f"Only {free} more files fit on the disk"
    return [Finding("Disk files", level, what, "Remove small files, or format with more inodes")]


def clock(utc_us: int, synchronised: bool | None) -> Finding:
    """Judge the date."""
    now = format_utc(utc_us)
    advice = "Switch the time service on: timedatectl set-ntp true"
    if utc_us < EARLIEST_DATE_UTC_US:
        return Finding("Clock", Level.WEAK, f"{now} cannot be; footage will be marked", advice)
    if synchronised is None:
        return Finding(
            "Clock", Level.OK, f"{now}; this system doesn't tell whether it is kept right"
        )
    if not synchronised:
        what = f"{now}; no time service keeps it right"
        return Finding("Clock", Level.WEAK, what, advice)
    return Finding("Clock", Level.OK, f"{now}, kept right by a time service")


def descriptors(hard_limit: int, cameras: int) -> Finding:
    """Judge how many files and sockets may be open; the recorder raises its soft limit by itself."""
    needed = max(DESCRIPTORS_AT_LEAST, DESCRIPTORS_PER_CAMERA * cameras + 100)
    advice = f"Set LimitNOFILE={max(65_536, needed)} in the service unit, or ulimit -Hn"
    if 0 <= hard_limit < needed:
        what = f"Only {hard_limit} files may be open; {cameras} cameras need {needed}"
        return Finding("Open files", Level.PREVENTS, what, advice)
    return Finding("Open files", Level.OK, "no limit" if hard_limit < 0 else f"up to {hard_limit}")


def receive_buffer(maximum_bytes: int | None) -> Finding:
    """Judge `net.core.rmem_max`, the largest buffer that a UDP socket may ask for."""
    subject = "Network buffers"
    if maximum_bytes is None:
        return Finding(subject, Level.OK, "unknown")
    what = f"up to {maximum_bytes / _MB:.1f} MB (net.core.rmem_max)"
    if maximum_bytes < RECEIVE_BUFFER_BYTES:
        return Finding(
            subject, Level.WEAK, f"{what}: cameras over UDP may lose packets in bursts",
            "sysctl -w net.core.rmem_max=8388608, and in /etc/sysctl.d to keep it",
        )  # fmt: skip
    return Finding(subject, Level.OK, what)


def memory(available_bytes: int | None, cameras: int) -> list[Finding]:
    """Judge the memory that programs can still have."""
    if available_bytes is None:
        return []
    needed_bytes = 150 * _MB + cameras * _MB // 2
    what = f"{available_bytes / _MB:.0f} MB are to be had"
    if available_bytes < needed_bytes:
        advice = f"Close other programs; {cameras} cameras want {needed_bytes / _MB:.0f} MB"
        return [Finding("Memory", Level.WEAK, what, advice)]
    return [Finding("Memory", Level.OK, what)]


def listening(host: str, port: int) -> Finding:
    """Whether the page's address can be listened on."""
    subject = "Page's address"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        what = f"{host}:{port} cannot be had: {getattr(error, 'strerror', None) or error}"
        advice = "If no recorder of yours runs there, choose another with --listen HOST:PORT"
        return Finding(subject, Level.WEAK, what, advice)
    return Finding(subject, Level.OK, f"{host}:{port} is free")


def datagrams() -> Finding:
    """Whether cameras can send by UDP, where they don't over TCP."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("0.0.0.0", 0))  # noqa: S104 - a port for a moment; nothing is read
    except OSError as error:
        what = f"No UDP port can be had: {error.strerror}"
        return Finding("UDP", Level.WEAK, what, "Cameras must then send over TCP")
    return Finding("UDP", Level.OK, "ports can be had")


def read_number(path: Path) -> int | None:
    """The first number of a small file of /proc; None where it isn't there."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def available_memory_bytes() -> int | None:
    """`MemAvailable` of /proc/meminfo (proc(5))."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def disk_findings(archive: Path, free_space_percent: int) -> list[Finding]:
    """All about the disk that `archive` lies on, or will lie on."""
    place = archive
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        mounts = Path("/proc/self/mounts").read_text()
    except OSError:
        mounts = ""
    try:
        usage = shutil.disk_usage(place)
        status = os.statvfs(place)
    except OSError as error:
        return [Finding("Disk space", Level.PREVENTS, f"{place} cannot be asked: {error.strerror}")]
    return [
        file_system(mount_of(place.resolve(), mounts)),
        disk_room(usage.total, usage.free, free_space_percent),
        *inodes(status.f_files, status.f_favail),
    ]


def this_python() -> Finding:
    """Judge the running interpreter."""
    return python_version(tuple(sys.version_info[:3]))

"""Which archive lay where: `archives.json` in the data directory.

Without it a recorder whose footage disk isn't mounted would begin a new archive in the empty mount point, on
the system's disk, and fill that.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from khupho.archive.place.identity import ArchiveIdentityError, read_identity
from khupho.durable_file import replace_file
from khupho.errors import Fault, KhuphoError

KNOWN_NAME = "archives.json"
_MAX_FILE_BYTES = 1 << 20


class _File(msgspec.Struct, forbid_unknown_fields=True):
    archives: dict[str, str]
    """Absolute path to id, in hex."""


def expect_archive(data: Path, root: Path) -> None:
    """Raise `ArchiveIdentityError` if another archive lay there before than lies there now, or none does."""
    expected = _load(data).archives.get(str(root.absolute()))
    if expected is None:
        return
    advice = f"Mount its disk. If a new archive shall begin there, remove {data / KNOWN_NAME} and start again"
    if not root.is_dir():
        raise ArchiveIdentityError(
            "The archive's directory is gone", where=str(root), advice=advice, fault=Fault.DISK
        )
    try:
        found = read_identity(root)
    except ArchiveIdentityError as error:
        raise ArchiveIdentityError(
            error.what, where=error.where, advice=advice, fault=error.fault
        ) from error
    if found.archive_id.hex() != expected:
        raise ArchiveIdentityError(
            "There is another archive than the one that was recorded to before",
            where=f"{root}: {found.archive_id.hex()}, not {expected}",
            advice=advice,
            fault=Fault.DISK,
        )


def remember_archive(data: Path, root: Path, archive_id: bytes) -> None:
    """From now on this one is expected there. Raises `KhuphoError`."""
    known = _load(data)
    path, found = str(root.absolute()), archive_id.hex()
    if known.archives.get(path) == found:
        return
    known.archives[path] = found
    try:
        replace_file(data / KNOWN_NAME, msgspec.json.format(msgspec.json.encode(known)) + b"\n")
    except OSError as error:
        raise _cannot_use(data, error.strerror or str(error)) from error


def _load(data: Path) -> _File:
    path = data / KNOWN_NAME
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise _cannot_use(data, "it is too large")
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return _File({})
    except OSError as error:
        raise _cannot_use(data, error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _cannot_use(data, str(error)) from error


def _cannot_use(data: Path, why: str) -> KhuphoError:
    return KhuphoError(
        f"The note of which archive lies where cannot be used: {why}",
        where=str(data / KNOWN_NAME),
        advice="Check the data directory and its owner; remove the file if it is damaged",
        fault=Fault.DISK,
    )

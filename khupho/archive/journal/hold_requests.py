"""Holds and releases asked for beside the recorder: small files that the keeper takes up.

Only the keeper writes the journal, so another program leaves its line as `requests/<random>.json`, whole
and synced. The keeper looks every second and before it deletes anything: it journals the line, syncs, and
removes the file. While no recorder runs nothing is deleted, so a request that waits protects just as well.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from khupho.archive.journal.entries import HoldPlaced, HoldReleased, decode_line, encode_line
from khupho.archive.retention.holds import Hold, HoldError
from khupho.durable_file import replace_file
from khupho.errors import Fault

REQUESTS_DIRECTORY = "requests"
_MAX_BYTES = 64 << 10
_MAX_REQUESTS = 10_000


class HoldRequest(NamedTuple):
    """One file."""

    name: str
    utc_us: int
    """When it was asked for."""
    entry: HoldPlaced | HoldReleased | None
    """None: the file cannot be understood."""


def leave_request(root: Path, entry: HoldPlaced | HoldReleased, utc_us: int) -> Path:
    """Ask the keeper for it. Raises `HoldError`."""
    directory = root / REQUESTS_DIRECTORY
    path = directory / f"{secrets.token_hex(8)}.json"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, encode_line(1, utc_us, entry) + b"\n")
    except OSError as error:
        raise HoldError(
            f"The request cannot be written: {error.strerror}",
            where=str(path),
            advice="Run it as the user that runs the recorder, and look at the archive's disk",
            fault=Fault.DISK,
        ) from error
    return path


def waiting_requests(root_fd: int) -> list[HoldRequest]:
    """What was asked for and isn't in the journal yet, in the order it was asked for."""
    try:
        directory = os.open(
            REQUESTS_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd
        )
    except OSError:
        return []
    try:
        names = os.listdir(directory)  # noqa: PTH208 - of a descriptor
        found = [
            _read(directory, name)
            for name in sorted(names)[:_MAX_REQUESTS]
            if name.endswith(".json") and not name.startswith(".")
        ]
    except OSError:
        return []
    finally:
        os.close(directory)
    return sorted(found, key=lambda request: (request.utc_us, request.name))


def settle_request(root_fd: int, name: str) -> None:
    """The request stands in the journal, or cannot be understood: its file goes."""
    with contextlib.suppress(OSError):
        os.unlink(f"{REQUESTS_DIRECTORY}/{name}", dir_fd=root_fd)


def with_requests(holds: list[Hold], requests: list[HoldRequest]) -> list[Hold]:
    """The holds as they will be once the requests are taken up."""
    standing = {hold.id: hold for hold in holds}
    for request in requests:
        if isinstance(request.entry, HoldPlaced):
            with contextlib.suppress(HoldError):
                standing.setdefault(request.entry.id, request.entry.hold())
        elif request.entry is not None:
            standing.pop(request.entry.id, None)
    return list(standing.values())


def _read(directory: int, name: str) -> HoldRequest:
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
        try:
            data = os.read(file, _MAX_BYTES)
        finally:
            os.close(file)
    except OSError:
        return HoldRequest(name, 0, None)
    line = decode_line(data.rstrip(b"\n"))
    if not isinstance(line.entry, HoldPlaced | HoldReleased):
        return HoldRequest(name, 0, None)
    if isinstance(line.entry, HoldPlaced):
        try:
            line.entry.hold()
        except HoldError:
            return HoldRequest(name, line.utc_us, None)
    return HoldRequest(name, line.utc_us, line.entry)

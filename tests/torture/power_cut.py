"""What a disk may hold after a power cut, made from the ops that went to it (`write_trace`).

What was written and not synced may be there, be missing, or be there in part: by whole sectors, in any
order. Names (created, renamed, removed) go to the disk in order, as in a journalling file system, or, in the
strict model, only once their directory is synced.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from write_trace import Op


class Names(Enum):
    """How names become durable."""

    JOURNAL = "journal"
    """In order; syncing any file or directory makes all earlier ones durable (ext4, XFS, btrfs)."""
    STRICT = "strict"
    """Each directory for itself, and only by its own sync: all that POSIX promises."""


class Unsynced(Enum):
    """What became of that which nobody synced."""

    KEPT = "kept"
    """All is there: as after a kill of the process."""
    DROPPED = "dropped"
    """Nothing is there."""
    TORN = "torn"
    """Each sector is there or not; a file may be longer than what is there, with zeros in between."""


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)
    """`write`, offset, bytes; or `truncate`, size."""

    def sync(self) -> None:
        for kind, offset, data in self.pending:
            _apply(self.durable, kind, offset, data)
        self.pending.clear()


def _apply(content: bytearray, kind: str, offset: int, data: bytes) -> None:
    if kind == "truncate":
        if offset < len(content):
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class DiskModel:
    """Takes ops one by one; `cut` tells what may be found after a power cut now."""

    def __init__(self, names: Names = Names.STRICT) -> None:
        self._names_model = names
        self._files: dict[int, _File] = {}
        self._durable_names: dict[str, int] = {}
        """Path to file id; -1 for a directory."""
        self._pending_names: list[Op] = []
        self.last_sync_us = 0
        self.mark = 0
        """The number of the last `mark`."""

    def take(self, op: Op) -> None:
        """The next op."""
        match op.kind:
            case "exists":
                self._files[op.file] = _File(bytearray(op.data))
                self._durable_names[op.path] = op.file
                for parent in _parents(op.path):
                    self._durable_names.setdefault(parent, -1)
            case "mark":
                self.mark = op.offset
            case "create":
                self._files[op.file] = _File()
                self._pending_names.append(op)
            case "write" | "truncate":
                self._files[op.file].pending.append((op.kind, op.offset, op.data))
            case "fsync":
                self._files[op.file].sync()
                self.last_sync_us = op.mono_us
                if self._names_model is Names.JOURNAL:
                    self._commit_names(lambda _op: True)
            case "fsyncdir":
                journal = self._names_model is Names.JOURNAL
                self._commit_names(lambda pending: journal or op.path in _directories(pending))
            case _:
                self._pending_names.append(op)

    def take_all(self, ops: Iterable[Op]) -> None:
        """Many ops."""
        for op in ops:
            self.take(op)

    def _commit_names(self, is_synced) -> None:
        rest = []
        for op in self._pending_names:
            if is_synced(op):
                _name(self._durable_names, op)
            else:
                rest.append(op)
        self._pending_names = rest

    def cut(
        self, unsynced: Unsynced, rng: random.Random, sector_bytes: int = 512
    ) -> dict[str, bytes | None]:
        """Paths and contents after a power cut now; None is a directory."""
        names = dict(self._durable_names)
        for op in self._surviving_names(unsynced, rng):
            _name(names, op)
        found: dict[str, bytes | None] = {}
        for path, file in sorted(names.items()):
            if any(names.get(parent) != -1 for parent in _parents(path)):
                continue  # its directory's own name is not there: it cannot be reached
            found[path] = None if file == -1 else self._content(file, unsynced, rng, sector_bytes)
        return found

    def _surviving_names(self, unsynced: Unsynced, rng: random.Random) -> list[Op]:
        pending = self._pending_names
        if unsynced is Unsynced.KEPT:
            return pending
        if unsynced is Unsynced.DROPPED:
            return []
        if self._names_model is Names.JOURNAL:
            return pending[: rng.randint(0, len(pending))]
        kept: list[Op] = []
        stopped: set[str] = set()
        for op in pending:
            # Within one directory the order stays; a rename between two needs both.
            directories = _directories(op)
            if stopped & directories or rng.random() < 0.3:
                stopped |= directories
            else:
                kept.append(op)
        return kept

    def _content(
        self, file: int, unsynced: Unsynced, rng: random.Random, sector_bytes: int
    ) -> bytes:
        state = self._files[file]
        content = bytearray(state.durable)
        if unsynced is Unsynced.DROPPED:
            return bytes(content)
        torn = unsynced is Unsynced.TORN
        share = rng.choice((0.1, 0.5, 0.9)) if torn else 1.0
        keeps_size = torn and rng.random() < 0.5
        for kind, offset, data in state.pending:
            if not torn:
                _apply(content, kind, offset, data)
            elif kind == "truncate":
                if rng.random() < share:
                    _apply(content, kind, offset, data)
            else:
                for at in _sectors(offset, len(data), sector_bytes):
                    if rng.random() < share:
                        piece = data[at[0] - offset : at[1] - offset]
                        _apply(content, "write", at[0], piece)
                if keeps_size and offset + len(data) > len(content):
                    _apply(content, "truncate", offset + len(data), b"")
        return bytes(content)


def _sectors(offset: int, size: int, sector_bytes: int) -> list[tuple[int, int]]:
    """Begin and end of the pieces of a write that lie in one sector each."""
    pieces = []
    at = offset
    while at < offset + size:
        end = min((at // sector_bytes + 1) * sector_bytes, offset + size)
        pieces.append((at, end))
        at = end
    return pieces


def _parents(path: str) -> list[str]:
    """Directories above a path, the root left out."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _directories(op: Op) -> set[str]:
    found = {_directory(op.path)}
    if op.kind in ("rename", "link"):
        found.add(_directory(op.data.decode()))
    return found


def _name(names: dict[str, int], op: Op) -> None:
    """Carry out one op on the names."""
    match op.kind:
        case "mkdir":
            names[op.path] = -1
        case "create":
            names[op.path] = op.file
        case "unlink" | "rmdir":
            names.pop(op.path, None)
        case "link":
            names[op.data.decode()] = op.file
        case "rename":
            new = op.data.decode()
            for path in [p for p in names if p == op.path or p.startswith(op.path + "/")]:
                names[new + path[len(op.path) :]] = names.pop(path)


def materialise(found: dict[str, bytes | None], root: Path) -> None:
    """Make these files and directories below `root`, which is made too."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in found.items():
        target = root / path
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

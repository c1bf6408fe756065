"""The journal (invariant 13) and the checkpoints (invariant 12)."""

from __future__ import annotations

import contextlib

from khupho.archive.check.findings import Finding
from khupho.archive.journal.entries import BrokenEntry
from khupho.archive.journal.journal import JOURNAL_NAME, read_journal
from khupho.archive.proof.checkpoint import (
    CHECKPOINTS_NAME,
    StoredCheckpoint,
    origin_of,
    read_checkpoints,
    verifier_keys,
)
from khupho.archive.proof.leaf_record import LeafDamagedError
from khupho.archive.proof.log import ProofLogReader
from khupho.archive.proof.root_walk import RootWalk
from khupho.archive.proof.signed_note import NoteError, VerifierKey, parse_note, verify_note


def check_journal(root_fd: int) -> tuple[int, list[Finding]]:
    """How many lines there are, and what is wrong with them. Raises `AppendFileError`."""
    findings: list[Finding] = []
    count = 0
    expected = 1
    for line in read_journal(root_fd):
        count += 1
        if isinstance(line.entry, BrokenEntry):
            what = f"a line cannot be read: {line.entry.error}"
            findings.append(Finding(13, JOURNAL_NAME, line.offset, what))
            expected += 1
            continue
        if line.seq != expected:
            what = f"line {line.seq} stands where {expected} should"
            findings.append(Finding(13, JOURNAL_NAME, line.offset, what))
        expected = line.seq + 1
    return count, findings


def check_checkpoints(root_fd: int, archive_id: bytes) -> tuple[int, list[Finding]]:
    """How many checkpoints there are, and which don't hold. Raises `AppendFileError`."""
    keys = verifier_keys(root_fd)
    findings: list[Finding] = []
    count = 0
    is_readable = True
    with contextlib.closing(ProofLogReader(root_fd)) as log:
        walk = RootWalk(log)
        for one in read_checkpoints(root_fd):
            count += 1
            if isinstance(one, NoteError):
                findings.append(Finding(12, CHECKPOINTS_NAME, None, one.what))
                continue
            log.refresh()
            what = _signature_fault(one, archive_id, keys)
            if not what and is_readable:
                try:
                    what = _root_fault(one, log, walk)
                except LeafDamagedError as error:
                    # No root from here on can be made.
                    is_readable = False
                    what = f"{error.what} ({error.where})"
            if what:
                findings.append(Finding(12, CHECKPOINTS_NAME, one.offset, what))
    return count, findings


def _signature_fault(one: StoredCheckpoint, archive_id: bytes, keys: list[bytes]) -> str:
    origin = one.checkpoint.origin
    base = origin_of(archive_id)
    if origin != base and not origin.startswith(base + "/"):
        return f"it is of another log: {origin}"
    try:
        verify_note(parse_note(one.note), [VerifierKey(origin, key) for key in keys])
    except NoteError as error:
        return error.what
    return ""


def _root_fault(one: StoredCheckpoint, log: ProofLogReader, walk: RootWalk) -> str:
    size = one.checkpoint.size
    if size > log.size:
        return f"it speaks of {size} leaves, and there are {log.size}"
    if walk.root(size) != one.checkpoint.root:
        return f"its root isn't that of the tree of {size} leaves"
    return ""

"""Checkpoints of an archive's proof log: signed notes, one behind the other in `proof/checkpoints`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from khupho.archive.journal.entries import Started
from khupho.archive.journal.journal import read_journal
from khupho.archive.place.append_file import AppendFile, disk_error, open_to_read, read_at
from khupho.archive.place.identity import ID_BYTES
from khupho.archive.proof.log import ProofLog
from khupho.archive.proof.signed_note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    NoteError,
    Signer,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    split_notes,
    verify_note,
)
from khupho.errors import Fault, KhuphoError

CHECKPOINTS_NAME = "proof/checkpoints"
_TAIL_BYTES = 4 * MAX_NOTE_BYTES
_CHUNK_BYTES = 1 << 20


class CheckpointError(KhuphoError):
    """The log cannot be signed: it isn't what was signed before, or its checkpoints are damaged."""

    fault = Fault.ARCHIVE


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it stands in the file. Its signature is not verified by reading it."""

    checkpoint: Checkpoint
    note: bytes
    offset: int


def origin_of(archive_id: bytes, generation: int = 1) -> str:
    """The log's name: origin line and name of its key. A log that lost what was signed goes on under the
    next generation."""
    suffix = f"/{generation}" if generation > 1 else ""
    return f"khupho/archive/{archive_id.hex()}{suffix}"


def is_origin_of(origin: str, archive_id: str) -> bool:
    """Whether a checkpoint speaks of that archive's log (id in hex), of whatever generation."""
    name, _, generation = origin.removeprefix("khupho/archive/").partition("/")
    return (
        origin.startswith("khupho/archive/")
        and name == archive_id
        and (not generation or generation.isdecimal())
    )


def recorder_id(key: Ed25519PublicKey) -> str:
    """A recorder's id: the beginning of its public key's SHA-256, in hex."""
    return sha256(key.public_bytes_raw()).digest()[:ID_BYTES].hex()


class CheckpointFile:
    """The writer of `proof/checkpoints`: signs the log as it grows, and never two histories of it."""

    def __init__(self, root_fd: int, archive_id: bytes, key: Ed25519PrivateKey) -> None:
        """Open or create it. A torn end is cut away (`cut_bytes`). Raises `AppendFileError`,
        `CheckpointError`."""
        self._archive_id = archive_id
        self._key = key
        self._newest: StoredCheckpoint | None = None
        self._is_checked = False
        self._file = AppendFile(root_fd, CHECKPOINTS_NAME, self._whole_bytes)
        self._generation = 1
        if self._newest is not None:
            base = origin_of(archive_id) + "/"
            last = self._newest.checkpoint.origin.removeprefix(base)
            self._generation = int(last) if last.isdecimal() and len(last) < 9 else 1
        self._signer = Signer(key, origin_of(archive_id, self._generation))

    @property
    def verifier_key(self) -> VerifierKey:
        """What others verify the checkpoints with."""
        return self._signer.verifier_key

    @property
    def newest(self) -> StoredCheckpoint | None:
        return self._newest

    @property
    def cut_bytes(self) -> int:
        return self._file.cut_bytes

    def sign(self, log: ProofLog) -> StoredCheckpoint | None:
        """Sign what the log has synced and store it, synced too; None where that was signed before.

        Raises `CheckpointError` where the log doesn't continue what was signed (see `begin_anew`),
        `LeafDamagedError`, `AppendFileError`.
        """
        self._file.sync()  # what an earlier try could not
        size = log.synced_size
        if not self._is_checked and self._newest is not None:
            _, signed_size, root = self._newest.checkpoint
            if signed_size <= size and log.root(signed_size) != root:
                log.forget_blocks()
            if signed_size > size or log.root(signed_size) != root:
                raise CheckpointError(
                    "The proof log isn't the one that was signed: leaves were lost or changed",
                    where=f"{CHECKPOINTS_NAME}: {signed_size} leaves were signed, {size} are there",
                    advice="Run khupho archive check",
                )
        self._is_checked = True
        if self._newest is not None and size <= self._newest.checkpoint.size:
            return None
        checkpoint = Checkpoint(self._signer.verifier_key.name, size, log.root(size))
        stored = StoredCheckpoint(
            checkpoint, self._signer.sign(checkpoint.text()), self._file.size_bytes
        )
        self._file.append(stored.note)
        self._newest = stored
        self._file.sync()
        return stored

    def begin_anew(self) -> None:
        """Sign what is left of a log that lost signed leaves, as another log. Journal it."""
        self._generation += 1
        self._signer = Signer(self._key, origin_of(self._archive_id, self._generation))
        self._newest = None
        self._is_checked = True

    def reopen(self, root_fd: int) -> None:
        """Go on after the disk was away. Raises `AppendFileError`."""
        self._file.reopen(root_fd)
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def _whole_bytes(self, file: int, size: int) -> int:
        """Where the last note ends that can be read and, if it is ours, verified."""
        for stored in reversed(_tail(file, size)):
            try:
                key = VerifierKey(
                    stored.checkpoint.origin, self._key.public_key().public_bytes_raw()
                )
                note = parse_note(stored.note)
                if any(one.key_id == key.key_id for one in note.signatures):
                    verify_note(note, [key])
            except NoteError:
                continue
            self._newest = stored
            return stored.offset + len(stored.note)
        if size > _TAIL_BYTES:
            raise CheckpointError(
                "The checkpoints' end is damaged for longer than a power cut explains",
                where=CHECKPOINTS_NAME,
                advice="Keep a copy of the file, then restore it from a backup",
            )
        return 0


def read_checkpoints(root_fd: int) -> Iterator[StoredCheckpoint | NoteError]:
    """All checkpoints, oldest first, also beside a writer; what cannot be read comes as the error that says
    why. Raises `AppendFileError`."""
    try:
        file = open_to_read(root_fd, CHECKPOINTS_NAME)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error("The checkpoints cannot be opened", CHECKPOINTS_NAME, error) from error
    try:
        yield from _stored(file)
    except OSError as error:
        raise disk_error("The checkpoints cannot be read", CHECKPOINTS_NAME, error) from error
    finally:
        os.close(file)


def newest_checkpoint(root_fd: int) -> StoredCheckpoint | None:
    """The last one that can be read, also beside a writer. Raises `AppendFileError`."""
    try:
        file = open_to_read(root_fd, CHECKPOINTS_NAME)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error("The checkpoints cannot be opened", CHECKPOINTS_NAME, error) from error
    try:
        found = _tail(file, os.fstat(file).st_size)
        return found[-1] if found else None
    except OSError as error:
        raise disk_error("The checkpoints cannot be read", CHECKPOINTS_NAME, error) from error
    finally:
        os.close(file)


def verifier_keys(root_fd: int) -> list[bytes]:
    """Public keys that recorders of this archive told in the journal, newest first. Raises
    `AppendFileError`."""
    keys: dict[bytes, None] = {}
    for line in read_journal(root_fd):
        if isinstance(line.entry, Started) and line.entry.key:
            with contextlib.suppress(NoteError):
                key = VerifierKey.parse(line.entry.key).public_bytes
                keys.pop(key, None)
                keys[key] = None
    return list(reversed(keys))


def _tail(file: int, size: int) -> list[StoredCheckpoint]:
    """The readable ones near the end."""
    start = max(size - _TAIL_BYTES, 0)
    found = []
    for at, note in split_notes(read_at(file, start, size - start), begins_whole=not start):
        one = _read(note, start + at)
        if isinstance(one, StoredCheckpoint):
            found.append(one)
    return found


def _stored(file: int) -> Iterator[StoredCheckpoint | NoteError]:
    offset = 0
    rest = b""
    while chunk := os.pread(file, _CHUNK_BYTES, offset + len(rest)):
        rest += chunk
        notes = list(split_notes(rest))
        # More signatures may follow the last one, unless the file ends here.
        for at, note in notes[:-1]:
            yield _read(note, offset + at)
        used = notes[-1][0] if notes else 0
        if not notes and len(rest) > MAX_NOTE_BYTES + _CHUNK_BYTES:
            yield NoteError("No note ends here", where=f"{CHECKPOINTS_NAME}, byte {offset}")
            used = len(rest) - MAX_NOTE_BYTES
        offset += used
        rest = rest[used:]
    for at, note in split_notes(rest):
        yield _read(note, offset + at)


def _read(note: bytes, offset: int) -> StoredCheckpoint | NoteError:
    try:
        return StoredCheckpoint(parse_checkpoint(parse_note(note).text), note, offset)
    except NoteError as error:
        return NoteError(error.what, where=f"{CHECKPOINTS_NAME}, byte {offset}")

"""Checkpoints of a log: one history, torn ends, new keys, what is told of damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.place.append_file import AppendFileError
from khupho.archive.proof.checkpoint import (
    CheckpointError,
    CheckpointFile,
    StoredCheckpoint,
    is_origin_of,
    newest_checkpoint,
    origin_of,
    read_checkpoints,
    recorder_id,
)
from khupho.archive.proof.leaf_record import RECORD_BYTES, Leaf
from khupho.archive.proof.log import ProofLog
from khupho.archive.proof.merkle import leaf_hash
from khupho.archive.proof.signed_note import NoteError, parse_note, verify_note

ID = bytes(range(16))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "proof").mkdir()
    file = os.open(tmp_path, os.O_RDONLY)
    yield file
    os.close(file)


def leaves(start: int, stop: int) -> list[Leaf]:
    return [Leaf(leaf_hash(b"%d" % n), 1, 0, 1, n, 1, 1, n) for n in range(start, stop)]


def grown(log: ProofLog, size: int) -> ProofLog:
    log.append_many(leaves(log.size, size))
    log.sync()
    return log


def signed(root_fd: int, sizes: list[int]) -> list[StoredCheckpoint]:
    log = ProofLog(root_fd)
    file = CheckpointFile(root_fd, ID, KEY)
    made = [file.sign(grown(log, size)) for size in sizes]
    log.close()
    file.close()
    return [one for one in made if one is not None]


def test_signed_stored_and_verified(root_fd: int, tmp_path: Path) -> None:
    made = signed(root_fd, [3, 3, 700])
    assert [one.checkpoint.size for one in made] == [3, 700]  # nothing is signed twice
    assert list(read_checkpoints(root_fd)) == made
    assert newest_checkpoint(root_fd) == made[-1]
    assert (tmp_path / "proof/checkpoints").read_bytes() == made[0].note + made[1].note
    file = CheckpointFile(root_fd, ID, KEY)
    assert file.newest == made[-1]
    log = ProofLog(root_fd)
    for one in made:
        verify_note(parse_note(one.note), [file.verifier_key])
        assert one.checkpoint.root == log.root(one.checkpoint.size)
        assert one.checkpoint.origin == file.verifier_key.name == origin_of(ID)


def test_only_what_is_synced_is_signed(root_fd: int) -> None:
    log = grown(ProofLog(root_fd), 5)
    log.append_many(leaves(5, 9))
    log.write()
    made = CheckpointFile(root_fd, ID, KEY).sign(log)
    assert made is not None
    assert made.checkpoint.size == 5


@pytest.mark.parametrize("harm", ["shorter", "changed"])
def test_no_second_history_is_signed(root_fd: int, tmp_path: Path, harm: str) -> None:
    made = signed(root_fd, [300, 600])
    path = tmp_path / "proof/leaves"
    if harm == "shorter":
        os.truncate(path, 400 * RECORD_BYTES)
    else:
        data = path.read_bytes()
        path.write_bytes(data[RECORD_BYTES : 2 * RECORD_BYTES] + data[RECORD_BYTES:])
        (tmp_path / "proof/blocks-8").unlink()
    log = ProofLog(root_fd, 600)
    file = CheckpointFile(root_fd, ID, KEY)
    log.append_many(leaves(log.size, 650))
    for _ in range(2):
        with pytest.raises(CheckpointError, match="isn't the one that was signed"):
            file.sign(log)
    assert list(read_checkpoints(root_fd)) == made
    log.sync()
    file.begin_anew()
    anew = file.sign(log)
    assert anew is not None
    assert anew.checkpoint.origin == origin_of(ID, 2) != origin_of(ID)
    verify_note(parse_note(anew.note), [file.verifier_key])
    file.close()
    again = CheckpointFile(root_fd, ID, KEY)
    assert again.newest == anew
    assert again.verifier_key.name == origin_of(ID, 2)
    assert again.sign(log) is None
    again.begin_anew()
    third = again.sign(log)
    assert third is not None
    assert third.checkpoint.origin == origin_of(ID, 3)


def test_a_cache_of_another_history_isnt_mistaken_for_the_log(root_fd: int, tmp_path: Path) -> None:
    signed(root_fd, [600])
    path = tmp_path / "proof/blocks-8"
    data = path.read_bytes()
    path.write_bytes(data[56:] + data[:56])
    log = grown(ProofLog(root_fd, 600), 610)
    assert CheckpointFile(root_fd, ID, KEY).sign(log) is not None


def test_torn_at_every_byte(root_fd: int, tmp_path: Path) -> None:
    made = signed(root_fd, [3, 7, 11])
    path = tmp_path / "proof/checkpoints"
    data = path.read_bytes()
    ends = [one.offset + len(one.note) for one in made]
    log = ProofLog(root_fd)
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        whole = [one for one, end in zip(made, ends, strict=True) if end <= size]
        assert list(read_checkpoints(root_fd)) == whole
        assert newest_checkpoint(root_fd) == (whole[-1] if whole else None)
        file = CheckpointFile(root_fd, ID, KEY)
        assert file.cut_bytes == size - (ends[len(whole) - 1] if whole else 0)
        assert file.newest == (whole[-1] if whole else None)
        again = file.sign(log)
        assert (again is None) == (len(whole) == 3)
        assert len(list(read_checkpoints(root_fd))) == len(whole) + (again is not None)
        file.close()


def test_a_last_note_that_was_not_signed_so_is_cut(root_fd: int, tmp_path: Path) -> None:
    made = signed(root_fd, [3, 7])
    path = tmp_path / "proof/checkpoints"
    data = bytearray(path.read_bytes())
    data[made[1].offset + len(origin_of(ID)) + 1] ^= 1  # 7 becomes 6
    path.write_bytes(data)
    file = CheckpointFile(root_fd, ID, KEY)
    assert file.newest == made[0]
    assert file.cut_bytes == len(made[1].note)


def test_another_recorders_key_goes_on(root_fd: int) -> None:
    made = signed(root_fd, [3])
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    file = CheckpointFile(root_fd, ID, other)
    assert (file.newest, file.cut_bytes) == (made[0], 0)
    more = file.sign(grown(ProofLog(root_fd), 8))
    assert more is not None
    verify_note(parse_note(more.note), [file.verifier_key])


def test_damage_in_the_middle_is_told(root_fd: int, tmp_path: Path) -> None:
    made = signed(root_fd, [3, 7, 11])
    path = tmp_path / "proof/checkpoints"
    data = bytearray(path.read_bytes())
    data[made[1].offset + len(origin_of(ID)) + 1] = ord("x")
    path.write_bytes(data)
    first, broken, last = read_checkpoints(root_fd)
    assert (first, last) == (made[0], made[2])
    assert isinstance(broken, NoteError)
    assert f"byte {made[1].offset}" in str(broken)


def test_many_are_read_in_pieces(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signed(root_fd, list(range(1, 60)))
    monkeypatch.setattr("khupho.archive.proof.checkpoint._CHUNK_BYTES", 100)
    assert list(read_checkpoints(root_fd)) == made
    monkeypatch.setattr("khupho.archive.proof.checkpoint._TAIL_BYTES", 700)
    assert newest_checkpoint(root_fd) == made[-1]
    assert CheckpointFile(root_fd, ID, KEY).newest == made[-1]


def test_more_garbage_than_a_power_cut_explains(root_fd: int, tmp_path: Path) -> None:
    signed(root_fd, [3])
    path = tmp_path / "proof/checkpoints"
    before = path.read_bytes() + b"x\n" * (1 << 20)
    path.write_bytes(before)
    with pytest.raises(CheckpointError, match="longer than"):
        CheckpointFile(root_fd, ID, KEY)
    assert path.read_bytes() == before
    assert sum(isinstance(one, StoredCheckpoint) for one in read_checkpoints(root_fd)) == 1


def test_a_disk_that_refuses(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log = grown(ProofLog(root_fd), 5)
    file = CheckpointFile(root_fd, ID, KEY)

    def refuse(*_args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", refuse)
        with pytest.raises(AppendFileError):
            file.sign(log)
    assert file.sign(log) is None  # it is stored now
    made = list(read_checkpoints(root_fd))
    assert made == [file.newest]
    file.reopen(root_fd)
    assert file.sign(grown(log, 6)) is not None


def test_none_where_there_are_none(root_fd: int) -> None:
    assert list(read_checkpoints(root_fd)) == []
    assert newest_checkpoint(root_fd) is None


def test_names() -> None:
    hexed = ID.hex()
    assert origin_of(ID) == f"khupho/archive/{hexed}"
    assert is_origin_of(origin_of(ID), hexed)
    assert is_origin_of(origin_of(ID, 12), hexed)
    for other in (
        f"khupho/archive/{hexed}0",
        f"khupho/archive/{hexed}/x",
        hexed,
        "khupho/archive/",
    ):
        assert not is_origin_of(other, hexed)
    assert len(recorder_id(KEY.public_key())) == 32


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_file_opens_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "proof").mkdir()
    (root / "proof/checkpoints").write_bytes(garbage)
    root_fd = os.open(root, os.O_RDONLY)
    try:
        file = CheckpointFile(root_fd, ID, KEY)
        made = file.sign(grown(ProofLog(root_fd), 4))
        assert made is not None
        assert list(read_checkpoints(root_fd)) == [made]
    finally:
        os.close(root_fd)

"""The proof log: records, torn tails, the tree over them, search, a reader beside the writer."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.events import FragmentCommitted, Segment
from khupho.archive.journal.entries import Ended, Line, encode_line
from khupho.archive.place.append_file import AppendFileError
from khupho.archive.proof import leaf_blocks
from khupho.archive.proof.bundle import bundle_root
from khupho.archive.proof.leaf_blocks import BLOCK_BYTES
from khupho.archive.proof.leaf_record import (
    RECORD_BYTES,
    Leaf,
    LeafDamagedError,
    LeafFlags,
    LeafKind,
    fragment_leaf,
    journal_leaf,
    pack_leaf,
    unpack_leaf,
)
from khupho.archive.proof.log import ProofLog, ProofLogError, ProofLogReader
from khupho.archive.proof.merkle import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from khupho.archive.proof.root_walk import RootWalk
from khupho.errors import Fault
from khupho.media.formats import AudioFormat, Codec

NOW_US = 1_795_000_000_000_000
SOUND = AudioFormat(Codec.PCMA, 8_000, 1, "alaw", b"")


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "proof").mkdir()
    file = os.open(tmp_path, os.O_RDONLY)
    yield file
    os.close(file)


def leaf_of(number: int, stream: int = 1, start_us: int | None = None) -> Leaf:
    start_us = NOW_US + number * 1_000 if start_us is None else start_us
    return Leaf(leaf_hash(b"%d" % number), 1, 0, stream, start_us, 400_000, 5_000, number)


def journal_leaf_of(number: int) -> Leaf:
    return Leaf(leaf_hash(b"line %d" % number), LeafKind.JOURNAL, 0, 0, NOW_US, 0, 9, number)


def root_of(leaves: list[Leaf]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf.hash)
    return frontier.root()


def filled(root_fd: int, leaves: list[Leaf]) -> None:
    log = ProofLog(root_fd)
    log.append_many(leaves)
    log.sync()
    log.close()


# Records


def test_the_record_is_what_the_design_says() -> None:
    leaf = Leaf(bytes(range(32)), 1, 0x83, 0x0102, 0x0304, 0x05, 0x06, 0x0708)
    record = pack_leaf(leaf)
    assert len(record) == RECORD_BYTES
    assert record[:60].hex() == (
        bytes(range(32)).hex() + "01" "83" "0102" "0000000000000304" "00000005" "00000006"
        "0000000000000708"
    )  # fmt: skip
    assert unpack_leaf(record, 0) == leaf


def test_the_leaf_of_a_fragment_and_of_a_line() -> None:
    beginning = bytes(range(32))
    segment = Segment("gate", "audio", "x.mp4", NOW_US, SOUND, beginning_sha256=beginning)
    event = FragmentCommitted(
        segment, 99, b"prft...mdat", NOW_US, 1 << 40, 500, 12, 1, 3, True, True
    )
    leaf = fragment_leaf(event, 7, late=True)
    entry = b"khupho/fragment/1\ngate/audio\n" + beginning + b"prft...mdat"
    assert leaf.hash == sha256(b"\0" + entry).digest()
    flags = LeafFlags.KEY | LeafFlags.DAMAGED | LeafFlags.CLOCK_WRONG | LeafFlags.LATE
    assert leaf[1:] == (LeafKind.FRAGMENT, flags, 7, NOW_US, 0xFFFFFFFF, 500, 99)
    assert fragment_leaf(event._replace(key_frames=0, damaged=False), 7).flags == 4
    data = encode_line(1, NOW_US, Ended())
    assert journal_leaf(Line(1, NOW_US, Ended(), 345, data)) == Leaf(
        sha256(b"\0" + data).digest(), LeafKind.JOURNAL, 0, 0, NOW_US, 0, len(data), 345
    )


@given(st.data())
def test_every_flipped_bit_is_seen(data: st.DataObject) -> None:
    record = bytearray(pack_leaf(leaf_of(5)))
    record[data.draw(st.integers(0, 63))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LeafDamagedError) as raised:
        unpack_leaf(bytes(record), 9)
    assert raised.value.index == 9
    assert "leaf 9, byte 576" in str(raised.value)


# The tree


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=5), st.data())
def test_the_tree_is_that_of_its_leaves_however_it_was_filled(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("log")
    (root / "proof").mkdir()
    root_fd = os.open(root, os.O_RDONLY)
    leaves = [leaf_of(number) for number in range(sum(batches))]
    log = ProofLog(root_fd)
    done = 0
    for batch in batches:
        assert log.append_many(leaves[done : done + batch]) == done
        done += batch
        if data.draw(st.booleans()):
            log.sync()
        if data.draw(st.booleans()):
            log.sync()
            log.close()
            log = ProofLog(root_fd, data.draw(st.integers(0, done)))
    log.sync()
    assert log.size == log.synced_size == done
    reader = ProofLogReader(root_fd)
    sizes = {done, data.draw(st.integers(0, done)), data.draw(st.integers(0, done))}
    for size in sizes:
        assert log.root(size) == reader.root(size) == root_of(leaves[:size])
    if done:
        size = data.draw(st.integers(1, done))
        chosen = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=9)))
        nodes = reader.bundle(chosen, size)
        hashes = {number: leaves[number].hash for number in chosen}
        assert bundle_root(hashes, size, nodes) == log.root(size)
        proof = reader.inclusion_proof(chosen[0], size)
        verify_inclusion(leaves[chosen[0]].hash, chosen[0], size, proof, log.root(size))
        first = data.draw(st.integers(1, size))
        path = reader.consistency_proof(first, size)
        verify_consistency(first, size, log.root(first), log.root(size), path)
    log.close()
    reader.close()
    os.close(root_fd)


def test_a_log_with_blocks_of_blocks(root_fd: int, tmp_path: Path) -> None:
    leaves = [leaf_of(number) for number in range(65_536 + 256 + 3)]
    leaves[70] = journal_leaf_of(70)
    filled(root_fd, leaves)
    sizes = {n: (tmp_path / f"proof/blocks-{n}").stat().st_size // BLOCK_BYTES for n in (8, 16, 24)}
    assert sizes == {8: 257, 16: 1, 24: 0}
    log = ProofLog(root_fd, 65_000)
    root = root_of(leaves)
    assert log.root(log.size) == root
    found = log.last_journal_leaf()
    assert found is not None
    assert (found.number, found.leaf) == (70, leaves[70])
    low, high = leaves[300].start_utc_us, leaves[66_000 % 65_536].start_utc_us
    numbers = [found.number for found in log.find(1, low, high)]
    assert numbers == list(range(300, 66_000 % 65_536))
    # Without its caches, and with all of them damaged, the answers are the same.
    log.close()
    for name in ("blocks-8", "blocks-16"):
        path = tmp_path / "proof" / name
        data = bytearray(path.read_bytes())
        data[5::BLOCK_BYTES] = bytes(len(data[5::BLOCK_BYTES]))
        path.write_bytes(data)
    reader = ProofLogReader(root_fd)
    assert reader.root(reader.size) == root
    assert reader.last_journal_leaf() == found
    mended = ProofLog(root_fd)
    assert mended.root(mended.size) == root
    mended.close()
    fresh = ProofLogReader(root_fd)
    fresh._file, kept = -1, fresh._file
    assert fresh._tree.root(65_536 + 256) == root_of(leaves[: 65_536 + 256])
    fresh._file = kept
    for name in ("blocks-8", "blocks-16", "blocks-24"):
        (tmp_path / "proof" / name).unlink()
    bare = ProofLogReader(root_fd)
    assert bare.root(bare.size) == root


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9_000), st.data())
def test_roots_from_the_leaves_alone(
    tmp_path_factory: pytest.TempPathFactory, size: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("log")
    (root / "proof").mkdir()
    root_fd = os.open(root, os.O_RDONLY)
    leaves = [leaf_of(number) for number in range(size)]
    filled(root_fd, leaves)
    reader = ProofLogReader(root_fd)
    walk = RootWalk(reader)
    sizes = data.draw(st.lists(st.integers(0, size), max_size=4))
    for one in [*sorted(sizes), size, *sizes]:
        assert walk.root(one) == root_of(leaves[:one])
    reader.close()
    os.close(root_fd)


def test_a_cache_that_lies_is_believed_by_no_check(root_fd: int, tmp_path: Path) -> None:
    leaves = [leaf_of(number) for number in range(600)]
    filled(root_fd, leaves)
    path = tmp_path / "proof/leaves"
    data = bytearray(path.read_bytes())
    forged = leaf_of(5)._replace(hash=bytes(32))
    data[5 * RECORD_BYTES : 6 * RECORD_BYTES] = pack_leaf(forged)
    path.write_bytes(data)
    reader = ProofLogReader(root_fd)
    assert reader.root(600) == root_of(leaves)
    leaves[5] = forged
    assert RootWalk(reader).root(600) == root_of(leaves)


def test_nothing_is_asked_beyond_the_end(root_fd: int) -> None:
    filled(root_fd, [leaf_of(n) for n in range(5)])
    reader = ProofLogReader(root_fd)
    for ask in (
        lambda: reader.root(6),
        lambda: reader.record(5),
        lambda: reader.record(-1),
        lambda: reader.inclusion_proof(5, 5),
        lambda: reader.consistency_proof(3, 6),
        lambda: reader.bundle([0], 6),
    ):
        with pytest.raises(ProofLogError, match="5 leaves"):
            ask()


def test_an_empty_log(root_fd: int) -> None:
    reader = ProofLogReader(root_fd)
    assert (reader.size, reader.root(0), reader.last_journal_leaf()) == (0, EMPTY_ROOT, None)
    log = ProofLog(root_fd)
    assert (log.size, log.root(0), list(log.find(1, 0, 1 << 62))) == (0, EMPTY_ROOT, [])
    assert log.append_many([]) == 0
    log.sync()
    assert list(log.walk()) == []


# Search


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 1500), st.data())
def test_find_is_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, data: st.DataObject
) -> None:
    chance = random.Random(seed)
    root = tmp_path_factory.mktemp("log")
    (root / "proof").mkdir()
    root_fd = os.open(root, os.O_RDONLY)
    leaves = []
    for number in range(size):
        if chance.random() < 0.1:
            leaves.append(journal_leaf_of(number))
        else:
            late = chance.random() < 0.02
            start_us = NOW_US + (chance.randrange(size) if late else number) * 1_000
            leaves.append(leaf_of(number, chance.choice([1, 2, 257, 513]), start_us))
    filled(root_fd, leaves)
    reader = ProofLogReader(root_fd)
    for stream in (1, 2, 257, 258):
        low = NOW_US + data.draw(st.integers(-5, size + 5)) * 1_000
        high = low + data.draw(st.integers(0, size + 5)) * 1_000
        expected = [
            (number, leaf)
            for number, leaf in enumerate(leaves)
            if leaf.kind == 1 and leaf.stream == stream and low <= leaf.start_utc_us < high
        ]
        assert list(reader.find(stream, low, high)) == expected
    lines = [number for number, leaf in enumerate(leaves) if leaf.kind == 2]
    last = reader.last_journal_leaf()
    assert (last.number if last else None) == (lines[-1] if lines else None)
    assert list(reader.walk()) == leaves
    reader.close()
    os.close(root_fd)


def test_only_blocks_that_reach_into_the_time_are_read(
    root_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(root_fd, [leaf_of(number) for number in range(2_560)])
    reader = ProofLogReader(root_fd)
    read: list[tuple[int, int]] = []
    real = ProofLogReader._records

    def watched(self: ProofLogReader, start: int, stop: int) -> bytes:
        read.append((start, stop))
        return real(self, start, stop)

    monkeypatch.setattr(ProofLogReader, "_records", watched)
    assert len(list(reader.find(1, NOW_US + 600_000, NOW_US + 601_000))) == 1
    assert read == [(512, 768)]


# Power cuts and faults


def test_torn_at_every_byte_of_the_last_records(root_fd: int, tmp_path: Path) -> None:
    leaves = [leaf_of(number) for number in range(260)]
    filled(root_fd, leaves)
    path = tmp_path / "proof/leaves"
    data = path.read_bytes()
    for size in range(len(data) - 6 * RECORD_BYTES, len(data) + 1):
        path.write_bytes(data[:size])
        reader = ProofLogReader(root_fd)
        assert reader.size == size // RECORD_BYTES
        log = ProofLog(root_fd, 200)
        assert (log.size, log.cut_bytes) == (size // RECORD_BYTES, size % RECORD_BYTES)
        log.forget_blocks()  # of the round before, which had another history
        log.append_many([leaf_of(1_000)])
        log.sync()
        expected = [*leaves[: size // RECORD_BYTES], leaf_of(1_000)]
        assert log.root(log.size) == root_of(expected)
        log.close()
        reader.close()


@pytest.mark.parametrize(("damaged", "trusted"), [(255, 0), (258, 200), (259, 259), (3, 0)])
def test_a_flipped_bit_cuts_what_follows(
    root_fd: int, tmp_path: Path, damaged: int, trusted: int
) -> None:
    leaves = [leaf_of(number) for number in range(260)]
    filled(root_fd, leaves)
    path = tmp_path / "proof/leaves"
    data = bytearray(path.read_bytes())
    data[damaged * RECORD_BYTES + 40] ^= 4
    path.write_bytes(data)
    assert ProofLogReader(root_fd).size == damaged
    log = ProofLog(root_fd, trusted)
    assert (log.size, log.cut_bytes) == (damaged, (260 - damaged) * RECORD_BYTES)
    # Blocks of what was cut are forgotten: other leaves come now.
    others = [leaf_of(number + 5_000) for number in range(300)]
    log.append_many(others)
    log.sync()
    assert log.root(log.size) == root_of([*leaves[:damaged], *others])
    assert ProofLogReader(root_fd).root(log.size) == log.root(log.size)


def test_damage_before_the_trusted_size_is_told_when_it_is_read(
    root_fd: int, tmp_path: Path
) -> None:
    filled(root_fd, [leaf_of(number) for number in range(600)])
    path = tmp_path / "proof/leaves"
    data = bytearray(path.read_bytes())
    data[7 * RECORD_BYTES] ^= 1
    path.write_bytes(data)
    log = ProofLog(root_fd, 600)
    assert (log.size, log.cut_bytes) == (600, 0)
    log.root(600)  # the block's hash is known
    with pytest.raises(LeafDamagedError, match="leaf 7"):
        log.record(7)
    with pytest.raises(LeafDamagedError, match="leaf 7"):
        log.inclusion_proof(6, 600)


def test_a_disk_that_refuses_loses_no_leaf(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ProofLog(root_fd)
    leaves = [leaf_of(number) for number in range(700)]
    log.append_many(leaves[:300])
    log.sync()
    real = os.pwrite
    calls = 0

    def failing(file: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(file, bytes(data)[:1000], offset)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", failing)
        log.append_many(leaves[300:600])
        for _ in range(2):
            with pytest.raises(AppendFileError) as raised:
                log.sync()
            assert raised.value.fault is Fault.DISK
    assert (log.size, log.synced_size) == (600, 300)
    reader = ProofLogReader(root_fd)
    assert reader.size == 300 + 1000 // RECORD_BYTES
    with pytest.raises(ProofLogError):
        log.root(600)
    log.append_many(leaves[600:])
    log.sync()
    assert reader.refresh() == log.synced_size == 700
    assert reader.root(700) == log.root(700) == root_of(leaves)


def test_a_disk_that_was_away(root_fd: int, tmp_path: Path) -> None:
    log = ProofLog(root_fd)
    leaves = [leaf_of(number) for number in range(600)]
    log.append_many(leaves[:500])
    log.sync()
    log.append_many(leaves[500:])
    log.write()
    os.truncate(tmp_path / "proof/leaves", 520 * RECORD_BYTES + 7)
    log.reopen(root_fd)
    log.sync()
    assert (log.size, log.synced_size) == (600, 600)
    assert log.root(600) == root_of(leaves)
    assert ProofLogReader(root_fd).root(600) == root_of(leaves)


def test_numbers_that_fit_no_record(root_fd: int) -> None:
    log = ProofLog(root_fd)
    with pytest.raises(ProofLogError, match="fit") as raised:
        log.append_many([leaf_of(1), leaf_of(2)._replace(size_bytes=1 << 32)])
    assert raised.value.fault is Fault.KHUPHO
    assert log.size == 0


def test_blocks_are_a_cache_that_may_be_refused(
    root_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("blocks-8", "blocks-16"):
        (tmp_path / "proof" / name).mkdir()
    leaves = [leaf_of(number) for number in range(600)]
    filled(root_fd, leaves)
    log = ProofLog(root_fd)
    assert log.root(600) == root_of(leaves)
    monkeypatch.setattr(leaf_blocks, "_MAX_KEPT", 1)
    reader = ProofLogReader(root_fd)
    assert reader.root(600) == reader.root(600) == root_of(leaves)


def test_a_reader_beside_the_writer_sees_a_whole_beginning(root_fd: int, tmp_path: Path) -> None:
    leaves = [leaf_of(number) for number in range(2_000)]
    filled(root_fd, leaves)
    data = (tmp_path / "proof/leaves").read_bytes()
    path = tmp_path / "proof/leaves"
    path.write_bytes(b"")
    reader = ProofLogReader(root_fd)
    sizes = sorted(random.Random(5).sample(range(len(data)), 40))
    for size in sizes:  # as if the writer were stopped in the middle of its write
        path.write_bytes(data[:size])
        assert reader.refresh() == size // RECORD_BYTES
        assert list(reader.walk()) == leaves[: reader.size]
        if reader.size:
            assert reader.root(reader.size) == root_of(leaves[: reader.size])
    assert reader.refresh() == reader.size


def test_a_reader_while_a_thread_writes(root_fd: int) -> None:
    leaves = [leaf_of(number) for number in range(20_000)]
    log = ProofLog(root_fd)

    def write() -> None:
        for begin in range(0, len(leaves), 37):
            log.append_many(leaves[begin : begin + 37])
            log.write()

    reader = ProofLogReader(root_fd)
    frontier = Frontier()
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(100_000):
            is_over = not thread.is_alive()
            seen = frontier.size
            for leaf in reader.leaves(seen, reader.refresh()):
                assert leaf == leaves[frontier.size]
                frontier.append(leaf.hash)
            assert reader.root(frontier.size) == frontier.root()
            if is_over:
                break
    finally:
        thread.join(60)
    assert frontier.size == len(leaves) == log.size
    assert log.root(0) == EMPTY_ROOT


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 20))
def test_any_file_opens_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, count: int
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "proof").mkdir()
    good = [leaf_of(number) for number in range(count)]
    (root / "proof/leaves").write_bytes(b"".join(map(pack_leaf, good)) + garbage)
    for height in (8, 16, 24):
        (root / f"proof/blocks-{height}").write_bytes(garbage)
    root_fd = os.open(root, os.O_RDONLY)
    try:
        reader = ProofLogReader(root_fd)
        assert reader.size == count
        log = ProofLog(root_fd)
        assert (log.size, log.cut_bytes) == (count, len(garbage))
        more = [leaf_of(number + 9_000) for number in range(300)]
        log.append_many(more)
        log.sync()
        assert log.root(log.size) == root_of([*good, *more])
    finally:
        os.close(root_fd)


def test_a_dead_file_system_makes_nobody_close_a_descriptor_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its close(2) fails and frees the number all the same: a second one would hit somebody else's file."""
    (tmp_path / "proof").mkdir()
    root_fd = os.open(tmp_path, os.O_RDONLY)
    log = ProofLog(root_fd)
    closed: list[int] = []
    honest = os.close

    def dead(file: int) -> None:
        closed.append(file)
        honest(file)
        raise OSError(errno.ENOTCONN, "dead")

    with monkeypatch.context() as patched:
        patched.setattr(leaf_blocks.os, "close", dead)
        log._blocks.close()
        log._blocks.close()
    assert len(closed) == len(set(closed)) > 0
    log.close()
    os.close(root_fd)

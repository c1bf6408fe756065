"""The proof log: `proof/leaves`, one 64-byte record a leaf, and the Merkle tree over it.

One writer, and readers beside it. See "Proof" in `docs/design/archive.md` and `leaf_record`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from khupho.archive.place.append_file import AppendFile, disk_error, open_to_read, read_at
from khupho.archive.proof.bundle import make_bundle
from khupho.archive.proof.leaf_blocks import FAN_OUT, HEIGHTS, LeafBlocks, block_of_leaves
from khupho.archive.proof.leaf_record import (
    RECORD_BYTES,
    STREAM_AT,
    Leaf,
    LeafDamagedError,
    LeafKind,
    hashes_of,
    pack_leaf,
    unpack_leaf,
    whole_records,
)
from khupho.archive.proof.merkle import MerkleTree
from khupho.errors import Fault, KhuphoError

LEAVES_NAME = "proof/leaves"
_CHUNK_LEAVES = 1 << 14
_WALK_LEAVES = 1 << 12
_CHECKED_LEAVES = 1 << 14
"""At the end, when a reader takes up what was appended."""


class ProofLogError(KhuphoError):
    """The proof log cannot answer or take that."""

    fault = Fault.ARCHIVE


class FoundLeaf(NamedTuple):
    """A leaf and its place."""

    number: int
    leaf: Leaf


class ProofLogReader:
    """The log as it was when it was opened, or at the last `refresh`; for one thread."""

    def __init__(self, root_fd: int) -> None:
        """Open it, also beside a writer. Raises `AppendFileError`."""
        file = -1
        try:
            file = open_to_read(root_fd, LEAVES_NAME)
        except FileNotFoundError:
            pass  # nothing was filed yet
        except OSError as error:
            raise disk_error("The proof log cannot be opened", LEAVES_NAME, error) from error
        self._take_up(root_fd, file, writes=False)
        self.refresh()

    def _take_up(self, root_fd: int, file: int, *, writes: bool) -> None:
        self._file = file
        self._readable = 0
        self._blocks = LeafBlocks(root_fd, self.leaves, writes=writes)
        self._tree = MerkleTree(self._blocks.complete)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._readable

    def refresh(self) -> int:
        """Take up what was appended since; returns the size now. Raises `AppendFileError`.

        A record that is being written this moment, or that a retry of the writer goes over, isn't counted.
        """
        if self._file < 0:
            return 0
        try:
            size = os.fstat(self._file).st_size // RECORD_BYTES
            first = max(size - _CHECKED_LEAVES, min(self._readable, size))
            data = read_at(self._file, first * RECORD_BYTES, (size - first) * RECORD_BYTES)
        except OSError as error:
            raise disk_error("The proof log cannot be read", LEAVES_NAME, error) from error
        self._readable = first + whole_records(data)
        return self._readable

    def record(self, index: int) -> Leaf:
        """One leaf. Raises `ProofLogError`, `LeafDamagedError`, `AppendFileError`."""
        return self.leaves(index, index + 1)[0]

    def leaves(self, start: int, stop: int) -> list[Leaf]:
        """Neighbouring leaves, all in memory. Raises as `record` does."""
        data = memoryview(self._records(start, stop))
        return [
            unpack_leaf(data[at : at + RECORD_BYTES], start + at // RECORD_BYTES)
            for at in range(0, len(data), RECORD_BYTES)
        ]

    def hashes(self, start: int, stop: int) -> list[bytes]:
        """Hashes of neighbouring leaves, several times faster than `leaves`. Raises as `record` does."""
        return hashes_of(self._records(start, stop), start)

    def walk(self, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
        """Leaves in order, some at a time. Raises as `record` does."""
        stop = self.size if stop is None else stop
        for first in range(start, stop, _WALK_LEAVES):
            yield from self.leaves(first, min(first + _WALK_LEAVES, stop))

    def root(self, size: int) -> bytes:
        """The Merkle tree's hash at a size. Raises as `record` does."""
        self._check(0, size)
        return self._tree.root(size)

    def bundle(self, leaves: Sequence[int], size: int) -> list[bytes]:
        """`bundle.make_bundle` over this log. Raises also `ProofBundleError`."""
        self._check(0, size)
        return make_bundle(leaves, size, self._tree.subtree_hash)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """RFC 9162 section 2.1.3.1. Raises as `record` does."""
        self._check(index + 1, size)
        return self._tree.inclusion_proof(index, size)

    def consistency_proof(self, first: int, second: int) -> list[bytes]:
        """RFC 9162 section 2.1.4.1; `first` is at least 1. Raises as `record` does."""
        self._check(max(first, 1), second)
        return self._tree.consistency_proof(max(first, 1), second)

    def find(self, stream: int, start_utc_us: int, stop_utc_us: int) -> Iterator[FoundLeaf]:
        """Leaves of a stream's fragments that start in `[start_utc_us, stop_utc_us)`, in the log's order.

        Late leaves may stand anywhere after, so all blocks of the log are asked; only those that reach
        into this time are read. Raises as `record` does.
        """
        high, low = stream.to_bytes(2, "big")
        for first, count in self._reaching(start_utc_us, stop_utc_us):
            data = self._records(first, first + count)
            highs, lows = data[STREAM_AT::RECORD_BYTES], data[STREAM_AT + 1 :: RECORD_BYTES]
            at = lows.find(low)
            while at >= 0:
                if highs[at] == high:
                    leaf = unpack_leaf(
                        data[at * RECORD_BYTES : (at + 1) * RECORD_BYTES], first + at
                    )
                    if (
                        start_utc_us <= leaf.start_utc_us < stop_utc_us
                        and leaf.kind == LeafKind.FRAGMENT
                    ):
                        yield FoundLeaf(first + at, leaf)
                at = lows.find(low, at + 1)

    def between(
        self, start_utc_us: int, stop_utc_us: int
    ) -> Iterator[FoundLeaf | LeafDamagedError]:
        """Leaves of all streams' fragments that start in that time, in the log's order; a damaged record
        comes as the error that names it, whatever its time was. Raises as `record` does."""
        for first, count in self._reaching(start_utc_us, stop_utc_us):
            data = self._records(first, first + count)
            for at in range(count):
                try:
                    leaf = unpack_leaf(
                        data[at * RECORD_BYTES : (at + 1) * RECORD_BYTES], first + at
                    )
                except LeafDamagedError as error:
                    yield error
                    continue
                if (
                    start_utc_us <= leaf.start_utc_us < stop_utc_us
                    and leaf.kind == LeafKind.FRAGMENT
                ):
                    yield FoundLeaf(first + at, leaf)

    def last_journal_leaf(self) -> FoundLeaf | None:
        """The leaf of the newest journal line that has one. Raises as `record` does."""
        for height, start, stop in reversed(list(self._pieces())):
            if height == 0:
                found = self._last_journal_of(start, stop)
                if found is not None:
                    return found
            for index in range(stop - 1, start - 1, -1) if height else ():
                if self._blocks.get(height, index, index + 1)[0].journal_leaves:
                    return self._last_journal_in(height, index)
        return None

    def close(self) -> None:
        """Let the files go."""
        self._blocks.close()
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)

    def _check(self, index: int, size: int) -> None:
        if not 0 <= index <= size <= self._readable:
            raise ProofLogError(
                f"The proof log has {self._readable} leaves to read; {max(index, size)} are asked for",
                where=LEAVES_NAME,
            )

    def _records(self, start: int, stop: int) -> bytes:
        self._check(start, stop)
        try:
            data = read_at(self._file, start * RECORD_BYTES, (stop - start) * RECORD_BYTES)
        except OSError as error:
            raise disk_error("The proof log cannot be read", LEAVES_NAME, error) from error
        if len(data) != (stop - start) * RECORD_BYTES:
            raise ProofLogError("The proof log became shorter while it was read", where=LEAVES_NAME)
        return data

    def _pieces(self) -> Iterator[tuple[int, int, int]]:
        """The log from left to right as runs `(height, start, stop)` of complete blocks, the largest
        first, and at last the leaves (height 0) that fill no block."""
        done = 0
        for height in reversed(HEIGHTS):
            stop = self._readable >> height
            if done >> height < stop:
                yield height, done >> height, stop
                done = stop << height
        if done < self._readable:
            yield 0, done, self._readable

    def _reaching(self, start_utc_us: int, stop_utc_us: int) -> Iterator[tuple[int, int]]:
        """Runs of leaves `(first, count)` that may hold fragments of that time."""
        for height, start, stop in self._pieces():
            if height:
                yield from self._reaching_in(height, start, stop, start_utc_us, stop_utc_us)
            else:
                yield start, stop - start

    def _reaching_in(
        self, height: int, start: int, stop: int, start_utc_us: int, stop_utc_us: int
    ) -> Iterator[tuple[int, int]]:
        for chunk in range(start, stop, FAN_OUT):
            blocks = self._blocks.get(height, chunk, min(chunk + FAN_OUT, stop))
            for index, block in enumerate(blocks, chunk):
                if block.latest_utc_us < start_utc_us or block.earliest_utc_us >= stop_utc_us:
                    continue
                first = index * FAN_OUT
                if height == HEIGHTS[0]:
                    yield first, FAN_OUT
                else:
                    yield from self._reaching_in(
                        height - 8, first, first + FAN_OUT, start_utc_us, stop_utc_us
                    )

    def _last_journal_in(self, height: int, index: int) -> FoundLeaf | None:
        """Within a block that has one."""
        while height > HEIGHTS[0]:
            height -= 8
            below = self._blocks.get(height, index * FAN_OUT, (index + 1) * FAN_OUT)
            index = index * FAN_OUT + max(
                at for at, block in enumerate(below) if block.journal_leaves
            )
        return self._last_journal_of(index * FAN_OUT, (index + 1) * FAN_OUT)

    def _last_journal_of(self, start: int, stop: int) -> FoundLeaf | None:
        for at, leaf in reversed(list(enumerate(self.leaves(start, stop), start))):
            if leaf.kind == LeafKind.JOURNAL:
                return FoundLeaf(at, leaf)
        return None


class ProofLog(ProofLogReader):
    """The log's one writer. It reads what it has written, as a reader does."""

    def __init__(self, root_fd: int, trusted_size: int = 0) -> None:
        """Open or create it; `proof/` must be there.

        What a power cut left behind is cut away (`cut_bytes`): from the first torn or damaged record on,
        looked for from `trusted_size` on, the size of the newest checkpoint. Raises `AppendFileError`,
        `LeafDamagedError`.
        """
        self._trusted_size = trusted_size
        self._append = AppendFile(root_fd, LEAVES_NAME, self._whole_bytes)
        self._open_from_file(root_fd)

    def _open_from_file(self, root_fd: int) -> None:
        self._take_up(root_fd, self._append.file, writes=True)
        self._readable = self._append.written_bytes // RECORD_BYTES
        self._blocks.cut(self._readable)
        start = self._readable - self._readable % FAN_OUT
        self._open = self.leaves(start, self._readable)
        """Leaves since the last complete block, and buffered ones."""

    @property
    def size(self) -> int:
        """How many leaves there are, with buffered ones."""
        return self._append.size_bytes // RECORD_BYTES

    @property
    def synced_size(self) -> int:
        """How many a power cut cannot take: what a checkpoint may speak of."""
        return self._append.synced_bytes // RECORD_BYTES

    @property
    def cut_bytes(self) -> int:
        """Of the torn end, cut away at opening."""
        return self._append.cut_bytes

    def refresh(self) -> int:
        """The size now: nobody else appends."""
        return self.size

    def append_many(self, leaves: Iterable[Leaf]) -> int:
        """Add leaves to the buffer; returns the first one's index. Raises `ProofLogError` for a number that
        doesn't fit its field, `AppendFileError` where the disk has confirmed nothing for too long; nothing
        is taken then."""
        first = self.size
        taken = list(leaves)
        try:
            data = b"".join(map(pack_leaf, taken))
        except struct.error as error:
            raise ProofLogError(
                f"A leaf doesn't fit its record: {error}", where=LEAVES_NAME, fault=Fault.KHUPHO
            ) from error
        self._append.append(data)
        self._open += taken
        return first

    def write(self) -> None:
        """Let readers see all leaves, in one call. Raises `AppendFileError`; they are kept for the next
        try."""
        self._append.write()
        self._readable = self.size
        whole = len(self._open) // FAN_OUT
        first = (self._readable - len(self._open)) // FAN_OUT
        for index in range(whole):
            at = index * FAN_OUT
            self._blocks.put(first + index, block_of_leaves(self._open[at : at + FAN_OUT]))
        del self._open[: whole * FAN_OUT]

    def sync(self) -> None:
        """Bring all leaves to the disk. Raises `AppendFileError`; they are kept for the next try."""
        self.write()
        self._append.sync()

    def forget_blocks(self) -> None:
        """Drop the cache: it may be of leaves that were here before these (a restored backup)."""
        self._blocks.cut(0)

    def reopen(self, root_fd: int) -> None:
        """Go on after the disk was away. Raises `AppendFileError`, `LeafDamagedError`."""
        self._append.reopen(root_fd)
        self._append.write()
        self._blocks.close()
        self._open_from_file(root_fd)

    def close(self) -> None:
        """Let the files go; call `sync` first."""
        self._blocks.close()
        self._append.close()

    def _whole_bytes(self, file: int, size: int) -> int:
        first = min(self._trusted_size, size // RECORD_BYTES)
        while first < size // RECORD_BYTES:
            count = min(_CHUNK_LEAVES, size // RECORD_BYTES - first)
            data = read_at(file, first * RECORD_BYTES, count * RECORD_BYTES)
            whole = whole_records(data)
            first += whole
            if whole < count:
                break
        return first * RECORD_BYTES

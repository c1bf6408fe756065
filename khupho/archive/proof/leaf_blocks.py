"""Summaries of 256, 65,536 and 16,777,216 leaves, so that a long log is asked without reading it.

`proof/blocks-8`, `-16` and `-24` hold one record of 56 bytes (big-endian) for each complete block: Merkle
hash (32), earliest and latest start of a fragment (i64 each), number of journal leaves (u32), CRC-32 of the
52 bytes before (u32). They are a cache: a record that is missing or damaged is made anew from the leaves.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

from khupho.archive.place.append_file import read_at
from khupho.archive.proof.leaf_record import Leaf, LeafKind
from khupho.archive.proof.merkle import root_of_complete

HEIGHTS = (8, 16, 24)
FAN_OUT = 256
BLOCK_BYTES = 56
NO_FRAGMENT = (2**63 - 1, -(2**63))
"""Earliest and latest start in a block without fragments."""
_BODY = struct.Struct(">32sqqI")
_BODY_BYTES = 52
_MAX_KEPT = 20_000


class Block(NamedTuple):
    """What a complete subtree of leaves holds."""

    hash: bytes
    earliest_utc_us: int
    latest_utc_us: int
    """Start of its latest fragment."""
    journal_leaves: int


ReadLeaves = Callable[[int, int], Sequence[Leaf]]
"""`read(start, stop)`: those leaves, each checked."""


def block_of_leaves(leaves: Sequence[Leaf]) -> Block:
    """The summary of a power of two of neighbouring leaves."""
    starts = [leaf.start_utc_us for leaf in leaves if leaf.kind == LeafKind.FRAGMENT]
    earliest, latest = (min(starts), max(starts)) if starts else NO_FRAGMENT
    journal = sum(leaf.kind == LeafKind.JOURNAL for leaf in leaves)
    return Block(root_of_complete([leaf.hash for leaf in leaves]), earliest, latest, journal)


def block_of_blocks(blocks: Sequence[Block]) -> Block:
    """The summary of a power of two of neighbouring blocks of one height."""
    return Block(
        root_of_complete([block.hash for block in blocks]),
        min(block.earliest_utc_us for block in blocks),
        max(block.latest_utc_us for block in blocks),
        sum(block.journal_leaves for block in blocks),
    )


class LeafBlocks:
    """The blocks of one log. Only the log's writer makes and mends the files."""

    def __init__(self, root_fd: int, read: ReadLeaves, *, writes: bool) -> None:
        self._read = read
        self._writes = writes
        self._kept: dict[tuple[int, int], Block] = {}
        """Made anew by a reader, who cannot store them."""
        self._files: dict[int, int] = {}
        flags = (os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
        for height in HEIGHTS:
            with contextlib.suppress(OSError):  # a cache: it goes without
                self._files[height] = os.open(
                    f"proof/blocks-{height}", flags, 0o600, dir_fd=root_fd
                )

    def cut(self, leaves: int) -> None:
        """Forget what lies past that many leaves: they were lost, and others will come."""
        for height, file in self._files.items():
            with contextlib.suppress(OSError):
                if os.fstat(file).st_size > (leaves >> height) * BLOCK_BYTES:
                    os.ftruncate(file, (leaves >> height) * BLOCK_BYTES)

    def put(self, index: int, block: Block) -> None:
        """Store the block of 256 leaves that has just become complete, and all that it completes."""
        self._store(8, index, block)
        for height in HEIGHTS[1:]:
            if (index + 1) % FAN_OUT:
                return
            index //= FAN_OUT
            self._store(height, index, self._make(height, index))

    def get(self, height: int, start: int, stop: int) -> list[Block]:
        """Neighbouring complete blocks of one of the three heights. Raises what reading leaves raises."""
        data = b""
        if (file := self._files.get(height)) is not None:
            with contextlib.suppress(OSError):
                data = read_at(file, start * BLOCK_BYTES, (stop - start) * BLOCK_BYTES)
        blocks = []
        for index in range(start, stop):
            at = (index - start) * BLOCK_BYTES
            body = data[at : at + _BODY_BYTES]
            crc = data[at + _BODY_BYTES : at + BLOCK_BYTES]
            if len(crc) == 4 and crc32(body) == int.from_bytes(crc, "big"):
                blocks.append(Block._make(_BODY.unpack(body)))
            else:
                blocks.append(self._remake(height, index))
        return blocks

    def complete(self, height: int, index: int) -> bytes:
        """The hash of any complete subtree (`merkle.CompleteHash`)."""
        if height < HEIGHTS[0]:
            leaves = self._read(index << height, (index + 1) << height)
            return root_of_complete([leaf.hash for leaf in leaves])
        below = max(one for one in HEIGHTS if one <= height)
        rise = height - below
        blocks = self.get(below, index << rise, (index + 1) << rise)
        return root_of_complete([block.hash for block in blocks])

    def close(self) -> None:
        files, self._files = self._files, {}
        for file in files.values():
            # A dead file system complains; the descriptor is gone all the same (close(2)).
            with contextlib.suppress(OSError):
                os.close(file)

    def _make(self, height: int, index: int) -> Block:
        first = index * FAN_OUT
        if height == HEIGHTS[0]:
            return block_of_leaves(self._read(first, first + FAN_OUT))
        return block_of_blocks(self.get(height - 8, first, first + FAN_OUT))

    def _remake(self, height: int, index: int) -> Block:
        block = self._kept.get((height, index))
        if block is None:
            block = self._make(height, index)
            if self._writes:
                self._store(height, index, block)
            else:
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[height, index] = block
        return block

    def _store(self, height: int, index: int, block: Block) -> None:
        file = self._files.get(height)
        if file is None:
            return
        body = _BODY.pack(*block)
        record = body + crc32(body).to_bytes(4, "big")
        with contextlib.suppress(OSError):
            os.pwrite(file, record, index * BLOCK_BYTES)

"""Roots of a proof log made from its leaves alone: what a check believes, since a cache can lie."""

from __future__ import annotations

from khupho.archive.proof.leaf_blocks import FAN_OUT
from khupho.archive.proof.log import ProofLogReader
from khupho.archive.proof.merkle import Frontier, node_hash, root_of_complete

_READ_BLOCKS = 16


class RootWalk:
    """Reads the log once, for roots at sizes that ascend; a smaller size begins anew."""

    def __init__(self, log: ProofLogReader) -> None:
        self._log = log
        self._blocks = Frontier()
        """Over the hashes of whole blocks of leaves."""

    def root(self, size: int) -> bytes:
        """The Merkle tree's hash at a size. Raises `LeafDamagedError`, `ProofLogError`, `AppendFileError`."""
        if size < self._blocks.size * FAN_OUT:
            self._blocks = Frontier()
        while (left := size // FAN_OUT - self._blocks.size) > 0:
            self._take(min(left, _READ_BLOCKS))
        rest = Frontier()
        for leaf in self._log.hashes(self._blocks.size * FAN_OUT, size):
            rest.append(leaf)
        peaks = list(self._blocks.peaks)
        node = rest.root() if rest.size or not peaks else peaks.pop()
        while peaks:
            node = node_hash(peaks.pop(), node)
        return node

    def _take(self, blocks: int) -> None:
        first = self._blocks.size * FAN_OUT
        hashes = self._log.hashes(first, first + blocks * FAN_OUT)
        for at in range(0, len(hashes), FAN_OUT):
            self._blocks.append(root_of_complete(hashes[at : at + FAN_OUT]))

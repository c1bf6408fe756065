"""The Merkle tree of the proof log (RFC 9162 section 2.1), grown leaf by leaf and asked at any size. Pure.

Complete subtrees never change, so all that is asked of a tree is put together from those: subtree `index`
of height `h` holds the leaves from `index << h` to `(index + 1) << h`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from khupho.archive.proof.bundle import ProofBundleError, leaf_hash, node_hash

__all__ = [
    "EMPTY_ROOT", "Frontier", "MerkleTree", "leaf_hash", "node_hash", "root_of_complete",
    "verify_consistency", "verify_inclusion",
]  # fmt: skip
EMPTY_ROOT = sha256(b"").digest()
"""Of a tree without leaves (RFC 9162 section 2.1.1)."""

CompleteHash = Callable[[int, int], bytes]
"""`complete(height, index)`: the hash of a complete subtree; height 0 is a leaf's own hash."""


class Frontier:
    """The right edge of a growing tree: the hashes of its largest complete subtrees, one a set bit."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """`peaks` from left to right, one for each set bit of `size`."""
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"A tree of {size} has {size.bit_count()} peaks")

    @property
    def peaks(self) -> Sequence[bytes]:
        return self._peaks

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        peaks, size = self._peaks, self.size
        node = leaf
        while size & 1:
            node = sha256(b"\1" + peaks.pop() + node).digest()
            size >>= 1
        peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree's hash at its size now."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root_of_complete(hashes: Sequence[bytes]) -> bytes:
    """The hash over a power of two of neighbouring nodes of one height."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [
            sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)
        ]
    return hashes[0]


class MerkleTree:
    """Roots and proofs over stored subtrees."""

    def __init__(self, complete: CompleteHash) -> None:
        self._complete = complete

    def subtree_hash(self, start: int, stop: int) -> bytes:
        """The hash of a subtree as RFC 9162 cuts it: `start` is a multiple of the next power of two of
        its size."""
        size = stop - start
        if size <= 0 or start & ((1 << (size - 1).bit_length()) - 1):
            raise ValueError(f"No subtree reaches from leaf {start} to {stop}")
        peaks = []
        while start < stop:
            height = (stop - start).bit_length() - 1
            peaks.append(self._complete(height, start >> height))
            start += 1 << height
        node = peaks.pop()
        while peaks:
            node = node_hash(peaks.pop(), node)
        return node

    def root(self, size: int) -> bytes:
        """Of the tree's first `size` leaves."""
        return self.subtree_hash(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """RFC 9162 section 2.1.3.1, from the leaf upwards."""
        if not 0 <= index < size:
            raise ValueError(f"No leaf {index} in a tree of {size}")
        path = []
        start, stop = 0, size
        while stop - start > 1:
            cut = _cut(start, stop)
            if index < cut:
                path.append(self.subtree_hash(cut, stop))
                stop = cut
            else:
                path.append(self.subtree_hash(start, cut))
                start = cut
        return path[::-1]

    def consistency_proof(self, first: int, second: int) -> list[bytes]:
        """RFC 9162 section 2.1.4.1: that the tree of `first` leaves is the beginning of that of `second`."""
        if not 0 < first <= second:
            raise ValueError(f"No tree of {first} leaves begins one of {second}")
        path = []
        start, stop, rest = 0, second, first
        is_known = True
        while rest != stop:
            cut = _cut(start, stop)
            if rest <= cut:
                path.append(self.subtree_hash(cut, stop))
                stop = cut
            else:
                path.append(self.subtree_hash(start, cut))
                start = cut
                is_known = False
        if not is_known:
            path.append(self.subtree_hash(start, stop))
        return path[::-1]


def _cut(start: int, stop: int) -> int:
    """After the largest power of two below the size."""
    return start + (1 << (stop - start - 1).bit_length() - 1)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """RFC 9162 section 2.1.3.2. Raises `ProofBundleError` where the proof doesn't hold."""
    if not 0 <= index < size:
        raise ProofBundleError(f"There is no leaf {index} in a tree of {size}")
    at, last = index, size - 1
    node = leaf
    for sibling in proof:
        if last == 0:
            raise ProofBundleError("The inclusion proof has hashes left over")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    if last or node != root:
        raise ProofBundleError(f"The inclusion proof of leaf {index} doesn't lead to the root")


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """RFC 9162 section 2.1.4.2. Raises `ProofBundleError` where the proof doesn't hold."""
    if not 0 < first <= second:
        raise ProofBundleError(f"A tree of {first} leaves cannot begin one of {second}")
    if first == second:
        if proof or first_root != second_root:
            raise ProofBundleError("Two trees of one size differ")
        return
    path = list(proof)
    if not first & (first - 1):
        path.insert(0, first_root)
    if not path:
        raise ProofBundleError("The consistency proof is empty")
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofBundleError("The consistency proof has hashes left over")
        if at & 1 or at == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        at >>= 1
        last >>= 1
    if last or old != first_root or new != second_root:
        raise ProofBundleError("The newer tree doesn't continue the older one")

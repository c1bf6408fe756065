"""One compact proof that many leaves lie in a Merkle tree, checked without the tree (pure).

The tree is that of RFC 9162 section 2.1. A proof for a set of leaves is the list of hashes of the largest
subtrees without such a leaf, from left to right: for one leaf that is its inclusion proof in another order,
for many neighbours it is far shorter than a proof for each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256

from khupho.errors import Fault, KhuphoError

MAX_LEAVES = 1 << 20
"""Of one bundle: nine days of one stream."""
_HASH_BYTES = 32

SubtreeHash = Callable[[int, int], bytes]
"""`subtree_hash(start, stop)`: the Merkle tree hash of those leaves; `stop - start` fits the tree's cut."""


class ProofBundleError(KhuphoError):
    """A proof is broken, or doesn't prove what it should."""

    fault = Fault.ARCHIVE


def leaf_hash(entry: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1."""
    return sha256(b"\1" + left + right).digest()


def _split(start: int, stop: int) -> int:
    """Where a tree of these leaves is cut: after the largest power of two below its size."""
    return start + (1 << (stop - start - 1).bit_length() - 1)


def make_bundle(leaves: Sequence[int], tree_size: int, subtree_hash: SubtreeHash) -> list[bytes]:
    """The hashes that, with the leaves' own, make the root. `leaves` ascend, without doubles."""
    if not leaves or leaves[0] < 0 or leaves[-1] >= tree_size or len(leaves) > MAX_LEAVES:
        raise ProofBundleError(f"{len(leaves)} leaves cannot be proven in a tree of {tree_size}")
    nodes: list[bytes] = []

    def visit(start: int, stop: int, first: int, last: int) -> None:
        if first == last:
            nodes.append(subtree_hash(start, stop))
        elif stop - start > 1:
            cut = _split(start, stop)
            middle = bisect_left(leaves, cut, first, last)
            visit(start, cut, first, middle)
            visit(cut, stop, middle, last)

    visit(0, tree_size, 0, len(leaves))
    return nodes


def bundle_root(leaves: Mapping[int, bytes], tree_size: int, nodes: Sequence[bytes]) -> bytes:
    """The root of a tree that holds these leaf hashes at these places and the proof's hashes elsewhere.

    Raises `ProofBundleError` where hashes are missing, left over or of another size.
    """
    places = sorted(leaves)
    if not places or places[0] < 0 or places[-1] >= tree_size or tree_size > 1 << 62:
        raise ProofBundleError(f"The proof's leaves don't lie in a tree of {tree_size}")
    if len(places) > MAX_LEAVES or len(nodes) > MAX_LEAVES * 63:
        raise ProofBundleError(f"A proof of {len(places)} leaves is too large")
    rest: Iterator[bytes] = iter(nodes)

    def visit(start: int, stop: int, first: int, last: int) -> bytes:
        if first == last:
            node = next(rest, None)
            if node is None or len(node) != _HASH_BYTES:
                raise ProofBundleError("The proof lacks a hash, or one has another size")
            return node
        if stop - start == 1:
            return leaves[start]
        cut = _split(start, stop)
        middle = bisect_left(places, cut, first, last)
        return node_hash(visit(start, cut, first, middle), visit(cut, stop, middle, last))

    root = visit(0, tree_size, 0, len(places))
    if next(rest, None) is not None:
        raise ProofBundleError("The proof has hashes left over")
    return root

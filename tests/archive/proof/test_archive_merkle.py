"""The Merkle tree: RFC 9162's words, Certificate Transparency's vectors, proofs that hold and that don't."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.proof.bundle import ProofBundleError
from khupho.archive.proof.merkle import (
    EMPTY_ROOT,
    Frontier,
    MerkleTree,
    leaf_hash,
    node_hash,
    root_of_complete,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
"""The leaves of the test vectors in certificate-transparency (`merkletree/merkle_tree_test.cc`)."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
H01 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
H23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
H4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
H45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
H67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
H4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"


def naive_root(hashes: list[bytes]) -> bytes:
    """The definition of RFC 9162 section 2.1.1, word by word."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(naive_root(hashes[:k]), naive_root(hashes[k:]))


def tree_over(hashes: list[bytes]) -> MerkleTree:
    return MerkleTree(
        lambda height, index: root_of_complete(hashes[index << height : (index + 1) << height])
    )


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(size)]


def test_known_roots() -> None:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex().startswith("e3b0c44298fc1c149afbf4c8996fb924")
    for size, root in enumerate(ROOTS, 1):
        frontier.append(hashes[size - 1])
        assert frontier.root().hex() == tree_over(hashes).root(size).hex() == root


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [(0, 8, [H01, H23, H4567]), (5, 8, [H4, H67, ROOTS[3]]), (2, 3, [ROOTS[1]]), (0, 1, [])],
)
def test_known_inclusion_proofs(index: int, size: int, proof: list[str]) -> None:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    made = tree_over(hashes).inclusion_proof(index, size)
    assert [node.hex() for node in made] == proof
    verify_inclusion(hashes[index], index, size, made, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(
    ("first", "second", "proof"),
    [(1, 8, [H01, H23, H4567]), (6, 8, [H45, H67, ROOTS[3]]), (2, 5, [H23, H4]), (4, 4, [])],
)
def test_known_consistency_proofs(first: int, second: int, proof: list[str]) -> None:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    made = tree_over(hashes).consistency_proof(first, second)
    assert [node.hex() for node in made] == proof
    roots = [bytes.fromhex(ROOTS[size - 1]) for size in (first, second)]
    verify_consistency(first, second, *roots, made)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 200), st.data())
def test_frontier_roots_and_proofs_agree_with_the_definition(
    size: int, data: st.DataObject
) -> None:
    hashes = leaves_of(size)
    frontier = Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    root = naive_root(hashes)
    tree = tree_over(hashes)
    assert frontier.root() == tree.root(size) == root
    assert Frontier(size, frontier.peaks).root() == root
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion_proof(index, size)
    verify_inclusion(hashes[index], index, size, proof, root)
    first = data.draw(st.integers(1, size))
    old_root = naive_root(hashes[:first])
    verify_consistency(first, size, old_root, root, tree.consistency_proof(first, size))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 70), st.data())
def test_nothing_else_is_proven(size: int, data: st.DataObject) -> None:
    hashes = leaves_of(size)
    tree, root = tree_over(hashes), naive_root(hashes)
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion_proof(index, size)
    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index))
    forgeries = [
        (hashes[other], index, size, proof),
        (hashes[index], other, size, proof),
        (hashes[index], index, size, proof[:-1]),
        (hashes[index], index, size, [*proof, bytes(32)]),
        (hashes[index], size, size, proof),
        (hashes[index], -1, size, proof),
    ]
    for forged in forgeries:
        with pytest.raises(ProofBundleError):
            verify_inclusion(*forged, root)
    first = data.draw(st.integers(1, size - 1))
    old_root = naive_root(hashes[:first])
    path = tree.consistency_proof(first, size)
    for bad_first, roots, bad_path in [
        (first, (bytes(32), root), path),
        (first, (old_root, bytes(32)), path),
        (first, (old_root, root), path[:-1]),
        (first, (old_root, root), [*path, bytes(32)]),
        (0, (old_root, root), path),
        (size + 1, (old_root, root), path),
        (size, (old_root, root), []),
    ]:
        with pytest.raises(ProofBundleError):
            verify_consistency(bad_first, size, *roots, bad_path)


def test_what_cannot_be_asked() -> None:
    tree = tree_over(leaves_of(8))
    for start, stop in ((0, 0), (1, 3), (4, 4), (2, 5)):
        with pytest.raises(ValueError, match="No subtree"):
            tree.subtree_hash(start, stop)
    with pytest.raises(ValueError, match="No leaf"):
        tree.inclusion_proof(8, 8)
    with pytest.raises(ValueError, match="No tree"):
        tree.consistency_proof(0, 8)
    with pytest.raises(ValueError, match="peaks"):
        Frontier(3, [bytes(32)])

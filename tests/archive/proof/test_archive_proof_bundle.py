"""One proof for many leaves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.proof.bundle import (
    ProofBundleError,
    bundle_root,
    leaf_hash,
    make_bundle,
    node_hash,
)


def naive_root(hashes: list[bytes]) -> bytes:
    """The definition of RFC 9162 section 2.1.1, word by word."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(naive_root(hashes[:k]), naive_root(hashes[k:]))


def tree(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % n) for n in range(size)]


@st.composite
def selections(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.integers(1, 70))
    return size, sorted(draw(st.sets(st.integers(0, size - 1), min_size=1)))


@settings(max_examples=150)
@given(selections())
def test_a_bundle_gives_the_root_and_is_no_longer_than_needed(
    selection: tuple[int, list[int]],
) -> None:
    size, chosen = selection
    hashes = tree(size)
    nodes = make_bundle(chosen, size, lambda start, stop: naive_root(hashes[start:stop]))
    leaves = {index: hashes[index] for index in chosen}
    assert bundle_root(leaves, size, nodes) == naive_root(hashes)
    if len(chosen) == size:
        assert nodes == []
    assert len(nodes) <= len(chosen) * (size.bit_length())


@settings(max_examples=100)
@given(selections(), st.data())
def test_no_other_leaf_fits(selection: tuple[int, list[int]], data: st.DataObject) -> None:
    size, chosen = selection
    hashes = tree(size)
    nodes = make_bundle(chosen, size, lambda start, stop: naive_root(hashes[start:stop]))
    leaves = {index: hashes[index] for index in chosen}
    wrong = data.draw(st.sampled_from(chosen))
    forged = {**leaves, wrong: leaf_hash(b"forged")}
    assert bundle_root(forged, size, nodes) != naive_root(hashes)
    with pytest.raises(ProofBundleError):
        bundle_root(leaves, size, [*nodes, bytes(32)])
    if nodes:
        with pytest.raises(ProofBundleError):
            bundle_root(leaves, size, nodes[:-1])
        with pytest.raises(ProofBundleError):
            bundle_root(leaves, size, [*nodes[:-1], b"short"])


def test_impossible_places() -> None:
    for chosen, size in (([], 5), ([5], 5), ([-1], 5)):
        with pytest.raises(ProofBundleError):
            make_bundle(chosen, size, lambda start, stop: bytes(32))
        with pytest.raises(ProofBundleError):
            bundle_root({n: bytes(32) for n in chosen}, size, [])
    with pytest.raises(ProofBundleError):
        bundle_root({1: bytes(32)}, 1 << 63, [bytes(32)] * 63)
    # A tree said to be huge costs no more than its depth.
    with pytest.raises(ProofBundleError):
        bundle_root({1: bytes(32)}, 1 << 62, [bytes(32)] * 10)

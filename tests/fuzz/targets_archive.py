"""Targets of `khupho.archive`."""

from __future__ import annotations

from targets import target

from khupho.archive.proof_bundle import ProofBundleError, bundle_root, make_bundle


@target("proof-bundle", b"\x3f\3\1\5\x14" + bytes(320))
def proof_bundle(data: bytes) -> object:
    """A proof of any shape gives a root or the error; one made for the leaves gives the tree's own."""
    if len(data) < 4:
        return None
    tree_size = 1 + data[0] % 64
    leaves = {n % 80: bytes([n]) * 32 for n in data[2 : 2 + data[1] % 16]}
    nodes = [data[n : n + 32] for n in range(2, len(data), 32)]
    try:
        bundle_root(leaves, tree_size, nodes)
    except ProofBundleError as error:
        str(error)
    return make_bundle(sorted(leaves), tree_size, lambda start, stop: bytes([start, stop]) * 16)

"""Leaves of fragments that a kill, a dropped fact or a fault of the disk kept from the proof log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from khupho.archive.place.append_file import read_at
from khupho.archive.proof.leaf_record import Leaf, LeafFlags, LeafKind, entry_hash, fragment_entry
from khupho.archive.proof.log import ProofLogReader
from khupho.archive.segments.reader import open_segment
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.units import US_PER_S

_MAX_U32 = 0xFFFFFFFF


class LeavesOfFile(NamedTuple):
    """What the proof log has of a segment, against what the segment has."""

    missing: list[Leaf]
    """To be filed late."""
    lost: list[Leaf]
    """Of fragments that aren't in the file any more."""


def beginning_hash(file: int, segment: StoredSegment) -> bytes:
    """SHA-256 of all before a segment's first fragment. Raises `OSError`."""
    return sha256(read_at(file, 0, segment.init_size)).digest()


def leaf_of_stored(
    file: int,
    segment: StoredSegment,
    beginning_sha256: bytes,
    fragment: StoredFragment,
    number: int,
    *,
    late: bool,
) -> Leaf:
    """The leaf of a fragment in an open file; its header is read again. Raises `OSError`."""
    header = os.pread(file, fragment.header.header_size, fragment.offset)
    flags = LeafFlags.KEY if any(fragment.header.is_key) else LeafFlags.NONE
    if fragment.damaged:
        flags |= LeafFlags.DAMAGED
    if fragment.clock_wrong:
        flags |= LeafFlags.CLOCK_WRONG
    if late:
        flags |= LeafFlags.LATE
    return Leaf(
        entry_hash(fragment_entry(segment.camera, segment.stream, beginning_sha256, header)),
        LeafKind.FRAGMENT,
        int(flags),
        number,
        fragment.start_utc_us,
        min(fragment.header.duration_90k * US_PER_S // segment.timescale, _MAX_U32),
        fragment.header.size_bytes,
        fragment.offset,
    )


def compare_leaves(
    proof: ProofLogReader,
    root_fd: int,
    segment: StoredSegment,
    number: int,
    from_byte: int,
    lost_until_utc_us: int,
) -> LeavesOfFile:
    """Which leaves a segment lacks from a byte of its file on, and which it has without a fragment.

    `lost_until_utc_us` is where its footage may have ended before it was cut. Raises `KhuphoError`,
    `OSError`.
    """
    fragments: Sequence[StoredFragment] = [
        fragment for fragment in segment.fragments if fragment.offset >= from_byte
    ]
    start_us = fragments[0].start_utc_us if fragments else segment.end_utc_us
    stop_us = max(segment.end_utc_us, lost_until_utc_us) + 1
    filed = {
        (found.leaf.offset, found.leaf.start_utc_us): found.leaf
        for found in proof.find(number, start_us, stop_us)
    }
    file = open_segment(root_fd, segment.relative_path)
    try:
        beginning_sha256 = beginning_hash(file, segment)
        missing = [
            leaf_of_stored(file, segment, beginning_sha256, fragment, number, late=True)
            for fragment in fragments
            if filed.pop((fragment.offset, fragment.start_utc_us), None) is None
        ]
    finally:
        os.close(file)
    return LeavesOfFile(missing, list(filed.values()))

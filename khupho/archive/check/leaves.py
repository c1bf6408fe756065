"""Fragments against the leaves of the proof log: invariant 11.

An hour at a time, so that memory stays small: the fragments that begin in it, of all streams, against the
leaves of that time. What the catalog calls flushed must have its leaf; what was in the log when the check
began must have its fragment, or a line of the journal that tells how it went.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from khupho.archive.check.findings import Finding
from khupho.archive.journal.entries import FootageLost, Line, SegmentDeleted
from khupho.archive.place.directories import next_start_utc_us
from khupho.archive.place.segment_names import parse_segment_path
from khupho.archive.proof.leaf_record import (
    RECORD_BYTES,
    LeafDamagedError,
    entry_hash,
    fragment_entry,
)
from khupho.archive.proof.leaves_of_files import beginning_hash
from khupho.archive.proof.log import LEAVES_NAME, ProofLogReader
from khupho.archive.segments.reader import SegmentError, open_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.units import US_PER_MS

MAX_TOLD = 100
"""Findings of a kind told one by one for a segment or an hour."""


class Expected(NamedTuple):
    """A fragment that waits for its leaf."""

    path: str
    offset: int
    hash: bytes
    must_have: bool
    """It is flushed: its leaf is there already."""


class GoneRanges:
    """Times of streams whose footage went with a word in the journal."""

    def __init__(self, numbers: Mapping[tuple[str, str], int]) -> None:
        self._numbers = numbers
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        self._merged: dict[int, tuple[list[int], list[int]]] = {}

    def take(self, lines: Iterable[Line]) -> None:
        """Deletions and losses among some lines."""
        for line in lines:
            entry = line.entry
            if isinstance(entry, SegmentDeleted | FootageLost):
                number = self._numbers.get((entry.camera, entry.stream))
                if number is not None:
                    self._ranges.setdefault(number, []).append(
                        (entry.start_utc_us, entry.end_utc_us)
                    )
        self._merged.clear()

    def add(self, number: int, start_utc_us: int, end_utc_us: int) -> None:
        """Footage of that time is judged elsewhere."""
        self._ranges.setdefault(number, []).append((start_utc_us, end_utc_us))
        self._merged.pop(number, None)

    def has(self, number: int, utc_us: int) -> bool:
        """Whether footage of that moment is gone as it should be."""
        merged = self._merged.get(number)
        if merged is None:
            merged = self._merged[number] = _merge(self._ranges.get(number, ()))
        starts, ends = merged
        index = bisect_right(starts, utc_us) - 1
        return index >= 0 and utc_us <= ends[index]


def _merge(ranges: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    for start_us, end_us in sorted(ranges):
        if ends and start_us <= ends[-1]:
            ends[-1] = max(ends[-1], end_us)
        else:
            starts.append(start_us)
            ends.append(end_us)
    return starts, ends


class LeafCheck:
    """Matches fragments with leaves, window by window. All methods may raise `KhuphoError`."""

    def __init__(self, proof: ProofLogReader, gone: GoneRanges) -> None:
        self._proof = proof
        self._gone = gone
        self._size_at_start = proof.size
        """Leaves that were there before any file was read: each of them had its fragment then."""
        self._expected: dict[tuple[int, int, int], Expected] = {}
        """Stream number, start and offset of fragments."""
        self._told_until_utc_us = -(1 << 63)
        self._damaged: set[int] = set()

    def expect(self, root_fd: int, segment: StoredSegment, number: int, flushed_bytes: int) -> None:
        """A segment's fragments shall have leaves, as far as it is flushed."""
        try:
            file = open_segment(root_fd, segment.relative_path)
        except SegmentError:
            return
        try:
            beginning_sha256 = beginning_hash(file, segment)
            for fragment in segment.fragments:
                header = os.pread(file, fragment.header.header_size, fragment.offset)
                end = fragment.offset + fragment.header.size_bytes
                self._expected[number, fragment.start_utc_us, fragment.offset] = Expected(
                    segment.relative_path,
                    fragment.offset,
                    entry_hash(
                        fragment_entry(segment.camera, segment.stream, beginning_sha256, header)
                    ),
                    end <= flushed_bytes,
                )
        except OSError:
            return
        finally:
            os.close(file)

    def excuse(self, root_fd: int, path: str, number: int) -> None:
        """A segment that cannot be read whole was told already: its leaves aren't told again."""
        name = parse_segment_path(path)
        if name is not None:
            until_us = next_start_utc_us(root_fd, path) - 1
            self._gone.add(number, name.start_utc_ms * US_PER_MS, until_us)

    def settle(self, until_utc_us: int) -> list[Finding]:
        """Judge all that begins before a moment. Moments ascend; the last one is to be far away."""
        begin_us, self._told_until_utc_us = self._told_until_utc_us, until_utc_us
        findings: list[Finding] = []
        self._proof.refresh()
        unknown = 0
        for found in self._proof.between(begin_us, until_utc_us):
            if isinstance(found, LeafDamagedError):
                if found.index not in self._damaged:
                    self._damaged.add(found.index)
                    at = found.index * RECORD_BYTES
                    findings.append(Finding(11, LEAVES_NAME, at, "a leaf is damaged"))
                continue
            leaf = found.leaf
            key = (leaf.stream, leaf.start_utc_us, leaf.offset)
            expected = self._expected.pop(key, None)
            if expected is None:
                if found.number < self._size_at_start and not self._gone.has(
                    leaf.stream, leaf.start_utc_us
                ):
                    unknown += 1
                    if unknown <= MAX_TOLD:
                        findings.append(_without_fragment(found.number))
            elif expected.hash != leaf.hash:
                what = f"its leaf ({found.number}) has another hash: one of them was changed"
                findings.append(Finding(11, expected.path, expected.offset, what))
        for key in [key for key in self._expected if key[1] < until_utc_us]:
            expected = self._expected.pop(key)
            if expected.must_have:
                what = "the fragment has no leaf in the proof log"
                findings.append(Finding(11, expected.path, expected.offset, what))
        if unknown > MAX_TOLD:
            what = f"{unknown - MAX_TOLD} more leaves have neither fragment nor deletion"
            findings.append(Finding(11, LEAVES_NAME, None, what))
        return findings


def _without_fragment(index: int) -> Finding:
    what = f"leaf {index} has neither a fragment nor a deletion"
    return Finding(11, LEAVES_NAME, index * RECORD_BYTES, what)

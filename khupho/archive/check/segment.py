"""One segment against invariants 1 to 7 and 9."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from khupho.archive.check.findings import Finding
from khupho.archive.place.segment_names import segment_path
from khupho.archive.segments.facts import CLOSING_FACTS_BYTES
from khupho.archive.segments.payload_check import payload_fault
from khupho.archive.segments.reader import (
    SegmentError,
    WalkedSegment,
    counts_of,
    end_of,
    fragments_from,
    open_segment,
    random_access_of,
    reader_of,
    walk_file,
)
from khupho.errors import Fault
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import mfra_box, parse_fragment

_PROBE_BYTES = 1 << 20


class CheckedSegment(NamedTuple):
    """What was read of a segment, and what is wrong with it."""

    walked: WalkedSegment | None
    """None where its beginning cannot be read."""
    findings: list[Finding]
    is_gone: bool = False
    """There is no such file (any more)."""


def check_segment(
    root_fd: int,
    path: str,
    archive_id: bytes,
    *,
    may_be_open: bool,
    torn_from: int | None = None,
    looked_at: Callable[[int], None] | None = None,
) -> CheckedSegment:
    """Judge one segment.

    One that `may_be_open` needs no end, and its last bytes may be half a fragment. After an unclean end
    what lies behind byte `torn_from` was never flushed, and the next start will cut what is torn. With
    `looked_at` payloads are read too (deep), and it is told their bytes; it may raise to cancel.
    """
    try:
        file = open_segment(root_fd, path)
    except SegmentError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return CheckedSegment(None, [], is_gone=True)
        return CheckedSegment(None, [Finding(3, path, None, error.what)])
    try:
        try:
            walked = walk_file(file, path)
        except SegmentError as error:
            return CheckedSegment(None, _unreadable(file, path, error, may_be_open))
        findings = [*_identity(walked, path, archive_id), *_times(walked, path)]
        if walked.fault is not None and may_be_open and walked.closing is None:
            is_unfinished = walked.fault.truncated
            if torn_from is not None and walked.good_bytes >= torn_from:
                is_unfinished = True
            if not is_unfinished:
                findings.append(_broken_box(file, walked, path))
        elif walked.fault is not None and not (may_be_open and walked.fault.truncated):
            findings.append(_broken_box(file, walked, path))
        elif walked.fault is None and not (may_be_open and not walked.is_closed):
            findings += _end(file, walked, path)
        if looked_at is not None:
            payloads = _payloads(file, walked, path, looked_at)
            findings += [
                one
                for one in payloads
                if not may_be_open or torn_from is None or (one.offset or 0) < torn_from
            ]
        return CheckedSegment(walked, findings)
    finally:
        os.close(file)


def _unreadable(file: int, path: str, error: SegmentError, may_be_open: bool) -> list[Finding]:
    cause = error.__cause__
    if error.fault is Fault.DISK or not isinstance(cause, BoxError):
        return [Finding(3, path, None, error.what)]
    if may_be_open and (cause.truncated or not any(os.pread(file, _PROBE_BYTES, 0))):
        return []  # stopped as it began
    return [Finding(3, path, cause.offset, cause.what)]


def _identity(walked: WalkedSegment, path: str, archive_id: bytes) -> list[Finding]:
    facts, at = walked.facts, walked.init.size_bytes
    findings = []
    if facts.archive_id != archive_id:
        what = f"it belongs to the archive {facts.archive_id.hex()}, not to {archive_id.hex()}"
        findings.append(Finding(1, path, at, what))
    named = segment_path(facts.camera, facts.stream, facts.start_utc_us)
    if named != path:
        findings.append(Finding(2, path, at, f"its facts say that it is {named}"))
    return findings


def _broken_box(file: int, walked: WalkedSegment, path: str) -> Finding:
    """What breaks a segment's row of boxes: a box (3), the facts of a fragment (4) or its end (9)."""
    fault = walked.fault
    assert fault is not None
    if walked.closing is not None:
        is_behind = walked.random_access is not None
        return Finding(3 if is_behind else 9, path, fault.offset, fault.what)
    invariant = 3
    read_at = reader_of(file)
    try:
        size = walked.size_bytes
        head = read_at(walked.good_bytes, min(_PROBE_BYTES, size - walked.good_bytes))
        header = parse_fragment(head, walked.good_bytes, size)
        invariant = 4
        # Whole and in harmony with itself, but not the fragment that should come here.
        next(fragments_from(read_at, walked.good_bytes, size, header.sequence), None)
        invariant = 3
    except (BoxError, OSError):
        pass
    return Finding(invariant, path, fault.offset, fault.what)


def _times(walked: WalkedSegment, path: str) -> list[Finding]:
    findings = []
    fragments = walked.segment.fragments
    end: int | None = None
    for fragment in fragments:
        header = fragment.header
        begin = header.base_decode_time_90k
        if end is not None and begin < end:
            what = f"decode time goes back by {end - begin} ticks"
            findings.append(Finding(5, path, fragment.offset, what))
        elif end is not None and begin > end and not fragment.lost_packets:
            what = f"decode time leaps by {begin - end} ticks, and no packet was lost"
            findings.append(Finding(5, path, fragment.offset, what))
        end = header.end_decode_time_90k
    return findings


def _end(file: int, walked: WalkedSegment, path: str) -> list[Finding]:
    segment, closing = walked.segment, walked.closing
    if closing is None or walked.random_access is None:
        return [
            Finding(9, path, walked.size_bytes, "it has no end: the recorder was stopped in it")
        ]
    findings = []
    told = (
        closing.fragments, closing.frames, closing.key_frames, closing.lost_packets,
        closing.payload_bytes,
    )  # fmt: skip
    there = counts_of(segment.fragments)
    if told != there:
        names = ("fragments", "frames", "key frames", "lost packets", "bytes")
        wrong = [
            f"{one} {name}, not {other}"
            for name, one, other in zip(names, told, there, strict=True)
            if one != other
        ]
        what = "its closing facts tell " + "; ".join(wrong)
        findings.append(Finding(9, path, walked.good_bytes, what))
    end_utc_us = end_of(segment.fragments, segment.start_utc_us, segment.timescale)
    if closing.end_utc_us != end_utc_us:
        what = f"its closing facts tell an end {closing.end_utc_us - end_utc_us} µs off"
        findings.append(Finding(9, path, walked.good_bytes, what))
    at = walked.good_bytes + CLOSING_FACTS_BYTES
    mfra = mfra_box(random_access_of(segment.fragments))
    if reader_of(file)(at, walked.size_bytes - at) != mfra:
        findings.append(Finding(9, path, at, "its mfra isn't the list of its key fragments"))
    return findings


def _payloads(
    file: int, walked: WalkedSegment, path: str, looked_at: Callable[[int], None]
) -> list[Finding]:
    read_at = reader_of(file)
    findings = []
    for fragment in walked.segment.fragments:
        try:
            fault = payload_fault(read_at, fragment, walked.segment.format)
        except OSError as error:
            what = f"the disk doesn't give the bytes back: {error.strerror}"
            findings.append(Finding(7, path, fragment.offset, what))
        else:
            if fault is not None:
                findings.append(Finding(fault.invariant, path, fragment.offset, fault.what))
        looked_at(fragment.header.data_size)
    return findings

"""A segment that was left without its end: cut after its last whole fragment, and closed.

Every step may be cut off by another kill; the next recovery then does the same again. What an orderly
close had begun keeps its cause.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from khupho.archive.events import CloseCause
from khupho.archive.segments.facts import ClosingFacts
from khupho.archive.segments.file import segment_end
from khupho.archive.segments.payload_check import payload_fault
from khupho.archive.segments.reader import (
    Root,
    SegmentError,
    WalkedSegment,
    counts_of,
    end_of,
    open_segment,
    random_access_of,
    reader_of,
    walk_file,
)
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.errors import Fault
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import MAX_INIT_BYTES


class SegmentRemovedError(SegmentError):
    """The file had not one whole fragment, and was removed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A segment that is whole and closed now."""

    segment: StoredSegment
    size_bytes: int
    """Of the file."""
    was_open: bool
    """Its end was missing; False where nothing was to be done."""
    cut_bytes: int
    """Of a torn end, taken away."""
    cut_fragments: int
    """Among them, fragments that looked whole and whose bytes were not (after a power cut)."""


def recover_segment(
    root: Root,
    relative_path: str,
    verify_from: int | None = None,
    *,
    cause: CloseCause = CloseCause.RECOVERED,
) -> Recovered:
    """Make a segment whole, whatever moment its writer was stopped at.

    `verify_from` is the offset from which the bytes themselves must be looked at, since the machine may
    have stopped before they were on the disk; None after a mere kill. A segment that has its end is
    looked at too then. Raises `SegmentRemovedError` where there was not one whole fragment, and
    `SegmentError` where its beginning or the disk cannot be read or written.
    """
    file = open_segment(root, relative_path, os.O_RDWR | os.O_APPEND)
    try:
        try:
            walked = walk_file(file, relative_path)
        except SegmentError as error:
            if _is_stillborn(file, error):
                _remove(root, relative_path, error)
            raise
        fragments = walked.segment.fragments
        whole = fragments
        if verify_from is not None:
            whole = _believed(file, walked, verify_from)
        if not whole:
            _remove(root, relative_path, walked.fault)
        if len(whole) == len(fragments) and walked.is_closed:
            return Recovered(walked.segment, walked.size_bytes, False, 0, 0)
        return _close(file, walked, whole, cause)
    except OSError as error:
        raise SegmentError(
            f"A segment cannot be made whole: {error.strerror}",
            where=relative_path,
            advice="Look at the disk: df -h, dmesg, smartctl -a; it is tried again at the next start",
            fault=Fault.DISK,
        ) from error
    finally:
        os.close(file)


def _believed(file: int, walked: WalkedSegment, verify_from: int) -> Sequence[StoredFragment]:
    """The fragments up to the first one whose bytes are not whole."""
    read_at = reader_of(file)
    fragments = walked.segment.fragments
    for index, fragment in enumerate(fragments):
        end = fragment.offset + fragment.header.size_bytes
        if end > verify_from and payload_fault(read_at, fragment, walked.segment.format):
            return fragments[:index]
    return fragments


def _close(
    file: int, walked: WalkedSegment, whole: Sequence[StoredFragment], cause: CloseCause
) -> Recovered:
    segment = walked.segment
    is_all = len(whole) == len(segment.fragments)
    good_bytes = whole[-1].offset + whole[-1].header.size_bytes
    if is_all and walked.closing is not None:
        cause = walked.closing.cause
    end_utc_us = end_of(whole, segment.start_utc_us, segment.timescale)
    fragments, frames, key_frames, lost_packets, payload_bytes = counts_of(whole)
    facts = ClosingFacts(
        cause, end_utc_us, fragments, frames, key_frames, lost_packets, payload_bytes
    )
    tail = segment_end(facts, random_access_of(whole))
    os.ftruncate(file, good_bytes)
    rest = memoryview(tail)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)
    return Recovered(
        replace(segment, end_utc_us=end_utc_us, cause=cause, fragments=whole),
        good_bytes + len(tail),
        True,
        walked.size_bytes - good_bytes,
        len(segment.fragments) - len(whole),
    )


def _is_stillborn(file: int, error: SegmentError) -> bool:
    """Whether the file's beginning was never written, as far as it can be told from here.

    A beginning that is there and cannot be read is damage, or another version's, and stays.
    """
    size = os.fstat(file).st_size
    if size > MAX_INIT_BYTES:
        return False
    cause = error.__cause__
    return (isinstance(cause, BoxError) and cause.truncated) or not any(os.pread(file, size, 0))


def _remove(root: Root, relative_path: str, why: Exception | None) -> NoReturn:
    """Remove a file that holds no footage. Always raises `SegmentRemovedError`."""
    if isinstance(root, int):
        os.unlink(relative_path, dir_fd=root)
    else:
        (root / relative_path).unlink()
    raise SegmentRemovedError(
        "A segment had not one whole fragment, and was removed",
        where=relative_path,
        advice="Nothing is to be done: the recorder was stopped just as the segment began",
    ) from why

"""A segment read back from its file: headers only, one read a fragment, tolerant to an unfinished end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from khupho.archive.segments.facts import (
    CLOSING_FACTS_BYTES,
    SEGMENT_FACTS_BYTES,
    ClosingFacts,
    SegmentFacts,
    is_closing_facts,
    parse_closing_facts,
    parse_fragment_facts,
    parse_segment_facts,
)
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.errors import Fault, KhuphoError
from khupho.media.boxes import BoxError, ReadAt, box_at
from khupho.media.fmp4 import (
    MAX_INIT_BYTES,
    PRFT_BYTES,
    InitSegment,
    RandomAccess,
    mfra_box,
    parse_fragment,
    parse_init,
    parse_mfra,
)
from khupho.units import US_PER_S, utc_us_to_ntp

Root = int | Path
"""An archive's directory, or a descriptor of it."""

_FIRST_READ_BYTES = 1024
_MAX_HEADER_BYTES = 1 << 20
_MAX_MFRA_BYTES = 32 << 20
_HEAD_READ_BYTES = 4096


class SegmentError(KhuphoError):
    """A segment cannot be read: its beginning is damaged, or the disk gives nothing back."""

    fault = Fault.ARCHIVE


@dataclass(frozen=True, slots=True)
class WalkedSegment:
    """What a walk through a segment's boxes found."""

    segment: StoredSegment
    facts: SegmentFacts
    init: InitSegment
    closing: ClosingFacts | None
    """None where the segment is still being written, or its end was lost."""
    random_access: Sequence[RandomAccess] | None
    """What its `mfra` holds; None where there is none."""
    good_bytes: int
    """Where its last whole fragment ends, or its beginning where it has none."""
    whole_bytes: int
    """Where what reads well ends, closing facts and `mfra` with it."""
    size_bytes: int
    """Of the file, when the walk began."""
    fault: BoxError | None
    """What stands at `whole_bytes`, where that isn't the file's end. `truncated` tells that nothing is
    wrong with it but that it isn't finished: it is being written at this moment, or never was."""

    @property
    def is_closed(self) -> bool:
        """It has all that a segment has at its end, and nothing else."""
        return self.random_access is not None and self.whole_bytes == self.size_bytes


def read_segment(root: Root, relative_path: str) -> StoredSegment:
    """A segment with all its whole fragments. Raises `SegmentError`."""
    return walk_segment(root, relative_path).segment


def walk_segment(root: Root, relative_path: str) -> WalkedSegment:
    """Read the headers of a segment, as far as they go. Raises `SegmentError`."""
    file = open_segment(root, relative_path)
    try:
        return walk_file(file, relative_path)
    finally:
        os.close(file)


def open_segment(root: Root, relative_path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a segment; the caller closes it. Raises `SegmentError`."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if isinstance(root, int):
            return os.open(relative_path, flags, dir_fd=root)
        return os.open(root / relative_path, flags)
    except OSError as error:
        raise _unreadable(error, relative_path) from error


def walk_file(file: int, relative_path: str) -> WalkedSegment:
    """As `walk_segment`, of an open file. Raises `SegmentError`."""
    read_at = reader_of(file)
    try:
        size = os.fstat(file).st_size
        init, facts = read_head(read_at, size)
        return _walk(read_at, size, init, facts, relative_path)
    except BoxError as error:
        raise SegmentError(
            f"A segment's beginning cannot be read: {error.what}",
            where=f"{relative_path}, byte {error.offset}",
            advice="Run khupho archive check; the other segments are not touched by it",
        ) from error
    except OSError as error:
        raise _unreadable(error, relative_path) from error


def read_head(read_at: ReadAt, size: int) -> tuple[InitSegment, SegmentFacts]:
    """What stands before a segment's first fragment. Raises `BoxError`."""
    wanted = _HEAD_READ_BYTES
    while True:
        data = read_at(0, min(wanted, size))
        try:
            init = parse_init(data)
            return init, parse_segment_facts(data, init.size_bytes)
        except BoxError as error:
            if not error.truncated or wanted > MAX_INIT_BYTES or len(data) < wanted:
                raise
        wanted *= 4


def fragments_from(
    read_at: ReadAt, offset: int, size: int, sequence: int = 1
) -> Iterator[StoredFragment]:
    """The whole fragments from byte `offset` of a file of `size` bytes, the first numbered `sequence`.

    Ends before closing facts, or at the file's end. Raises `BoxError` at what is no whole fragment. To go
    on later, begin where the last one ended, with the next number.
    """
    while offset < size:
        data = read_at(offset, min(_FIRST_READ_BYTES, size - offset))
        if is_closing_facts(data):
            return
        fragment = _fragment_at(read_at, data, offset, size)
        if fragment.header.sequence != sequence:
            raise BoxError(f"fragment {sequence} is numbered {fragment.header.sequence}", offset)
        yield fragment
        sequence += 1
        offset += fragment.header.size_bytes


def reader_of(file: int) -> ReadAt:
    """`read_at` of an open file: whole reads, short only at its end."""

    def read_at(offset: int, size: int) -> bytes:
        data = os.pread(file, size, offset)
        while len(data) < size:
            more = os.pread(file, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    return read_at


def random_access_of(fragments: Sequence[StoredFragment]) -> list[RandomAccess]:
    """What the `mfra` of a segment of these fragments says."""
    entries = []
    for fragment in fragments:
        header = fragment.header
        if header.is_key[0]:
            time = header.base_decode_time_90k + (header.ctts[0] if header.ctts else 0)
            # A leading picture that is a key frame may be shown before the line begins.
            entries.append(RandomAccess(max(time, 0), fragment.offset + PRFT_BYTES))
    return entries


def counts_of(
    fragments: Sequence[StoredFragment],
) -> tuple[int, int, int, int, int]:
    """Fragments, frames, key frames, lost packets and payload bytes, as closing facts tell them."""
    return (
        len(fragments),
        sum(len(fragment.header.sizes) for fragment in fragments),
        sum(sum(fragment.header.is_key) for fragment in fragments),
        sum(fragment.lost_packets for fragment in fragments),
        sum(fragment.header.data_size for fragment in fragments),
    )


def end_of(fragments: Sequence[StoredFragment], start_utc_us: int, timescale: int) -> int:
    """When footage ends: as the closing facts tell it."""
    if not fragments:
        return start_utc_us
    last = fragments[-1]
    return last.start_utc_us + last.header.duration_90k * US_PER_S // timescale


def _walk(
    read_at: ReadAt, size: int, init: InitSegment, facts: SegmentFacts, relative_path: str
) -> WalkedSegment:
    begin = init.size_bytes + SEGMENT_FACTS_BYTES
    fragments: list[StoredFragment] = []
    good = whole = begin
    closing: ClosingFacts | None = None
    entries: list[RandomAccess] | None = None
    fault: BoxError | None = None
    try:
        for fragment in fragments_from(read_at, begin, size):
            fragments.append(fragment)
            good = whole = fragment.offset + fragment.header.size_bytes
        if good < size:
            data = read_at(good, min(CLOSING_FACTS_BYTES, size - good))
            closing = parse_closing_facts(data, good)
            whole = good + CLOSING_FACTS_BYTES
            entries, whole = _random_access_at(read_at, whole, size)
            if whole < size:
                raise BoxError("bytes stand after the segment's end", whole)
    except BoxError as error:
        fault = error
    return WalkedSegment(
        StoredSegment(
            relative_path,
            facts.camera,
            facts.stream,
            facts.start_utc_us,
            closing.end_utc_us
            if closing
            else end_of(fragments, facts.start_utc_us, init.timescale),
            init.format,
            init.timescale,
            init.edit_media_time_90k,
            begin,
            closing.cause if closing else None,
            fragments,
        ),
        facts,
        init,
        closing,
        entries,
        good,
        whole,
        size,
        fault,
    )


def _fragment_at(read_at: ReadAt, data: bytes, offset: int, size: int) -> StoredFragment:
    """The fragment whose first bytes are `data`. Raises `BoxError` where it isn't whole or agrees not
    with itself."""
    while True:
        try:
            header = parse_fragment(data, offset, size)
            break
        except BoxError as error:
            if not error.truncated or len(data) in (size - offset, _MAX_HEADER_BYTES):
                raise
        wanted = min(8 * len(data), _MAX_HEADER_BYTES, size - offset)
        longer = read_at(offset, wanted)
        if len(longer) <= len(data):
            raise BoxError("the file became shorter", offset, truncated=True)
        data = longer
    facts = parse_fragment_facts(header, data, offset)
    if sum(header.sizes) != header.data_size:
        raise BoxError("the sizes of the fragment's samples don't fill its data", offset)
    if (
        facts.sequence != header.sequence
        or facts.key_first != header.is_key[0]
        or header.prft_media_time_90k != header.base_decode_time_90k
        or header.ntp_64 != utc_us_to_ntp(facts.start_utc_us)
    ):
        raise BoxError("the fragment's facts are not those of its moof and prft", offset)
    return StoredFragment(
        offset,
        header,
        facts.start_utc_us,
        facts.lost_packets,
        facts.damaged,
        facts.clock_wrong,
        facts.payload_sha256,
    )


def _random_access_at(
    read_at: ReadAt, offset: int, size: int
) -> tuple[list[RandomAccess] | None, int]:
    """What the `mfra` there holds, and where it ends. None where the file ends before it."""
    if offset == size:
        return None, offset
    mfra = box_at(read_at(offset, min(16, size - offset)), offset, size)
    if mfra.type != b"mfra" or mfra.size > _MAX_MFRA_BYTES:
        raise BoxError(f"a box {mfra.type!r} of {mfra.size} bytes, not mfra", offset)
    data = read_at(offset, mfra.size)
    try:
        entries = parse_mfra(data)
    except BoxError as error:
        raise BoxError(error.what, offset + error.offset, truncated=error.truncated) from error
    if data != mfra_box(entries):
        raise BoxError("the mfra is not as it was written", offset)
    return entries, mfra.end


def _unreadable(error: OSError, relative_path: str) -> SegmentError:
    is_missing = isinstance(error, FileNotFoundError)
    return SegmentError(
        "A segment is not there" if is_missing else f"A segment cannot be read: {error.strerror}",
        where=relative_path,
        advice="It may just have been deleted for its age"
        if is_missing
        else "Look at the disk: dmesg, smartctl -a",
        fault=Fault.ARCHIVE if is_missing else Fault.DISK,
    )

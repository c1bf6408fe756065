"""One file of a clip, written: progressive, or whole fragments as they lie."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from khupho.archive.clips.cut import SegmentCut, data_ranges
from khupho.archive.clips.files import ExportError, PartialFile, check_room, chunks_of
from khupho.archive.clips.plan import plan_progressive
from khupho.archive.clips.report import Blemishes
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.media.boxes import BoxError
from khupho.units import US_PER_S

MAX_PROVABLE_FRAGMENTS = 20_000
"""Headers of so many are kept for the proof: some three hours in one file."""

Copied = Callable[[int], None]
"""`copied(bytes)` after each chunk; may raise to cancel."""


class ClipSource(Protocol):
    """The archive as an export sees it. All methods raise `KhuphoError`."""

    @property
    def archive_id(self) -> str: ...

    def segments(
        self, camera: str, stream: str, start_utc_us: int, end_utc_us: int
    ) -> Sequence[str]:
        """Relative paths of the segments that may hold footage of that time, oldest first."""
        ...

    def read(self, relative_path: str) -> StoredSegment:
        """A segment with its fragments."""
        ...

    def open(self, relative_path: str) -> int:
        """A descriptor to read the segment's bytes with; the caller closes it."""
        ...


class CopiedFragment(NamedTuple):
    """Where a fragment's payload lies in the clip's file."""

    offset: int
    size_bytes: int
    start_utc_us: int
    payload_sha256: bytes
    """As recorded. Of the whole payload, also where the clip took only a part."""
    is_whole: bool
    header: bytes
    """From `prft` to the end of the `mdat` box header; empty past `MAX_PROVABLE_FRAGMENTS`."""
    segment: int
    """Index of its segment among the part's cuts."""
    beginning_sha256: bytes
    """Of all before the first fragment of its segment."""

    def fields(self) -> dict[str, object]:
        made: dict[str, object] = {
            "segment": self.segment,
            "offset": self.offset,
            "size": self.size_bytes,
            "sha256": self.payload_sha256.hex(),
        }
        if not self.is_whole:
            made["part_only"] = True
        if self.header:
            made["header"] = base64.b64encode(self.header).decode()
        return made


@dataclass(slots=True)
class WrittenPart:
    """What one file holds."""

    file: PartialFile
    start_utc_us: int
    end_utc_us: int
    frames: int
    cuts: Sequence[SegmentCut]
    blemishes: Blemishes
    fragments: list[CopiedFragment] = field(default_factory=list)
    beginnings: list[bytes] = field(default_factory=list)
    """Of the cuts' segments: all before the first fragment."""


def write_progressive(
    source: ClipSource, cuts: Sequence[SegmentCut], file: PartialFile, copied: Copied
) -> WrittenPart:
    """`ftyp moov mdat`, the cuts behind each other at their true times."""
    blemishes = Blemishes()
    try:
        plan = plan_progressive(cuts, source.read, blemishes.take)
    except BoxError as error:
        raise ExportError(
            f"So long a clip doesn't fit one file: {error.what}",
            where=str(file.path),
            advice="Choose a shorter time, or leave out --joined",
        ) from error
    check_room(file.path.parent, plan.header.size_bytes)
    file.append(plan.header.header)
    line = plan.line
    part = WrittenPart(file, line.start_utc_us, line.end_utc_us, plan.frames, cuts, blemishes)
    for number, cut in enumerate(cuts):
        with _Opened(source, cut) as (segment, handle):
            beginning = b"".join(chunks_of(handle, 0, segment.init_size, cut.relative_path))
            beginning_sha256 = hashlib.sha256(beginning).digest()
            part.beginnings.append(beginning)
            for chosen in data_ranges(segment, cut):
                offset = file.size_bytes
                digest = hashlib.sha256()
                for chunk in chunks_of(
                    handle, chosen.offset, chosen.size_bytes, segment.relative_path
                ):
                    digest.update(chunk)
                    file.append(chunk)
                    copied(len(chunk))
                fragment = chosen.fragment
                if chosen.is_whole and digest.digest() != fragment.payload_sha256:
                    blemishes.bad_hashes.append((segment.relative_path, fragment.offset))
                header = _header(handle, segment, fragment, len(part.fragments))
                part.fragments.append(
                    CopiedFragment(
                        offset,
                        chosen.size_bytes,
                        fragment.start_utc_us,
                        fragment.payload_sha256,
                        chosen.is_whole,
                        header,
                        number,
                        beginning_sha256,
                    )
                )
    return part


def write_fragments(
    source: ClipSource, cut: SegmentCut, file: PartialFile, copied: Copied
) -> WrittenPart:
    """One segment's beginning and its whole fragments, byte for byte as they were recorded."""
    blemishes = Blemishes()
    part = WrittenPart(file, cut.start_utc_us, cut.end_utc_us, 0, [cut], blemishes)
    with _Opened(source, cut) as (segment, handle):
        blemishes.take(segment, cut)
        where = segment.relative_path
        chosen = segment.fragments[cut.first_fragment : cut.stop_fragment]
        check_room(
            file.path.parent, segment.init_size + sum(one.header.size_bytes for one in chosen)
        )
        beginning = b"".join(chunks_of(handle, 0, segment.init_size, where))
        beginning_sha256 = hashlib.sha256(beginning).digest()
        part.beginnings.append(beginning)
        file.append(beginning)
        for fragment in chosen:
            size_bytes = fragment.header.data_size
            data_at = fragment.offset + fragment.header.data_offset
            header = b"".join(
                chunks_of(handle, fragment.offset, fragment.header.header_size, where)
            )
            file.append(header)
            offset = file.size_bytes
            digest = hashlib.sha256()
            for chunk in chunks_of(handle, data_at, size_bytes, where):
                digest.update(chunk)
                file.append(chunk)
                copied(len(chunk))
            if digest.digest() != fragment.payload_sha256:
                blemishes.bad_hashes.append((where, fragment.offset))
            part.fragments.append(
                CopiedFragment(
                    offset,
                    size_bytes,
                    fragment.start_utc_us,
                    fragment.payload_sha256,
                    True,
                    header if len(part.fragments) < MAX_PROVABLE_FRAGMENTS else b"",
                    0,
                    beginning_sha256,
                )
            )
            part.frames += len(fragment.header.sizes)
        first, last = chosen[0], chosen[-1]
        part.start_utc_us = first.start_utc_us
        length_us = last.header.duration_90k * US_PER_S // segment.timescale
        part.end_utc_us = last.start_utc_us + length_us
    return part


class _Opened:
    """A segment read anew and open, for a `with` block."""

    def __init__(self, source: ClipSource, cut: SegmentCut) -> None:
        self._source = source
        self._path = cut.relative_path
        self._handle = -1

    def __enter__(self) -> tuple[StoredSegment, int]:
        segment = self._source.read(self._path)
        self._handle = self._source.open(self._path)
        return segment, self._handle

    def __exit__(self, *_error: object) -> None:
        os.close(self._handle)


def _header(handle: int, segment: StoredSegment, fragment: StoredFragment, count: int) -> bytes:
    if count >= MAX_PROVABLE_FRAGMENTS:
        return b""
    size = fragment.header.header_size
    return b"".join(chunks_of(handle, fragment.offset, size, segment.relative_path))

"""A clip as a file that is nowhere: its index is made in memory, its footage is read where it lies.

It is byte for byte the file that `khupho archive export --joined` writes, so its size is known before its
first byte leaves, and any part of it can be had again later.
"""

from __future__ import annotations

import hashlib
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from struct import Struct

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.clips.cut import SegmentCut, data_ranges, runs_of
from khupho.archive.clips.files import Progress
from khupho.archive.clips.plan import ProgressivePlan, cut_segments, plan_progressive
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.errors import Fault, KhuphoError
from khupho.media.boxes import BoxError
from khupho.recorder.viewing.segment_files import FootageGoneError, SegmentFiles
from khupho.units import US_PER_DAY, US_PER_S, format_utc

__all__ = ["ClipError", "ClipFile", "FootageGoneError", "NoFootageError", "open_clip"]

MOST_CLIP_US = US_PER_DAY
"""Some 20 MB of index."""
CHUNK_BYTES = 256 * 1024
_MOST_KEPT = 12
"""Segments whose headers are kept while the clip is planned, so that they are read once: two hours."""
_RANGE = Struct(">32sQQ")


class ClipError(KhuphoError):
    """A clip cannot be made as asked."""

    fault = Fault.USER


class NoFootageError(ClipError):
    """Nothing was recorded in that time, or it was deleted."""


class _Ranges:
    """Where the clip's footage lies: one range a fragment, in the order of the clip."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.first_ranges = array("Q")
        """Of each path: the index of its first range."""
        self.begins = array("Q", [0])
        """Of each range: where it begins, counted from the first byte of footage; then where the last one
        ends."""
        self.offsets = array("Q")
        """Of each range: where it lies in its segment."""
        self.digest = hashlib.sha256()
        """Of what the recorded hashes say of all ranges."""

    def take(self, segment: StoredSegment, cut: SegmentCut) -> None:
        """Add what a cut takes of a segment."""
        self.paths.append(segment.relative_path)
        self.first_ranges.append(len(self.offsets))
        end = self.begins[-1]
        for fragment, offset, size_bytes, _ in data_ranges(segment, cut):
            end += size_bytes
            self.offsets.append(offset)
            self.begins.append(end)
            self.digest.update(_RANGE.pack(fragment.payload_sha256, offset, size_bytes))

    def pieces(self, position: int, size_bytes: int) -> Iterator[tuple[str, int, int]]:
        """Segment, offset and size of what lies from `position` of the footage on."""
        index = bisect_right(self.begins, position) - 1
        while size_bytes > 0 and index < len(self.offsets):
            into = position - self.begins[index]
            taken = min(size_bytes, self.begins[index + 1] - position)
            path = self.paths[bisect_right(self.first_ranges, index) - 1]
            yield path, self.offsets[index] + into, taken
            position += taken
            size_bytes -= taken
            index += 1


class ClipFile:
    """A clip that was opened, to be closed. `read` and `close` may be called from different threads."""

    def __init__(
        self, name: str, plan: ProgressivePlan, ranges: _Ranges, files: SegmentFiles
    ) -> None:
        self.name = name
        """A name for the file: camera, and when the clip begins on this machine's clocks."""
        self.start_utc_us = plan.line.start_utc_us
        """When the first shown picture was taken."""
        self.end_utc_us = plan.line.end_utc_us
        """When the last shown picture ends."""
        self.frames = plan.frames
        """Shown ones; a player decodes a few more before the first."""
        self.size_bytes = plan.header.size_bytes
        self._header = plan.header.header
        digest = ranges.digest.copy()
        digest.update(self._header)
        self.etag = f'"{digest.hexdigest()[:40]}"'
        """A strong entity tag (RFC 9110 section 8.8.3), with its quotes: of the index and of the hashes that
        the footage was recorded with. Another opening of the same clip has the same."""
        self._ranges = ranges
        self._files = files
        self._turn = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> ClipFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def read(self, offset: int, size_bytes: int) -> bytes:
        """So many bytes from `offset` on; fewer only at the end of the clip, none after it.

        Raises `FootageGoneError` where the footage was deleted or cut meanwhile, `SegmentError` for the
        disk's faults, `ClipError` where the clip is closed, `ValueError` for what is before the file.
        """
        if offset < 0 or size_bytes < 0:
            raise ValueError(f"{size_bytes} bytes at {offset}")
        try:
            with self._turn:
                return self._read(offset, size_bytes)
        finally:
            if self._is_closed:
                self._close_files()

    def _read(self, offset: int, size_bytes: int) -> bytes:
        if self._is_closed:
            raise ClipError("The clip is closed", fault=Fault.KHUPHO)
        pieces = []
        footage_at = len(self._header)
        if offset < footage_at:
            pieces.append(self._header[offset : offset + size_bytes])
            size_bytes -= len(pieces[0])
            offset = footage_at
        for path, at, taken in self._ranges.pieces(offset - footage_at, size_bytes):
            pieces.append(self._files.read(path, at, taken))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def chunks(
        self, offset: int, size_bytes: int, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[bytes]:
        """The same bytes in pieces of `chunk_bytes`, the last one shorter. Raises as `read` does."""
        end = min(offset + size_bytes, self.size_bytes)
        while offset < end:
            data = self.read(offset, min(chunk_bytes, end - offset))
            yield data
            offset += len(data)

    def close(self) -> None:
        """Let the segments go, after the read that is under way; waits for nothing. May be called again."""
        self._is_closed = True
        self._close_files()

    def _close_files(self) -> None:
        # Whoever has the turn closes them once he has read.
        if self._turn.acquire(blocking=False):
            try:
                self._files.close()
            finally:
                self._turn.release()


def open_clip(
    reader: ArchiveReader,
    camera: str,
    stream: str,
    start_utc_us: int,
    end_utc_us: int,
    *,
    progress: Progress = lambda _done, _total: None,
) -> ClipFile:
    """The clip of one stream between two moments, ready to be read; the caller closes it.

    It begins with the picture that stands at the start. In a gap its last picture stands until footage goes
    on. `progress(done, segments)` is called as segments are read, each of them once or twice; what it raises
    ends the planning. The reader may be closed afterwards.

    Raises `NoFootageError`; `ClipError` for a time of no or of too great length, or in which the format
    changed; `FootageGoneError` and `SegmentError` where footage cannot be read.
    """
    where = f"{camera}/{stream}, {format_utc(start_utc_us)} to {format_utc(end_utc_us)}"
    if not 0 < end_utc_us - start_utc_us <= MOST_CLIP_US:
        raise ClipError("A clip must end after it begins, within a day", where=where)
    files = SegmentFiles(reader)
    try:
        paths = files.that_exist(reader.segments(camera, stream, start_utc_us, end_utc_us))
        read = _Reading(files, progress, len(paths))
        cuts = [cut for _, cut in cut_segments(paths, read, start_utc_us, end_utc_us)]
        if not cuts:
            raise NoFootageError(
                "There is no footage of that time",
                where=where,
                advice="See on the timeline what there is",
            )
        cuts.sort(key=lambda cut: cut.start_utc_us)
        _check_one_format(cuts, where)
        ranges = _Ranges()
        plan = plan_progressive(cuts, read, ranges.take)
    except BoxError as error:
        files.close()
        raise ClipError(
            f"So long a gap doesn't fit a clip: {error.what}",
            where=where,
            advice="Take the footage before and after the gap as two clips",
        ) from error
    except BaseException:
        files.close()
        raise
    return ClipFile(_name_of(camera, stream, plan.line.start_utc_us), plan, ranges, files)


class _Reading:
    """Reads segments while a clip is planned, the first few of them once."""

    def __init__(self, files: SegmentFiles, progress: Progress, segments: int) -> None:
        self._files = files
        self._progress = progress
        self._segments = segments
        self._done = 0
        self._kept: dict[str, StoredSegment] = {}

    def __call__(self, relative_path: str) -> StoredSegment:
        # The second reading of one that is being written may find more; what was cut stays the same.
        segment = self._kept.get(relative_path)
        if segment is None:
            segment = self._files.segment(relative_path)
            if len(self._kept) < _MOST_KEPT:
                self._kept[relative_path] = segment
        self._done = min(self._done + 1, self._segments)
        self._progress(self._done, self._segments)
        return segment


def _check_one_format(cuts: Sequence[SegmentCut], where: str) -> None:
    groups = runs_of(cuts, joined=True)
    if len(groups) > 1:
        moment = format_utc(groups[1][0].start_utc_us)
        raise ClipError(
            f"The camera changed its format at {moment}; one clip has one format",
            where=where,
            advice=f"Take two clips: up to {moment}, and from then on",
        )


def _name_of(camera: str, stream: str, start_utc_us: int) -> str:
    """As `khupho archive export` names it, in the machine's time zone."""
    moment = datetime.fromtimestamp(start_utc_us // US_PER_S, UTC).astimezone()
    middle = "" if stream == "main" else f"-{stream}"
    return f"{camera}{middle}-{moment.strftime('%Y-%m-%d_%H%M%S')}.mp4"

"""The newest key frame of a stream as it lies on the disk: what can be shown is what was recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from khupho.errors import KhuphoError
from khupho.media.boxes import BoxError, box_at
from khupho.media.formats import VideoFormat
from khupho.media.fragment_reader import FragmentHeader, read_fragment
from khupho.media.init_segment import MAX_INIT_BYTES, InitSegment, parse_init
from khupho.units import MEDIA_CLOCK_HZ, US_PER_S, ntp_to_utc_us

MAX_PICTURE_BYTES = 16 << 20
_MOST_FILES = 8
"""Segments looked into from the newest on: a camera that never sends a key frame leaves many."""
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A coded picture with all that decoding it takes."""

    format: VideoFormat
    taken_utc_us: int
    data: bytes
    """NAL units, each behind its length in 4 bytes."""

    def annex_b(self) -> bytes:
        """As decoders like it: parameter sets first, start codes instead of lengths."""
        parts = list(self.format.parameter_sets)
        at, data = 0, self.data
        while at + 4 <= len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at + 4 : end])
            at = end
        return b"".join(b"\0\0\0\1" + part for part in parts)


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a key frame lies in its segment."""

    taken_utc_us: int
    offset: int
    size_bytes: int


@dataclass(slots=True)
class _Walk:
    """How far a segment was read."""

    path: Path
    init: InitSegment
    format: VideoFormat
    offset: int
    key: KeyPlace | None = None
    """Where its last key frame lies."""


class NewestPictures:
    """Finds newest key frames; remembers how far each stream's newest segment was read.

    Reads headers only, and of each fragment once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._walks: dict[tuple[str, str], _Walk] = {}

    def find(self, camera: str, stream: str = "main") -> KeyFrame | None:
        """The newest key frame; None if there is none. Raises `OSError` for the disk's faults."""
        for path in _newest_files(self._root / camera / stream)[:_MOST_FILES]:
            walk = self._walks.get((camera, stream))
            try:
                with path.open("rb", buffering=0) as file:
                    if walk is None or walk.path != path:
                        walk = _begin(path, file.fileno())
                    if walk is None:
                        continue
                    _walk_on(walk, file.fileno())
                    frame = _read(walk, file.fileno())
            except (FileNotFoundError, KhuphoError):
                continue  # deleted meanwhile, or damaged: an older one may do
            if frame is not None:
                if len(self._walks) > _MOST_REMEMBERED:
                    self._walks.clear()
                self._walks[camera, stream] = walk
                return frame
        return None


def _newest_files(directory: Path) -> list[Path]:
    """Segments, newest first; names are times, so their order is time's."""
    try:
        days = sorted((entry for entry in directory.iterdir() if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return []
    files: list[Path] = []
    for day in days:
        files += sorted((path for path in day.iterdir() if path.suffix == ".mp4"), reverse=True)
        if len(files) >= _MOST_FILES:
            break
    return files


def _begin(path: Path, handle: int) -> _Walk | None:
    init = parse_init(os.pread(handle, MAX_INIT_BYTES, 0))
    if not isinstance(init.format, VideoFormat):
        return None
    return _Walk(path, init, init.format, init.size_bytes)


def _walk_on(walk: _Walk, handle: int) -> None:
    """Read the headers that have been written since."""
    for offset, header in headers_from(handle, walk.offset):
        for place in keys_in(walk.init, offset, header):
            walk.key = place
        walk.offset = offset + header.size_bytes


def _read(walk: _Walk, handle: int) -> KeyFrame | None:
    if walk.key is None:
        return None
    data = read_picture(handle, walk.key)
    return KeyFrame(walk.format, walk.key.taken_utc_us, data) if data is not None else None


def headers_from(handle: int, offset: int) -> Iterator[tuple[int, FragmentHeader]]:
    """The whole fragments from a byte of an open segment on, each with its offset.

    `offset` is where `ftyp moov` end, or where a fragment begins. Boxes of the archive's own are passed
    over. Ends where the segment does, as far as it is written and not damaged. Raises `OSError`.
    """
    end = os.fstat(handle).st_size
    while offset < end:
        try:
            found = box_at(os.pread(handle, 16, offset), offset, end)
            if found.type != b"prft":
                if found.type not in (b"uuid", b"mfra"):
                    return
                offset = found.end
                continue
            header = read_fragment(lambda at, size: os.pread(handle, size, at), offset, end)
        except BoxError:
            return  # its rest is being written, or it was cut off there
        yield offset, header
        offset += header.size_bytes


def keys_in(init: InitSegment, offset: int, header: FragmentHeader) -> Iterator[KeyPlace]:
    """The key frames of the fragment at `offset`, in decoding order."""
    for index, is_key in enumerate(header.is_key):
        if is_key:
            shift = header.ctts[index] - init.edit_media_time_90k if header.ctts else 0
            time = header.base_decode_time_90k + sum(header.durations[:index]) + shift
            at = offset + header.data_offset + sum(header.sizes[:index])
            yield KeyPlace(utc_us_of(init, header, time), at, header.sizes[index])


def utc_us_of(init: InitSegment, header: FragmentHeader, time: int) -> int:
    """The moment of a media time on the presentation's line, as the fragment's `prft` tells."""
    ticks = time - header.prft_media_time_90k
    return ntp_to_utc_us(header.ntp_64) + ticks * US_PER_S // (init.timescale or MEDIA_CLOCK_HZ)


def read_picture(handle: int, place: KeyPlace) -> bytes | None:
    """A key frame's bytes; None where they are too many to be a picture, or not all there. Raises
    `OSError`."""
    if place.size_bytes > MAX_PICTURE_BYTES:
        return None
    data = os.pread(handle, place.size_bytes, place.offset)
    return data if len(data) == place.size_bytes else None

"""Whether a player shows a clip's pictures in the places and at the times that their fragments tell.

The index of a progressive clip (`moov`) is made at export and signed by nobody. Its pictures are read here
with another program's parser (libav), and held against the headers that the proof covers; its format and
shown size against the segment's beginning, which the proof covers too.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av

from khupho.archive.place.append_file import read_at
from khupho.media.boxes import Box, BoxError, ReadAt, boxes_of_file
from khupho.media.fmp4 import FragmentHeader
from khupho.units import US_PER_MS, US_PER_S

TOLERANCE_US = 250 * US_PER_MS
"""Between the clip's own time and the fragments': anchors follow the recorder's clock slowly."""
_MAX_ENTRIES_BYTES = 1 << 20
_SHOWN_BYTES = 48


class PlacedFragment(NamedTuple):
    """A fragment's payload in a clip."""

    offset: int
    size_bytes: int
    start_utc_us: int
    header: FragmentHeader
    is_whole: bool


class _Picture(NamedTuple):
    size_bytes: int
    pts: int


def order_problems(clip: Path, fragments: Sequence[PlacedFragment], clock_hz: int) -> list[str]:
    """What is wrong with a progressive clip's index, in plain words. `fragments` in the file's order,
    `clock_hz` the ticks a second of their headers. An index that lets libav stumble is told too."""
    try:
        pictures, timescale = _read(clip)
    except (av.FFmpegError, ValueError, OSError) as error:
        return [f"The clip's index cannot be read: {error}"]
    if timescale != clock_hz:
        return [f"The clip's index counts {timescale} ticks a second, its fragments {clock_hz}"]
    places = sorted(pictures)
    inside = worst_us = 0
    begun_us: int | None = None
    for number, fragment in enumerate(fragments):
        end = fragment.offset + fragment.size_bytes
        inside += bisect_left(places, end) - bisect_left(places, fragment.offset)
        if not fragment.is_whole or not fragment.header.sizes:
            continue
        shown = _begins(fragment, pictures)
        if shown is None:
            return [f"The clip's index doesn't show fragment {number} as it was recorded"]
        begins_us = shown * US_PER_S // timescale - fragment.start_utc_us
        begun_us = begins_us if begun_us is None else begun_us
        worst_us = max(worst_us, abs(begins_us - begun_us))
    problems = []
    if inside != len(places):
        problems.append(f"{len(places) - inside} pictures of the clip are in none of its fragments")
    if worst_us > TOLERANCE_US:
        problems.append(
            f"The clip's time departs from the recorded time by {worst_us / US_PER_S:.2f} s"
        )
    return problems


def format_problems(file: int, beginning: bytes) -> list[str]:
    """What a progressive clip's index says otherwise than a segment's `ftyp moov`: the format, how large and
    how turned it is shown. Raises `BoxError` where either cannot be read, `OSError`."""

    def read(offset: int, size: int) -> bytes:
        return read_at(file, offset, size)

    def recorded(offset: int, size: int) -> bytes:
        return beginning[offset : offset + size]

    size = os.fstat(file).st_size
    problems = []
    if _sample_entries(read, size) != _sample_entries(recorded, len(beginning)):
        problems.append("The clip's index tells another format than the recorder's")
    if _shown(read, size) != _shown(recorded, len(beginning)):
        problems.append("The clip's index shows pictures in another size or turned")
    return problems


def _sample_entries(read: ReadAt, size: int) -> bytes:
    entries = _box(read, size, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    return read(entries.payload, min(entries.end - entries.payload, _MAX_ENTRIES_BYTES))


def _shown(read: ReadAt, size: int) -> bytes:
    """Volume, matrix, width and height (ISO/IEC 14496-12 section 8.3.2)."""
    header = _box(read, size, b"moov", b"trak", b"tkhd")
    return read(max(header.end - _SHOWN_BYTES, header.payload), _SHOWN_BYTES)


def _box(read: ReadAt, size: int, *path: bytes) -> Box:
    start, end = 0, size
    found: Box | None = None
    for kind in path:
        inside = [box for box in boxes_of_file(read, start, end, max_boxes=64) if box.type == kind]
        if len(inside) != 1:
            raise BoxError(f"not one box {kind!r}", start)
        found = inside[0]
        start, end = found.payload, found.end
    assert found is not None
    return found


def _read(clip: Path) -> tuple[dict[int, _Picture], int]:
    """Pictures by their place in the file, and the ticks of a second."""
    pictures = {}
    # Without the edit list, so that what it hides is compared too.
    with av.open(str(clip), options={"ignore_editlist": "1"}) as container:
        if len(container.streams) != 1:
            raise ValueError("it has not exactly one track")
        base = container.streams[0].time_base
        if base is None or base.numerator != 1:
            raise ValueError("it has no time scale")
        for packet in container.demux():
            if packet.size and packet.pos is not None and packet.pts is not None:
                pictures[packet.pos] = _Picture(packet.size, packet.pts)
    return pictures, base.denominator


def _begins(fragment: PlacedFragment, pictures: dict[int, _Picture]) -> int | None:
    """When the clip shows a whole fragment's decode time 0; None where its pictures aren't as recorded."""
    header = fragment.header
    at, dts = fragment.offset, 0
    begins = set()
    for index, size in enumerate(header.sizes):
        picture = pictures.get(at)
        if picture is None or picture.size_bytes != size:
            return None
        begins.add(picture.pts - dts - (header.ctts[index] if header.ctts else 0))
        at += size
        dts += header.durations[index]
    return begins.pop() if len(begins) == 1 else None

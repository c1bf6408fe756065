"""A segment and its fragments, as they lie in a file: what readers hand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from khupho.archive.events import CloseCause
from khupho.media.fmp4 import FragmentHeader
from khupho.media.formats import TrackFormat


class StoredFragment(NamedTuple):
    """A fragment as it lies in its segment."""

    offset: int
    """Of its `prft` in the file."""
    header: FragmentHeader
    start_utc_us: int
    lost_packets: int
    """Before it."""
    damaged: bool
    clock_wrong: bool
    payload_sha256: bytes


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment with all its fragments."""

    relative_path: str
    camera: str
    stream: str
    start_utc_us: int
    end_utc_us: int
    format: TrackFormat
    timescale: int
    edit_media_time: int
    """Where its presentation begins on its media's line."""
    init_size: int
    """Bytes before its first fragment: `ftyp`, `moov` and the segment facts."""
    cause: CloseCause | None
    """Why it ended; None while it is being written."""
    fragments: Sequence[StoredFragment]

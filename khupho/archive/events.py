"""What the writers tell the keeper: plain values that cross from the loop to the keeper's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from khupho.media.formats import TrackFormat


class CloseCause(IntEnum):
    """Why a segment ended; the number stands in its closing facts."""

    RECOVERED = 0
    """The recorder was killed or lost power; the end was made good at the next start."""
    STOPPED = 1
    """The recorder or the camera's recording was stopped on purpose."""
    AGE = 2
    """Ten minutes were full."""
    CONNECTION = 3
    """The connection to the camera ended."""
    FORMAT = 4
    """The camera's parameter sets changed."""
    TIMELINE = 5
    """The camera's timestamps jumped."""
    CLOCK = 6
    """The recorder's clock stepped, or footage time left the anchor."""
    DISK = 7
    """The disk refused a write."""


class Arrival(NamedTuple):
    """When the newest byte of a batch was received, by the recorder's clocks."""

    utc_us: int
    mono_us: int
    clock_wrong: bool = False
    """`utc_us` runs along the monotonic clock (holdover), since the date is not to be trusted."""
    era: int = 0
    """Counts the steps of the date that were believed; a new era begins a new segment."""


@dataclass(slots=True, eq=False)
class Segment:
    """One segment file being written, shared by all events about it (compared by identity)."""

    camera: str
    stream: str
    relative_path: str
    """From the archive's root, with forward slashes."""
    start_utc_us: int
    format: TrackFormat
    file: int = -1
    """Descriptor for the keeper's fdatasync; -1 once closed. The keeper duplicates it when it takes
    `SegmentOpened`."""
    head_bytes: int = 0
    """Of all before the first fragment."""
    written_bytes: int = 0
    """Up to the end of the newest whole fragment."""
    newest_key_offset: int = -1
    """Of the newest fragment that begins with a key frame; -1 before the first."""
    beginning_sha256: bytes = b""
    """Of all before the first fragment: `ftyp`, `moov` and the segment facts. In each fragment's leaf."""


class SegmentOpened(NamedTuple):
    """A segment's header is on disk (in the page cache)."""

    segment: Segment
    header_bytes: int


class FragmentCommitted(NamedTuple):
    """A whole fragment was appended."""

    segment: Segment
    offset: int
    """Of its `prft` in the file."""
    header: bytes
    """From `prft` to the end of the `mdat` box header: what the Merkle leaf is made of."""
    start_utc_us: int
    duration_us: int
    size_bytes: int
    """Header and payload."""
    frames: int
    key_frames: int
    lost_packets: int
    damaged: bool
    clock_wrong: bool


class SegmentClosed(NamedTuple):
    """The segment has its closing facts and random-access table."""

    segment: Segment
    cause: CloseCause
    end_utc_us: int
    size_bytes: int


Event = SegmentOpened | FragmentCommitted | SegmentClosed
Listener = Callable[[Event], None]
"""Called for every event, in order for each segment, on the loop's thread or, while the disk is slow, on the
thread that writes then (`archive.place.spill`); must not block."""

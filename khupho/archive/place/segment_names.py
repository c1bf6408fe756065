"""What segments are called, and where they lie: `<camera>/<stream>/<YYYY-MM-DD>/<HHMMSS.mmm>Z.mp4`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from khupho.units import US_PER_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATH = re.compile(
    r"([a-z0-9][a-z0-9-]{0,62})/(main|sub|audio)/([0-9]{4}-[0-9]{2}-[0-9]{2})/"
    r"([0-9]{6}\.[0-9]{3})Z\.mp4"
)


class SegmentName(NamedTuple):
    """What a segment's path tells."""

    camera: str
    stream: str
    start_utc_ms: int
    """Milliseconds since the Unix epoch: the start in the segment facts, rounded down."""


def segment_path(camera: str, stream: str, start_utc_us: int) -> str:
    """The path of a segment from the archive's root."""
    moment = _EPOCH + timedelta(milliseconds=start_utc_us // US_PER_MS)
    name = moment.strftime("%Y-%m-%d/%H%M%S.")
    return f"{camera}/{stream}/{name}{moment.microsecond // 1000:03d}Z.mp4"


def parse_segment_path(path: str) -> SegmentName | None:
    """What a path says; None where it is none of a segment."""
    found = _PATH.fullmatch(path)
    if found is None or found[3] < "1970":
        return None
    try:
        moment = datetime.strptime(f"{found[3]} {found[4]}000+0000", "%Y-%m-%d %H%M%S.%f%z")
    except ValueError:
        return None
    return SegmentName(found[1], found[2], (moment - _EPOCH) // timedelta(milliseconds=1))

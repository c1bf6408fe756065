"""What was recorded, looked at by ffmpeg's demuxer, so that no code of ours vouches for our files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from film import Unit, units_of


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """One segment file and its samples."""

    path: Path
    start_utc_s: float
    """As its name tells: `<camera>/<stream>/<YYYY-MM-DD>/<HHMMSS.mmm>Z.mp4`."""
    codec: str
    """`h264`, `h265`, or empty for sound."""
    units: list[Unit]
    sound: bytes
    parameter_sets: frozenset[bytes]


def segment_paths(archive: Path, camera: str, stream: str) -> list[Path]:
    """In the order of recording."""
    return sorted(archive.glob(f"{camera}/{stream}/*/*.mp4"))


def read_segment_file(path: Path) -> RecordedSegment:
    """Its samples in decoding order."""
    codec, video, audio, sound, sets = units_of(path)
    day, time = path.parent.name, path.stem
    start = datetime.strptime(f"{day} {time}", "%Y-%m-%d %H%M%S.%fZ").replace(tzinfo=UTC)
    return RecordedSegment(path, start.timestamp(), codec, video or audio, sound, sets)

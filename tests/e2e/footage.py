"""What was recorded, looked at by ffmpeg's demuxer, so that no code of ours vouches for our files."""

from __future__ import annotations

from dataclasses import dataclass, replace
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


def start_utc_s(path: Path) -> float:
    """When a segment begins."""
    text = f"{path.parent.name} {path.stem}"
    return datetime.strptime(text, "%Y-%m-%d %H%M%S.%fZ").replace(tzinfo=UTC).timestamp()


def read_segment_file(path: Path) -> RecordedSegment:
    """Its samples in decoding order."""
    return replace(read_clip(path), start_utc_s=start_utc_s(path))


def read_clip(path: Path) -> RecordedSegment:
    """As `read_segment_file`, of a file whose name tells no time."""
    codec, video, audio, sound, sets = units_of(path)
    return RecordedSegment(path, 0.0, codec, video or audio, sound, sets)

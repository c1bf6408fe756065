"""A real archive of real pictures: films made by ffmpeg, written by the archive's own writer."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import av

from khupho.archive.alarms import AlarmBoard
from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.events import Arrival, CloseCause, Event
from khupho.archive.place.identity import create_archive
from khupho.archive.place.place import Place
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import ManualClock
from khupho.media import h264, h265
from khupho.media.formats import VideoFormat
from khupho.media.samples import Sample, SampleBatch
from khupho.units import US_PER_S, parse_utc

T0_US = parse_utc("2026-11-24T01:00:00Z")
FRAME_US = 40_000
GOP = 20
FILM_FRAMES = 150
BATCH = 11
ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"],
    "h264-b": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
             "-x265-params", "log-level=error:bframes=0:repeat-headers=0"],
    "h265-b": ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
               "-x265-params", "log-level=error:b-adapt=0:bframes=3:repeat-headers=0:open-gop=0"],
}  # fmt: skip


OPEN_GOP = {
    "h265-open": ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
                  "-x265-params", "log-level=error:b-adapt=0:bframes=3:repeat-headers=0:open-gop=1"],
}  # fmt: skip
"""Key frames are decoded before pictures that are shown before them."""


class Frame(NamedTuple):
    """In decoding order; times of 90 kHz."""

    pts: int
    is_key: bool
    data: bytes


class Film(NamedTuple):
    """Six seconds, 25 pictures a second, each of them another."""

    path: Path
    format: VideoFormat
    frames: list[Frame]


class Films(Protocol):
    """Hands out films, each made once."""

    def __call__(self, codec: str, size: str = "192x144") -> Film: ...


def make_film(directory: Path, codec: str, size: str = "192x144") -> Film:
    """`codec` as in `ENCODERS` or `OPEN_GOP`."""
    path = directory / f"{codec}-{size}.mp4"
    command = [
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25",
        "-frames:v", str(FILM_FRAMES), "-pix_fmt", "yuv420p", "-g", str(GOP), "-keyint_min", str(GOP),
        "-sc_threshold", "0", *(ENCODERS | OPEN_GOP)[codec], str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base * 90_000
        packets = [packet for packet in container.demux(stream) if packet.size]
        first = min(packet.pts for packet in packets)
        frames = [Frame(int((p.pts - first) * base), p.is_keyframe, bytes(p)) for p in packets]
        record = bytes(stream.codec_context.extradata)
    if codec.startswith("h264"):
        track = h264.video_format(*h264.parameter_sets_of_record(record))
    else:
        track = h265.video_format(*h265.parameter_sets_of_record(record))
    return Film(path, track, frames)


@dataclass
class RealArchive:
    """An archive without keeper or catalog, recorded to by hand. Time goes on only here."""

    root: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0_US, US_PER_S))
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        identity = create_archive(self.root, "recorder", T0_US)
        self.place = Place(self.root, identity.archive_id, self.clock, AlarmBoard(self.clock))

    def writer(self, camera: str = "gate", stream: str = "main") -> StreamWriter:
        return StreamWriter(self.place, camera, stream, self.events.append)

    def arrival(self) -> Arrival:
        return Arrival(self.clock.utc_us(), self.clock.mono_us(), False, 0)

    def play(
        self,
        writer: StreamWriter,
        film: Film,
        first: int = 0,
        stop: int = FILM_FRAMES,
        *,
        pts: int = 0,
        lost_packets: int = 0,
    ) -> None:
        """The film's frames `first` to `stop`, as they come from a camera; `pts` is added to their times,
        and so many packets were lost before them."""
        for begin in range(first, stop, BATCH):
            part = film.frames[begin : min(begin + BATCH, stop)]
            samples = [
                Sample(
                    pts + frame.pts, len(frame.data), frame.is_key,
                    lost_packets=lost_packets if begin + index == first else 0,
                    format=film.format if begin + index == first else None,
                )
                for index, frame in enumerate(part)
            ]  # fmt: skip
            after = begin + len(part)
            following = pts + film.frames[after].pts if after < stop else None
            data = b"".join(frame.data for frame in part)
            self.clock.advance(len(part) * FRAME_US)
            batch = SampleBatch([memoryview(data)], samples, following, len(data))
            writer.write(batch, self.arrival())

    def record(self, film: Film, first: int = 0, stop: int = FILM_FRAMES) -> None:
        """A whole session: one closed segment."""
        writer = self.writer()
        self.play(writer, film, first, stop)
        writer.close(CloseCause.CONNECTION, self.arrival())

    def pause(self, seconds: float) -> None:
        """Time without footage."""
        self.clock.advance(round(seconds * US_PER_S))

    def segments(self) -> list[Path]:
        """All files, oldest first."""
        return sorted(self.root.glob("gate/main/*/*.mp4"))

    def start_of(self, number: int = 0) -> int:
        """When the first picture of a segment was taken; `number` counts from the oldest."""
        with self.reader() as reader:
            return reader.read(str(self.segments()[number].relative_to(self.root))).start_utc_us

    def reader(self) -> ArchiveReader:
        return ArchiveReader(self.root)

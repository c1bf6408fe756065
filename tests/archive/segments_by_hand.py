"""An archive's place with turned clock, and samples made up for its writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from khupho.archive.alarms import AlarmBoard
from khupho.archive.events import (
    Arrival,
    CloseCause,
    Event,
    FragmentCommitted,
    SegmentClosed,
    SegmentOpened,
)
from khupho.archive.place.identity import create_archive
from khupho.archive.place.place import DiskCalls, Place
from khupho.archive.segments.reader import WalkedSegment, walk_segment
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import ManualClock
from khupho.media import g711, h264
from khupho.media.formats import Codec, TrackFormat
from khupho.media.samples import Sample, SampleBatch
from khupho.units import parse_utc

T0_US = parse_utc("2026-11-24T01:00:00Z")
FRAME_90K = 3_600
FRAME_US = 40_000
SPS = bytes.fromhex("6742c00bda0a11f97011000003000100000300320f142aa0")
PPS = bytes.fromhex("68ce0fc8")
H264 = h264.video_format(SPS, PPS)
OTHER_H264 = h264.video_format(SPS, PPS + b"\x80")
PCMU = g711.audio_format(Codec.PCMU)


def picture(number: int, *, is_key: bool, size_bytes: int = 40) -> bytes:
    """A sample of one NAL unit that tells its number."""
    body = number.to_bytes(4, "big") * ((size_bytes - 5) // 4 + 1)
    nal = bytes((0x65 if is_key else 0x41,)) + body[: size_bytes - 5]
    return len(nal).to_bytes(4, "big") + nal


@dataclass
class Recording:
    """One place, and all that its writers told."""

    root: Path
    calls: DiskCalls | None = None
    spill_bytes: int = 1 << 20
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0_US, 1_000_000_000))
    events: list[Event] = field(default_factory=list)
    era: int = 0
    clock_wrong: bool = False

    def __post_init__(self) -> None:
        identity = create_archive(self.root, "recorder", T0_US)
        self.alarms = AlarmBoard(self.clock)
        self.place = Place(
            self.root, identity.archive_id, self.clock, self.alarms, calls=self.calls,
            spill_bytes=self.spill_bytes,
        )  # fmt: skip

    def writer(self, camera: str = "gate", stream: str = "main", **how: int) -> StreamWriter:
        return StreamWriter(self.place, camera, stream, self.events.append, **how)

    def arrival(self) -> Arrival:
        return Arrival(self.clock.utc_us(), self.clock.mono_us(), self.clock_wrong, self.era)

    @property
    def opened(self) -> list[SegmentOpened]:
        return [event for event in self.events if isinstance(event, SegmentOpened)]

    @property
    def committed(self) -> list[FragmentCommitted]:
        return [event for event in self.events if isinstance(event, FragmentCommitted)]

    @property
    def closed(self) -> list[SegmentClosed]:
        return [event for event in self.events if isinstance(event, SegmentClosed)]

    @property
    def causes(self) -> list[CloseCause]:
        return [event.cause for event in self.closed]

    def walks(self) -> list[WalkedSegment]:
        """The segments that were opened, as they lie on the disk."""
        return [walk_segment(self.root, event.segment.relative_path) for event in self.opened]


def batch_of(
    samples: Sequence[Sample], data: Sequence[bytes], next_pts: int | None, next_lost: int = 0
) -> SampleBatch:
    """A batch whose bytes lie in pieces that don't fit its samples."""
    joined = b"".join(data)
    third = len(joined) // 3
    pieces = [memoryview(joined)[:third], memoryview(joined)[third:]]
    return SampleBatch(pieces, list(samples), next_pts, len(joined), next_lost)


@dataclass
class Camera:
    """Makes numbered pictures, 25 a second, and hands them to a writer in batches."""

    recording: Recording
    writer: StreamWriter
    gop: int = 10
    format: TrackFormat = H264
    frame_90k: int = FRAME_90K
    number: int = 0
    pts: int = 900_000
    tells_format: bool = True

    def play(
        self,
        frames: int,
        *,
        change: Callable[[Sample], Sample] = lambda sample: sample,
        delay_us: int = 0,
        next_lost: int = 0,
        next_pts: int | None = None,
    ) -> None:
        """One batch of so many frames, at the time when the last of them is over."""
        samples, data = [], []
        for index in range(frames):
            is_key = self.number % self.gop == 0
            bits = picture(self.number, is_key=is_key)
            told = self.format if self.tells_format and index == 0 else None
            self.tells_format &= index != 0
            samples.append(change(Sample(self.pts, len(bits), is_key, format=told)))
            data.append(bits)
            self.pts += self.frame_90k
            self.number += 1
        self.recording.clock.advance(frames * FRAME_US)
        arrival = self.recording.arrival()
        arrival = arrival._replace(
            utc_us=arrival.utc_us + delay_us, mono_us=arrival.mono_us + delay_us
        )
        after = self.pts if next_pts is None else next_pts
        self.writer.write(batch_of(samples, data, after, next_lost), arrival)

    def skip(self, frames: int) -> None:
        """Time passes, pictures are lost."""
        self.number += frames
        self.pts += frames * self.frame_90k
        self.recording.clock.advance(frames * FRAME_US)

    def new_session(self, pts: int = 5_000) -> None:
        """The connection is another: its media time has nothing to do with the last one's."""
        self.pts = pts
        self.tells_format = True
        self.number += -self.number % self.gop

"""An archive that is recorded to without cameras, threads or waits, for tests of what keeps and reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khupho.archive.archive import Archive, ArchiveOptions
from khupho.archive.events import CloseCause
from khupho.archive.retention.plan import DaysPolicy, DiskRoom
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import ManualClock
from khupho.media import h264
from khupho.media.formats import VideoFormat
from khupho.media.samples import Sample, SampleBatch
from khupho.units import US_PER_MS, US_PER_S, parse_utc

T0_US = parse_utc("2026-11-24T01:00:00Z")
SPS = bytes.fromhex("6742c01eda0280bfe5c044000003000400000300c83c58ba80")
PPS = bytes.fromhex("68ce3c80")
FORMAT: VideoFormat = h264.video_format(SPS, PPS)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FRAME_US = 40 * US_PER_MS
GOP = 25
BATCH = 12
"""Frames that arrive together: about half a second."""


def frame_bytes(number: int, is_key: bool) -> bytes:
    """A made-up picture: one NAL unit with its length."""
    body = (number * 7919).to_bytes(8, "big") * (40 if is_key else 4)
    nal = bytes([0x65 if is_key else 0x41]) + body
    return len(nal).to_bytes(4, "big") + nal


@dataclass
class Roll:
    """One stream's session."""

    writer: StreamWriter
    frames: int = 0
    pts_90k: int = 900_000


@dataclass
class Recording:
    """The archive in `root`, and cameras by hand. Time goes on only here."""

    root: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0_US, 1_000_000))
    room: DiskRoom = field(default_factory=lambda: DiskRoom(1_000_000_000_000, 900_000_000_000))
    policies: dict[str, DaysPolicy] = field(default_factory=dict)
    flush_interval_s: int = 10
    max_events: int = 200_000
    synchronised: bool = True
    archive: Archive = field(init=False)
    rolls: dict[tuple[str, str], Roll] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.archive = Archive.open(
            self.root,
            key=KEY,
            clock=self.clock,
            flush_interval_s=self.flush_interval_s,
            policies=self.policies,
            options=ArchiveOptions(
                has_thread=False,
                max_events=self.max_events,
                room=lambda _root_fd, _percent: self.room,
                synchronised=lambda: self.synchronised,
            ),
        )
        self.rolls = {}

    def roll(self, camera: str = "gate", stream: str = "main") -> Roll:
        found = self.rolls.get((camera, stream))
        if found is None:
            found = self.rolls[camera, stream] = Roll(self.archive.writer(camera, stream))
        return found

    def run(self, seconds: float, *cameras: str, rounds: bool = True, lost_at: int = -1) -> None:
        """Let cameras (`gate`, or `gate/sub`) send for so long, and the keeper do its rounds."""
        streams = [
            (name.partition("/")[0], name.partition("/")[2] or "main")
            for name in cameras or ("gate",)
        ]
        for _ in range(round(seconds * US_PER_S / FRAME_US / BATCH)):
            self.clock.advance(FRAME_US * BATCH)
            for camera, stream in streams:
                roll = self.roll(camera, stream)
                lost = 3 if lost_at >= 0 and roll.frames >= lost_at else 0
                lost_at = -1 if lost else lost_at
                self.send(roll, lost_packets=lost)
            if rounds:
                self.archive.keeper.round()

    def send(self, roll: Roll, *, lost_packets: int = 0) -> None:
        samples, pieces = [], []
        for index in range(BATCH):
            is_key = roll.frames % GOP == 0
            data = frame_bytes(roll.frames, is_key)
            first = roll.frames == 0
            samples.append(
                Sample(
                    roll.pts_90k, len(data), is_key,
                    lost_packets=lost_packets if index == 0 else 0,
                    format=FORMAT if first else None,
                )
            )  # fmt: skip
            pieces.append(memoryview(data))
            roll.frames += 1
            roll.pts_90k += 3_600
        batch = SampleBatch(pieces, samples, roll.pts_90k, sum(map(len, pieces)))
        roll.writer.write(batch, self.archive.arrival())

    def hang_up(self, cause: CloseCause = CloseCause.CONNECTION, *cameras: str) -> None:
        """The session of each stream ends."""
        for key in list(self.rolls):
            if not cameras or key[0] in cameras:
                self.rolls.pop(key).writer.close(cause, self.archive.arrival())

    def close(self) -> bool:
        self.hang_up(CloseCause.STOPPED)
        return self.archive.close()

    def kill(self) -> None:
        """The process ends: nothing is closed, the kernel drops the lock."""
        self.archive._lock.abandon()
        self.archive._books.close()

    def restart(self) -> None:
        """Another recorder, a second later."""
        self.clock.advance(US_PER_S)
        self.open()

    def settle(self, seconds: int = 2) -> None:
        """Rounds without footage."""
        for _ in range(seconds * 4):
            self.clock.advance(250 * US_PER_MS)
            self.archive.keeper.round()

    def alarms(self) -> list[str]:
        return [str(alarm.error) for alarm in self.archive.alarms.standing()]

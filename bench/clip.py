"""What a clip costs that is taken away from a recorder, against ffmpeg and against the floor.

    bench/clip.py --minutes 60 [--video FILE] [--repeats 5] [--directory /dev/shm] [--json]

An hour of 1080p25 at 2 Mbit/s is recorded first, in segments of ten minutes, by the archive's own writer.
Then the same footage is made one MP4 with its index in front, in turn: by the recorder's clip (planned, read
in pieces of 256 KiB, each written to a file), by `ffmpeg -f concat -c copy -movflags +faststart`, and by the
floor, which copies the segments' bytes as they are by `pread` and `write`. CPU time is measured, of ffmpeg
its process's. All files lie below the same directory. The cheapest run counts, and the dearest is told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import av
from machine import describe, describe_text
from real_video import FRAMES_PER_S, real_video

from khupho.archive.alarms import AlarmBoard
from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.events import Arrival, CloseCause
from khupho.archive.place.identity import create_archive
from khupho.archive.place.place import Place
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import ManualClock
from khupho.media import h264
from khupho.media.formats import VideoFormat
from khupho.media.samples import Sample, SampleBatch
from khupho.recorder.viewing.clip_file import CHUNK_BYTES, open_clip
from khupho.units import MEDIA_CLOCK_HZ, US_PER_MINUTE, US_PER_S

START_US = 1_795_000_000_000_000
FRAME_90K = MEDIA_CLOCK_HZ // FRAMES_PER_S
FRAME_US = US_PER_S // FRAMES_PER_S
BATCH = 12
"""Frames that the kernel hands over together: about half a second."""


class Film(NamedTuple):
    """What is recorded over and over; without B-frames."""

    format: VideoFormat
    frames: list[tuple[bool, bytes]]
    """Whether it is a key frame, and its bytes."""


def read_film(path: Path) -> Film:
    """The frames of an H.264 file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        record = bytes(stream.codec_context.extradata or b"")
        frames = [(p.is_keyframe, bytes(p)) for p in container.demux(stream) if p.size]
    return Film(h264.video_format(*h264.parameter_sets_of_record(record)), frames)


def record(root: Path, film: Film, minutes: int) -> None:
    """So many minutes of one camera."""
    clock = ManualClock(START_US, US_PER_S)
    identity = create_archive(root, "bench", START_US)
    place = Place(root, identity.archive_id, clock, AlarmBoard(clock))
    writer = StreamWriter(place, "gate", "main", lambda _event: None)
    total = minutes * 60 * FRAMES_PER_S
    for begin in range(0, total, BATCH):
        numbers = range(begin, min(begin + BATCH, total))
        chosen = [film.frames[number % len(film.frames)] for number in numbers]
        samples = [
            Sample(
                number * FRAME_90K, len(data), is_key, format=film.format if not number else None
            )
            for number, (is_key, data) in zip(numbers, chosen, strict=True)
        ]
        joined = b"".join(data for _, data in chosen)
        clock.advance(len(chosen) * FRAME_US)
        arrival = Arrival(clock.utc_us(), clock.mono_us())
        batch = SampleBatch([memoryview(joined)], samples, numbers.stop * FRAME_90K, len(joined))
        writer.write(batch, arrival)
    writer.close(CloseCause.STOPPED, Arrival(clock.utc_us(), clock.mono_us()))
    place.close()


@dataclass
class Runs:
    """CPU seconds of each run."""

    plan_s: list[float] = field(default_factory=list)
    """Until the clip's size is known."""
    read_s: list[float] = field(default_factory=list)
    """Reading the whole clip, without giving it to anybody."""
    clip_s: list[float] = field(default_factory=list)
    """Planning, reading and writing."""
    ffmpeg_s: list[float] = field(default_factory=list)
    floor_s: list[float] = field(default_factory=list)


def cpu_of(action: Callable[[], None], who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds of this process, or of children that end meanwhile."""
    before = resource.getrusage(who)
    action()
    after = resource.getrusage(who)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def run_clip(root: Path, minutes: int, out: Path, runs: Runs) -> tuple[int, int]:
    """Bytes and frames of the clip."""
    with ArchiveReader(root) as reader, out.open("wb", buffering=0) as target:
        began = time.process_time()
        with open_clip(
            reader, "gate", "main", START_US, START_US + minutes * US_PER_MINUTE
        ) as clip:
            planned = time.process_time()
            for data in clip.chunks(0, clip.size_bytes):
                target.write(data)
            ended = time.process_time()
            for _ in clip.chunks(0, clip.size_bytes):
                pass
            runs.read_s.append(time.process_time() - ended)
    runs.plan_s.append(planned - began)
    runs.clip_s.append(ended - began)
    return clip.size_bytes, clip.frames


def run_ffmpeg(segments: list[Path], out: Path) -> None:
    """The usual way to join the segments."""
    listed = out.with_suffix(".txt")
    listed.write_text("".join(f"file '{path}'\n" for path in segments))
    command = [
        "ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listed),
        "-c", "copy", "-movflags", "+faststart", str(out),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=600)


def run_floor(segments: list[Path], out: Path) -> None:
    """The segments' bytes behind each other."""
    with out.open("wb", buffering=0) as target:
        for path in segments:
            file = os.open(path, os.O_RDONLY)
            offset = 0
            while data := os.pread(file, CHUNK_BYTES, offset):
                target.write(data)
                offset += len(data)
            os.close(file)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a clip costs that is taken away.")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--video", type=Path, help="H.264 at 25 pictures a second, no B-frames")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true", help="a last line of JSON")
    given = parser.parse_args()
    film = read_film(given.video or real_video("h264"))
    print(describe_text(), flush=True)
    runs = Runs()
    with tempfile.TemporaryDirectory(prefix="khupho-clip-", dir=given.directory) as name:
        root, out = Path(name) / "archive", Path(name) / "clip.mp4"
        record(root, film, given.minutes)
        segments = sorted(root.glob("gate/main/*/*.mp4"))
        for _ in range(given.repeats):
            runs.floor_s.append(cpu_of(lambda: run_floor(segments, out)))
            out.unlink()
            size_bytes, frames = run_clip(root, given.minutes, out, runs)
            assert out.stat().st_size == size_bytes
            out.unlink()
            ffmpeg_s = cpu_of(lambda: run_ffmpeg(segments, out), resource.RUSAGE_CHILDREN)
            runs.ffmpeg_s.append(ffmpeg_s)
            out.unlink()
    print(
        f"{given.minutes} min, {len(segments)} segments, {frames} frames, {size_bytes / 1e6:.0f} MB;"
        " CPU seconds, cheapest (dearest) run"
    )
    for text, spent in [
        ("clip", runs.clip_s),
        ("  of it planning", runs.plan_s),
        ("  reading alone", runs.read_s),
        ("ffmpeg", runs.ffmpeg_s),
        ("floor", runs.floor_s),
    ]:
        print(f"{text:17} {min(spent):7.3f} ({max(spent):.3f})")
    if given.json:
        figures: dict[str, object] = {
            "minutes": given.minutes,
            "frames": frames,
            "size_bytes": size_bytes,
            "machine": describe(),
        }
        for key, spent in vars(runs).items():
            figures[key] = round(min(spent), 4)
            figures[key.removesuffix("_s") + "_worst_s"] = round(max(spent), 4)
        print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""What the archive's writer costs for each fragment, against the floor: hash and append of the same bytes.

    bench/archive_writer.py --streams 200 --fragments 40 --frames 12 --kilobytes 100 [--reorder 2] [--json]

Writer and floor append to files below the same directory (`/dev/shm` by default), in the same order: one
fragment of each stream after the other, as a loop with so many cameras does. Each is run several times, in
turn, and the fastest run counts. The process's CPU time is measured, so neighbours disturb little.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path

from machine import describe, describe_text

from khupho.archive.alarms import AlarmBoard
from khupho.archive.events import Arrival, CloseCause, Event, FragmentCommitted
from khupho.archive.place.identity import create_archive
from khupho.archive.place.place import Place
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import SystemClock
from khupho.media import h264
from khupho.media.samples import Sample, SampleBatch

FRAME_90K = 3_600
SPS = bytes.fromhex("6742c00bda0a11f97011000003000100000300320f142aa0")
PPS = bytes.fromhex("68ce0fc8")
HEADER_BYTES = 420
"""About what stands before a fragment's data; the floor appends so much more."""


class Footage:
    """Batches of one stream after the other, always over the same bytes."""

    def __init__(self, frames: int, size_bytes: int, reorder: int = 0) -> None:
        self.frames = frames
        self.data = memoryview(os.urandom(size_bytes))
        plain = h264.video_format(SPS, PPS)
        self.format = dataclasses.replace(plain, reorder_frames=reorder)
        self._sizes = [size_bytes // frames] * (frames - 1)
        self._sizes.append(size_bytes - sum(self._sizes))

    def batch(self, number: int, keys_every: int) -> SampleBatch:
        first = number * self.frames
        samples = [
            Sample(
                (first + index) * FRAME_90K,
                size,
                index == 0 and number % keys_every == 0,
                format=self.format if first + index == 0 else None,
            )
            for index, size in enumerate(self._sizes)
        ]
        half = len(self.data) // 2
        pieces = [self.data[:half], self.data[half:]]
        return SampleBatch(pieces, samples, (first + self.frames) * FRAME_90K, len(self.data))


def anew(batch: SampleBatch) -> SampleBatch:
    """The same, as a session hands it over: nothing has been made of it yet."""
    return SampleBatch(batch.pieces, batch.samples, batch.next_pts_90k, batch.size_bytes)


def run_writer(root: Path, streams: int, fragments: int, footage: Footage) -> float:
    """Seconds of CPU time for the same with the writer."""
    clock = SystemClock()
    identity = create_archive(root / "archive", "bench", clock.utc_us())
    place = Place(root / "archive", identity.archive_id, clock, AlarmBoard(clock))
    committed = 0

    def listen(event: Event) -> None:
        nonlocal committed
        committed += isinstance(event, FragmentCommitted)

    utc_us = clock.utc_us()
    writers = [
        StreamWriter(place, f"camera-{n}", "main", listen, settle_us=0) for n in range(streams)
    ]
    batches = [footage.batch(number, 5) for number in range(fragments + 1)]
    step_us = footage.frames * FRAME_90K * 100 // 9
    for writer in writers:
        writer.write(anew(batches[0]), Arrival(utc_us, 0))
    gc.collect()
    before = time.process_time()
    for number in range(1, fragments + 1):
        arrival = Arrival(utc_us + number * step_us, number * step_us)
        batch = batches[number]
        for writer in writers:
            writer.write(anew(batch), arrival)
    spent = time.process_time() - before
    for writer in writers:
        writer.close(CloseCause.STOPPED, Arrival(utc_us, 0))
    assert committed == streams * (fragments + 1), committed
    place.close()
    shutil.rmtree(root / "archive")
    return spent


def run_floor(root: Path, streams: int, fragments: int, footage: Footage) -> float:
    """Seconds of CPU time for a hash and an append of each fragment."""
    directory = root / "floor"
    directory.mkdir()
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    files = [os.open(directory / str(n), flags) for n in range(streams)]
    header = bytes(HEADER_BYTES)
    pieces = footage.batch(0, 1).pieces
    for file in files:
        os.writev(file, [header, *pieces])
    gc.collect()
    before = time.process_time()
    for _ in range(fragments):
        for file in files:
            digest = hashlib.sha256()
            for piece in pieces:
                digest.update(piece)
            digest.digest()
            os.writev(file, [header, *pieces])
    spent = time.process_time() - before
    for file in files:
        os.close(file)
    shutil.rmtree(directory)
    return spent


def stream_memory(root: Path, streams: int, footage: Footage) -> float:
    """Bytes that one stream more takes while its segment is open, ten minutes old."""
    clock = SystemClock()
    identity = create_archive(root / "archive", "bench", clock.utc_us())
    place = Place(root / "archive", identity.archive_id, clock, AlarmBoard(clock))
    utc_us = clock.utc_us()
    step_us = footage.frames * FRAME_90K * 100 // 9
    tiny = Footage(footage.frames, footage.frames * 100)
    batches = [tiny.batch(number, 5) for number in range(600_000_000 // 2 // step_us)]
    tracemalloc.start()
    writers = [
        StreamWriter(place, f"camera-{n}", "main", lambda _event: None, settle_us=0)
        for n in range(streams)
    ]
    for number, batch in enumerate(batches):
        arrival = Arrival(utc_us + number * step_us, number * step_us)
        for writer in writers:
            writer.write(anew(batch), arrival)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] / streams
    tracemalloc.stop()
    for writer in writers:
        writer.close(CloseCause.STOPPED, Arrival(utc_us, 0))
    place.close()
    shutil.rmtree(root / "archive")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description="The archive writer's cost for each fragment.")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--fragments", type=int, default=40, help="of each stream")
    parser.add_argument("--frames", type=int, default=12, help="of each fragment")
    parser.add_argument("--kilobytes", type=int, default=100, help="of each fragment")
    parser.add_argument("--reorder", type=int, default=0, help="as the format declares (B-frames)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true", help="a last line of JSON")
    given = parser.parse_args()
    footage = Footage(given.frames, given.kilobytes * 1000, given.reorder)
    print(describe_text(), flush=True)
    count = given.streams * given.fragments
    writer_runs, floor_runs = [], []
    with tempfile.TemporaryDirectory(prefix="khupho-writer-", dir=given.directory) as name:
        root = Path(name)
        for _ in range(given.repeats):
            floor_runs.append(run_floor(root, given.streams, given.fragments, footage))
            writer_runs.append(run_writer(root, given.streams, given.fragments, footage))
        memory = stream_memory(root, 10, footage)
    writer_us = min(writer_runs) / count * 1e6
    floor_us = min(floor_runs) / count * 1e6
    print(
        f"a fragment of {given.frames} frames and {given.kilobytes} kB: writer {writer_us:.1f} µs,"
        f" floor (hash and append) {floor_us:.1f} µs, of its own {writer_us - floor_us:.1f} µs;"
        f" {memory / 1000:.1f} kB of memory a stream"
    )
    if given.json:
        figures = {
            "writer_us": round(writer_us, 2),
            "floor_us": round(floor_us, 2),
            "own_us": round(writer_us - floor_us, 2),
            "stream_bytes": round(memory),
            "frames": given.frames,
            "kilobytes": given.kilobytes,
            "machine": describe(),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()

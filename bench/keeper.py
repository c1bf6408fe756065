"""What the keeper costs: its thread's CPU time a fragment, from the queue to the catalog.

    bench/keeper.py --streams 1000 [--flushes 5] [--root /dev/shm] [--json]

Streams commit 2.5 fragments a second; a flush comes every ten seconds. The files hold nothing, so that the
keeper's own work is measured and not the disk's. The cheapest flush counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from machine import describe, describe_text

from khupho.archive.archive import Archive, ArchiveOptions
from khupho.archive.events import FragmentCommitted, Segment, SegmentOpened
from khupho.archive.place.segment_names import segment_path
from khupho.clock import ManualClock
from khupho.media.formats import Codec
from khupho.media.g711 import audio_format
from khupho.units import US_PER_S

START_US = 1_795_000_000_000_000
FRAGMENT_US = 400_000
FRAGMENT_BYTES = 100_000
HEADER = bytes(560)


class Load:
    """So many streams, whose events are made up."""

    def __init__(self, root: Path, streams: int) -> None:
        self.clock = ManualClock(START_US, US_PER_S)
        key = Ed25519PrivateKey.generate()
        options = ArchiveOptions(has_thread=False, synchronised=lambda: True)
        self.archive = Archive.open(root, key=key, clock=self.clock, options=options)
        self.queue = self.archive.keeper.flusher.queue
        self._offset = 1_000
        self._segments = []
        track = audio_format(Codec.PCMU)
        for number in range(streams):
            path = segment_path(f"cam-{number}", "main", START_US)
            (root / path).parent.mkdir(parents=True)
            file = os.open(root / path, os.O_RDWR | os.O_CREAT)
            segment = Segment(f"cam-{number}", "main", path, START_US, track, file)
            segment.beginning_sha256 = bytes(32)
            self._segments.append(segment)
            self.queue(SegmentOpened(segment, self._offset))
        self.second(0)

    def second(self, fragments: int) -> float:
        """A second goes by; CPU seconds of the keeper."""
        for _ in range(fragments):
            index = (self._offset - 1_000) // FRAGMENT_BYTES
            start_us = START_US + index * FRAGMENT_US
            for segment in self._segments:
                self.queue(
                    FragmentCommitted(
                        segment, self._offset, HEADER, start_us, FRAGMENT_US, FRAGMENT_BYTES, 10,
                        int(index % 3 == 0), 0, False, False,
                    )
                )  # fmt: skip
            self._offset += FRAGMENT_BYTES
        self.clock.advance(US_PER_S)
        began = time.thread_time()
        self.archive.keeper.round()
        return time.thread_time() - began


def measure(root: Path, streams: int, flushes: int) -> float:
    """Microseconds of CPU time a fragment."""
    load = Load(root, streams)
    best = float("inf")
    for _ in range(flushes + 1):  # the first one warms up
        cost = sum(load.second(2 + second % 2) for second in range(10))
        best = min(best, cost / (25 * streams))
    alarms = load.archive.alarms.standing()
    if alarms:
        raise SystemExit(str(alarms[0].error))
    return best * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--flushes", type=int, default=5)
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = Path(tempfile.mkdtemp(dir=chosen.root))
    try:
        cost_us = measure(directory / "archive", chosen.streams, chosen.flushes)
    finally:
        shutil.rmtree(directory)
    if chosen.json:
        figures = {"streams": chosen.streams, "us_a_fragment": round(cost_us, 2)}
        print(json.dumps({"machine": describe(), **figures}, indent=2))
    else:
        print(f"{describe_text()}\n{chosen.streams} streams: {cost_us:.1f} µs of CPU a fragment")


if __name__ == "__main__":
    main()

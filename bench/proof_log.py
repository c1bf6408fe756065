"""What the proof log costs: for each leaf filed (entry hashed, record written, tree grown), and each answer.

    bench/proof_log.py --leaves 10000000 --streams 1000 --header-bytes 560 [--root /dev/shm] [--json]

Leaves are filed in flushes of ten seconds of all streams (2.5 fragments a second each); the fastest flush
counts, with its fdatasync told apart. Answers are asked of a reader that was just opened.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe, describe_text

from khupho.archive.events import FragmentCommitted, Segment
from khupho.archive.place.identity import create_archive
from khupho.archive.proof.leaf_record import fragment_leaf
from khupho.archive.proof.log import ProofLog, ProofLogReader
from khupho.archive.proof.merkle import verify_inclusion
from khupho.archive.proof.root_walk import RootWalk
from khupho.media.formats import Codec
from khupho.media.g711 import audio_format
from khupho.units import US_PER_S

START_US = 1_795_000_000_000_000
FRAGMENT_US = 400_000
FLUSH_FRAGMENTS = 25


def file_leaves(log: ProofLog, leaves: int, streams: int, header: bytes) -> dict[str, float]:
    """Microseconds a leaf, of the fastest flush."""
    track = audio_format(Codec.PCMU)
    segments = [
        Segment(f"camera-{n}", "main", f"{n}.mp4", START_US, track, beginning_sha256=bytes(32))
        for n in range(streams)
    ]
    least_us = least_sync_us = float("inf")
    filed = 0
    while filed < leaves:
        events: list[FragmentCommitted] = []
        for _ in range(FLUSH_FRAGMENTS):
            start_us = START_US + filed // streams * FRAGMENT_US
            events += [
                FragmentCommitted(
                    segment, 900, header, start_us, FRAGMENT_US, 100_000, 10, 1, 0, False, False
                )
                for segment in segments
            ]
            filed += streams
        begun = time.process_time()
        log.append_many([fragment_leaf(one, n % streams + 1) for n, one in enumerate(events)])
        log.write()
        written = time.process_time()
        synced = time.perf_counter()
        log.sync()
        least_sync_us = min(least_sync_us, (time.perf_counter() - synced) * 1e6)
        least_us = min(least_us, (written - begun) / len(events) * 1e6)
    return {"leaf_us": least_us, "flush_sync_ms": least_sync_us / 1e3}


def timed_ms(ask: Callable[[], object]) -> float:
    begun = time.perf_counter()
    ask()
    return (time.perf_counter() - begun) * 1e3


def ask_all(root_fd: int) -> dict[str, float]:
    """Milliseconds for each answer."""
    reader = ProofLogReader(root_fd)
    size = reader.size
    middle = size // 2
    told = {
        "root_ms": timed_ms(lambda: reader.root(size)),
        "inclusion_ms": timed_ms(lambda: reader.inclusion_proof(middle, size)),
        "find_10_minutes_ms": timed_ms(
            lambda: list(reader.find(1, START_US, START_US + 600 * US_PER_S))
        ),
        "root_from_leaves_ms": timed_ms(lambda: RootWalk(reader).root(size)),
    }
    proof = reader.inclusion_proof(middle, size)
    verify_inclusion(reader.record(middle).hash, middle, size, proof, RootWalk(reader).root(size))
    reader.close()
    told["open_ms"] = timed_ms(lambda: ProofLog(root_fd, size).close())
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaves", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--header-bytes", type=int, default=560)
    parser.add_argument(
        "--root", type=Path, help="an existing directory; a temporary one by default"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="khupho-bench-", dir=options.root))
    try:
        create_archive(directory, "bench", START_US)
        root_fd = os.open(directory, os.O_RDONLY)
        log = ProofLog(root_fd)
        header = os.urandom(options.header_bytes)
        told = file_leaves(log, options.leaves, options.streams, header)
        told["leaves"] = log.size
        log.close()
        told |= ask_all(root_fd)
        os.close(root_fd)
    finally:
        shutil.rmtree(directory)
    if options.json:
        print(json.dumps({"machine": describe(), **told}))
        return
    print(describe_text())
    for name, value in told.items():
        print(f"{name:>22}  {value:,.2f}")


if __name__ == "__main__":
    main()

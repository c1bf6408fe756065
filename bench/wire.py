"""What taking RTP apart costs: packets of a real street in, access units out, nothing else.

    bench/wire.py [--codec h264|h265] [--reads-per-s 2] [--seconds 20] [--json]

Real packets (bench/real_video.py, 1,400 bytes each) are fed as the kernel hands them over when it gathers,
into one scratch buffer that two dozen streams share, so that what a stream keeps is cold when its turn comes.
The floor is one copy of the same bytes. Both are told for the best round, since everything else on the
machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe, describe_text
from real_video import CODECS, FRAMES_PER_S, real_video

from khupho.city.clip import load_clip
from khupho.city.packets import OPEN_FIELDS, PAYLOAD_TYPE, PacketTrack
from khupho.units import MEDIA_CLOCK_HZ
from khupho.wire.rtp.interleaved import InterleavedReader
from khupho.wire.rtp.track_spec import TrackSpec

STREAMS = 24
SCRATCH_BYTES = 4 * 1024 * 1024
WARM_UP_S = 4
"""A session's first slices are searched for start codes; that isn't measured."""
_SSRC = 0x1F2E3D4C


def packets_of(video: Path) -> PacketTrack:
    """The whole video as one camera sends it, numbered and timed."""
    track = PacketTrack(load_clip(video))
    sequence = 0
    for unit, offsets in enumerate(track.patch_offsets):
        timestamp = track.pts_90k[unit] & 0xFFFFFFFF
        for offset in offsets:
            OPEN_FIELDS.pack_into(track.buffer, offset, sequence & 0xFFFF, timestamp, _SSRC)
            sequence += 1
    return track


def one_round(
    track: PacketTrack, reads: list[tuple[int, int]], warm_up_reads: int
) -> tuple[float, float, int]:
    """Seconds of parsing and of copying all but the first reads of all streams, and samples given."""
    spec = TrackSpec("video", track.clip.format.codec, frozenset((PAYLOAD_TYPE,)), MEDIA_CLOCK_HZ)
    readers = [InterleavedReader({0: spec}, {1: 0}) for _ in range(STREAMS)]
    scratch = memoryview(bytearray(SCRATCH_BYTES))
    target = memoryview(bytearray(SCRATCH_BYTES))
    clock: Callable[[], float] = time.perf_counter
    parsing = copying = 0.0
    samples = 0
    for number, (begin, end) in enumerate(reads):
        if number == warm_up_reads:
            parsing = copying = 0.0
        data = track.view[begin:end]
        for reader in readers:
            started = clock()
            start = reader.begin(scratch)
            parsing += clock() - started
            stop = start + len(data)
            scratch[start:stop] = data
            started = clock()
            feed = reader.feed(scratch, stop)
            parsing += clock() - started
            samples += sum(len(batch.samples) for _channel, batch in feed.batches)
            started = clock()
            target[:stop] = scratch[:stop]
            copying += clock() - started
    return parsing, copying, samples


def measure(track: PacketTrack, reads_per_s: float, seconds: float) -> dict[str, float]:
    """Figures of the best of as many rounds as fit, at least three."""
    duration_s = len(track) / FRAMES_PER_S
    read_bytes = max(1, int(len(track.buffer) / duration_s / reads_per_s))
    size = len(track.buffer)
    reads = [(begin, min(size, begin + read_bytes)) for begin in range(0, size, read_bytes)]
    warm_up_reads = min(int(WARM_UP_S * reads_per_s), len(reads) // 2)
    share = sum(end - begin for begin, end in reads[warm_up_reads:]) / size
    camera_seconds = STREAMS * duration_s * share
    ends = time.perf_counter() + seconds
    rounds = []
    while len(rounds) < 3 or time.perf_counter() < ends:
        rounds.append(one_round(track, reads, warm_up_reads))
        expected = STREAMS * (len(track) - 1)
        if rounds[-1][2] != expected:
            raise SystemExit(f"{rounds[-1][2]} samples came out where {expected} went in")
    parsing = min(parsing for parsing, _copying, _samples in rounds)
    copying = min(copying for _parsing, copying, _samples in rounds)
    packets = track.packets_before[-1]
    return {
        "us_per_camera_second": round(parsing / camera_seconds * 1e6, 2),
        "us_per_packet": round(parsing / (STREAMS * packets * share) * 1e6, 4),
        "copy_us_per_camera_second": round(copying / camera_seconds * 1e6, 2),
        "packets_per_camera_second": round(packets / duration_s, 1),
        "bytes_per_read": read_bytes,
        "rounds": len(rounds),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--video", type=Path, help="another file, instead of the real street")
    parser.add_argument(
        "--reads-per-s", type=float, default=2.0, help="2: the kernel gathers 0.5 s"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to go on measuring")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    print(describe_text(), flush=True)
    track = packets_of(given.video or real_video(given.codec))
    figures = measure(track, given.reads_per_s, given.seconds)
    print(
        f"{figures['us_per_camera_second']} µs per camera and second,"
        f" {figures['us_per_packet']} µs per packet"
        f" ({figures['packets_per_camera_second']} packets a second,"
        f" {figures['bytes_per_read']} bytes a read);"
        f" one copy of the bytes: {figures['copy_us_per_camera_second']} µs"
    )
    if given.json:
        print(json.dumps({"wire": figures, "machine": describe()}))


if __name__ == "__main__":
    main()

"""What the simulated cameras themselves cost: CPU time of `khupho city cameras` on one core.

    bench/city.py --cameras 1000 --seconds 20 [--burst-ms 40] [--codec h264] [--json]

The receiver runs on another core, takes every byte and throws it away. The cameras are carried if all of
them played all the time, no picture was skipped for a slow reader, and none left more than 500 ms late.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe, describe_text
from measured_city import RunningCity, running_city
from process_cost import CpuTime, cpu_time, memory_bytes, pinned, plan_cores
from real_video import CODECS, real_video

_LATE_US = 500_000
Window = tuple[CpuTime, float, dict[str, int]]


def _measure(city: RunningCity, seconds: float) -> tuple[CpuTime, float, dict[str, int]]:
    """CPU time over the next seconds, how long they were, and the city's state at their end."""
    city.state()
    before, began = cpu_time([city.pid]), time.monotonic()
    time.sleep(seconds)
    spent = cpu_time([city.pid]).since(before)
    return spent, time.monotonic() - began, city.state()


def run(
    video: Path,
    count: int,
    seconds: float,
    warm_up: float,
    burst_ms: int,
    repeats: int,
    mark_bytes: int,
) -> tuple[list[Window], int, int, int]:
    """One city, one receiver, `repeats` windows of `seconds`."""
    cores = plan_cores()
    receiver_program = str(Path(__file__).with_name("floor_receiver.py"))
    with running_city(video, count, cores.cameras, ("--burst-ms", str(burst_ms))) as city:
        command = [
            sys.executable,
            receiver_program,
            city.url_pattern,
            str(count),
            "--mark-bytes",
            str(mark_bytes),
        ]
        receiver = subprocess.Popen(
            pinned(cores.measured, command), stdout=subprocess.PIPE, text=True
        )
        try:
            assert receiver.stdout is not None
            if receiver.stdout.readline().strip() != "ready":
                raise SystemExit("The receiver could not make every camera play")
            time.sleep(warm_up)
            windows = [_measure(city, seconds) for _ in range(repeats)]
            memory = memory_bytes([city.pid])
            numbers = range(1, count + 1, max(count // 50, 1))
            skipped = sum(city.frames_skipped(number) for number in numbers)
        finally:
            receiver.send_signal(signal.SIGTERM)
            receiver.communicate(timeout=20)
    return windows, memory, skipped, len(numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of the simulated cameras.")
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one measured window")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=4.0)
    parser.add_argument("--burst-ms", type=int, default=40)
    parser.add_argument(
        "--mark-bytes", type=int, default=125_000,
        help="the receiver is woken when so much waits; 1: by every packet",
    )  # fmt: skip
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--video", type=Path, help="instead of the real street")
    parser.add_argument("--json", action="store_true", help="a last line of JSON")
    given = parser.parse_args()
    video = given.video or real_video(given.codec)
    print(describe_text(), flush=True)
    windows, memory, skipped, looked_at = run(
        video, given.cameras, given.seconds, given.warm_up, given.burst_ms, given.repeats,
        given.mark_bytes,
    )  # fmt: skip
    loads = [spent.cpu_s / elapsed for spent, elapsed, _state in windows]
    load = statistics.median(loads)
    playing = min(state["playing"] for _spent, _elapsed, state in windows)
    late_us = max(state["worst_lateness_us"] for _spent, _elapsed, state in windows)
    median = sorted(windows, key=lambda window: window[0].cpu_s / window[1])[len(windows) // 2]
    figures = {
        "cameras": given.cameras,
        "playing": playing,
        "burst_ms": given.burst_ms,
        "core_load": round(load, 4),
        "core_load_min": round(min(loads), 4),
        "core_load_max": round(max(loads), 4),
        "user_us_per_camera_second": round(median[0].user_s / median[1] / given.cameras * 1e6, 1),
        "system_us_per_camera_second": round(
            median[0].system_s / median[1] / given.cameras * 1e6, 1
        ),
        "cameras_per_core": int(given.cameras / load),
        "worst_lateness_ms": late_us // 1000,
        "skipped_pictures": skipped,
        "skipped_looked_at_cameras": looked_at,
        "memory_mb": round(memory / 1e6, 1),
        "carried": playing == given.cameras and not skipped and late_us <= _LATE_US,
    }
    print(
        f"{playing} of {given.cameras} cameras play, {given.burst_ms} ms a burst: {load:.1%} of a core"
        f" ({min(loads):.1%} to {max(loads):.1%}), of it user"
        f" {median[0].user_s / median[1]:.1%} and system {median[0].system_s / median[1]:.1%};"
        f" pictures at most {late_us / 1000:.0f} ms late, {skipped} skipped on {looked_at} cameras;"
        f" {memory / 1e6:.0f} MB"
    )
    if given.json:
        print(json.dumps(figures | {"machine": describe()}))


if __name__ == "__main__":
    main()

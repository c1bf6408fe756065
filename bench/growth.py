"""How cost grows with the number of cameras: CPU time and memory per camera, which should stay flat.

    bench/growth.py --counts 1,10,100,500,1000 --seconds 15 [--sides khupho,floor] [--json]

The same runs as `recording.py` makes. What a program costs without any camera shows at small numbers; the
cost of one camera more is told apart from it by a straight line through all points (least squares).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from machine import describe, describe_text
from measured_city import running_city
from process_cost import plan_cores
from real_video import CODECS, real_video
from recorded_frames import video_rate
from recording import MARK_BYTES
from recording_run import RunError, RunResult, Window, run_side
from recording_sides import FfmpegSide, FloorSide, KhuphoSide, PyAvSide, Side


def measure(
    side: Side, counts: list[int], video: Path, window: Window, repeats: int
) -> list[list[RunResult]]:
    """Runs of each count that could be measured."""
    cores = plan_cores()
    results: list[list[RunResult]] = []
    with running_city(video, max(counts), cores.cameras) as city:
        for count in counts:
            runs: list[RunResult] = []
            for _ in range(repeats):
                try:
                    runs.append(run_side(side, city, count, window, cores.measured))
                except RunError as error:
                    print(f"  {side.name} with {count} cameras: {error}", flush=True)
                    continue
                run = runs[-1]
                problems = f"; PROBLEMS: {'; '.join(run.problems[:4])}" if run.problems else ""
                print(
                    f"  {side.name} with {count} cameras: {run.load:.2%} of a core,"
                    f" {run.cost * 1e6:.0f} µs per camera and second,"
                    f" {run.memory_bytes / 1e6:.1f} MB{problems}",
                    flush=True,
                )
            if runs:
                results.append(runs)
    return results


def sum_up(results: list[list[RunResult]]) -> dict[str, object]:
    """Medians of each count, and the line through them."""
    points = []
    for runs in results:
        median = sorted(runs, key=lambda run: run.cost)[len(runs) // 2]
        points.append(
            {
                "cameras": median.cameras,
                "us_per_camera_second": round(median.cost * 1e6, 1),
                "us_per_camera_second_min": round(min(run.cost for run in runs) * 1e6, 1),
                "us_per_camera_second_max": round(max(run.cost for run in runs) * 1e6, 1),
                "core_load": round(median.load, 5),
                "memory_mb": round(statistics.median(run.memory_bytes for run in runs) / 1e6, 2),
                "problems": sorted({problem for run in runs for problem in run.problems}),
            }
        )
    summary: dict[str, object] = {"points": points}
    if len({runs[0].cameras for runs in results}) > 1:
        cameras = [run.cameras for runs in results for run in runs]
        loads = [run.load for runs in results for run in runs]
        memories = [run.memory_bytes for runs in results for run in runs]
        cost, idle = statistics.linear_regression(cameras, loads)
        memory, base = statistics.linear_regression(cameras, memories)
        summary["us_per_camera_second_more"] = round(cost * 1e6, 1)
        summary["idle_core_load"] = round(idle, 5)
        summary["mb_per_camera_more"] = round(memory / 1e6, 4)
        summary["base_mb"] = round(base / 1e6, 1)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost per camera as their number grows.")
    parser.add_argument("--counts", default="1,10,100,500,1000")
    parser.add_argument("--seconds", type=float, default=15.0, help="measured in each run")
    parser.add_argument("--warm-up", type=float, default=6.0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--video", type=Path, help="instead of the real street")
    parser.add_argument("--sides", default="khupho,floor")
    parser.add_argument(
        "--fresh-memory", action="store_true",
        help="write into whatever memory there is: for so many cameras that filling it first takes it all",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a last line of JSON")
    given = parser.parse_args()
    video = given.video or real_video(given.codec)
    frames_per_s, bytes_per_s = video_rate(video)
    window = Window(given.seconds, given.warm_up, frames_per_s, bytes_per_s, not given.fresh_memory)
    known: dict[str, Side] = {
        "khupho": KhuphoSide(),
        "floor": FloorSide(min(MARK_BYTES, max(int(bytes_per_s / 2), 1))),
        "ffmpeg": FfmpegSide(),
        "pyav": PyAvSide(),
    }
    names = given.sides.split(",")
    if unknown := set(names) - set(known):
        sys.exit(f"--sides: {', '.join(unknown)} is none of {', '.join(known)}")
    print(describe_text(), flush=True)
    counts = [int(word) for word in given.counts.split(",")]
    summaries = {
        name: sum_up(measure(known[name], counts, video, window, given.repeats)) for name in names
    }
    for name, summary in summaries.items():
        if "idle_core_load" in summary:
            print(
                f"{name}: one camera more costs {summary['us_per_camera_second_more']} µs a second and"
                f" {summary['mb_per_camera_more']} MB, beside {summary['base_mb']} MB"
                f" and {summary['idle_core_load']} of a core"
            )
    if given.json:
        print(json.dumps({"sides": summaries, "machine": describe()}))


if __name__ == "__main__":
    main()

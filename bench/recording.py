"""How many cameras a core records: this recorder beside ffmpeg, PyAV and the recv-and-write floor.

    bench/recording.py --cameras 400 --seconds 20 [--codec h264|h265] [--json]

Everybody records the same simulated cameras (1080p25, 2 Mbit/s, each picture sent when it is due) over RTSP
and TCP into memory (/dev/shm). The cameras run on one core, the recorder on another. What counts is the
recorder's CPU time (user and system, all its processes and threads) over the middle of a run, with the same
number of cameras for each, as far as its core isn't saturated. A run whose files miss frames is reported as
a problem, never as a figure. See docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from machine import describe, describe_text
from measured_city import RunningCity, running_city
from process_cost import CorePlan, plan_cores
from real_video import BITS_PER_S, CODECS, real_video
from recorded_frames import video_rate
from recording_run import RunError, RunResult, Window, run_side
from recording_sides import FfmpegSide, FloorSide, KhuphoSide, PyAvSide, Side

FOREIGN_CAMERAS = 200
"""Everybody gets the same number, but ffmpeg and PyAV no more than a core surely carries."""
_SATURATED = 0.85
MARK_BYTES = BITS_PER_S // 8 // 2


@dataclass(frozen=True, slots=True)
class SideFigures:
    """One recorder's figures over all repeats."""

    side: str
    cameras: int
    costs: tuple[float, ...]
    """CPU seconds per camera and second, of each run."""
    user: float
    """Part of the cost that is user time, of the median run."""
    load: float
    memory_per_camera_bytes: float
    sockets_per_camera_bytes: float
    problems: tuple[str, ...]

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)

    @property
    def cameras_per_core(self) -> float:
        return 1 / self.cost

    def as_json(self) -> dict[str, object]:
        return {
            "cameras": self.cameras,
            "cameras_per_core": round(self.cameras_per_core, 1),
            "us_per_camera_second": round(self.cost * 1e6, 1),
            "us_per_camera_second_runs": [round(cost * 1e6, 1) for cost in self.costs],
            "user_us_per_camera_second": round(self.cost * self.user * 1e6, 1),
            "system_us_per_camera_second": round(self.cost * (1 - self.user) * 1e6, 1),
            "core_load": round(self.load, 3),
            "mb_per_camera": round(self.memory_per_camera_bytes / 1e6, 4),
            "socket_mb_per_camera": round(self.sockets_per_camera_bytes / 1e6, 4),
            "problems": list(self.problems),
        }


def sum_up(runs: list[RunResult], few: RunResult | None) -> SideFigures:
    """Figures of the repeats of one recorder; memory per camera is the growth from `few` cameras."""
    median = sorted(runs, key=lambda run: run.cost)[len(runs) // 2]
    last = runs[-1]
    more = last.cameras - few.cameras if few else 0
    if few is None or not more:
        memory, sockets = last.memory_bytes / last.cameras, last.socket_bytes / last.cameras
    else:
        memory = (last.memory_bytes - few.memory_bytes) / more
        sockets = (last.socket_bytes - few.socket_bytes) / more
    ticks_s = median.cpu.user_s + median.cpu.system_s
    problems = [problem for run in [*runs, *([few] if few else [])] for problem in run.problems]
    return SideFigures(
        side=median.side,
        cameras=last.cameras,
        costs=tuple(run.cost for run in runs),
        user=median.cpu.user_s / ticks_s if ticks_s else 0.0,
        load=max(run.load for run in runs),
        memory_per_camera_bytes=memory,
        sockets_per_camera_bytes=sockets,
        problems=tuple(dict.fromkeys(problems)),
    )


def compare(
    sides: list[tuple[Side, int]], video: Path, window: Window, repeats: int, cores: CorePlan
) -> dict[str, SideFigures]:
    """Run all sides in turn, `repeats` times, then each once with few cameras for its memory."""
    runs: dict[str, list[RunResult]] = {}
    few: dict[str, RunResult] = {}
    most = max(count for _side, count in sides)
    with running_city(video, most, cores.cameras) as city:
        for repeat in range(repeats):
            for side, count in sides:
                label = f"run {repeat + 1} of {repeats}"
                if result := _tell_run(side, city, count, window, cores, label):
                    runs.setdefault(side.name, []).append(result)
        for side, count in sides:
            fewer = max(count // 10, 1)
            if side.name in runs and fewer < count:
                result = _tell_run(side, city, fewer, window, cores, "few, for memory")
                if result:
                    few[side.name] = result
    return {name: sum_up(results, few.get(name)) for name, results in runs.items()}


def _tell_run(
    side: Side, city: RunningCity, count: int, window: Window, cores: CorePlan, label: str
) -> RunResult | None:
    try:
        result = run_side(side, city, count, window, cores.measured)
    except RunError as error:
        print(f"  {side.name}, {label}: {error}", flush=True)
        return None
    saturated = "; SATURATED, give it fewer cameras" if result.load > _SATURATED else ""
    problems = f"; PROBLEMS: {'; '.join(result.problems[:4])}" if result.problems else ""
    print(
        f"  {side.name}, {label}: {count} cameras, {result.load:.1%} of a core,"
        f" {result.cost * 1e6:.0f} µs per camera and second, {result.memory_bytes / 1e6:.0f} MB"
        f" (the cameras {result.city_cpu_s / result.elapsed_s:.0%} of theirs){saturated}{problems}",
        flush=True,
    )
    return result


def ratio(numerator: SideFigures | None, denominator: SideFigures | None) -> float | None:
    """Of two costs; None where one wasn't measured."""
    if numerator is None or denominator is None:
        return None
    return round(numerator.cost / denominator.cost, 3)


def summary(figures: dict[str, SideFigures]) -> dict[str, object]:
    """The last line of JSON."""
    ours, floor = figures.get("khupho"), figures.get("floor")
    result: dict[str, object] = {
        "cameras_per_core": round(ours.cameras_per_core, 1) if ours else None,
        "ratio_vs_ffmpeg": ratio(figures.get("ffmpeg"), ours),
        "ratio_vs_pyav": ratio(figures.get("pyav"), ours),
        "ratio_vs_floor": ratio(ours, floor),
        "mb_per_camera": round(ours.memory_per_camera_bytes / 1e6, 4) if ours else None,
        "user_s": round(ours.cost * ours.user, 7) if ours else None,
        "system_s": round(ours.cost * (1 - ours.user), 7) if ours else None,
        "complete": not any(side.problems for side in figures.values()),
    }
    result["sides"] = {name: side.as_json() for name, side in figures.items()}
    result["machine"] = describe()
    return result


def print_table(figures: dict[str, SideFigures], sides: list[tuple[Side, int]]) -> None:
    print(f"{'':8}{'cameras':>8}{'µs/cam/s':>10}{'spread':>16}{'user':>7}{'sys':>7}"
          f"{'cams/core':>11}{'MB/cam':>9}{'socket MB':>11}")  # fmt: skip
    for side, _count in sides:
        one = figures.get(side.name)
        if one is None:
            print(f"{side.name:8}  not measured")
            continue
        micro = [cost * 1e6 for cost in one.costs]
        spread = f"{min(micro):.0f}-{max(micro):.0f}"
        print(f"{one.side:8}{one.cameras:8}{one.cost * 1e6:10.0f}{spread:>16}{one.user:7.0%}"
              f"{1 - one.user:7.0%}{one.cameras_per_core:11.0f}"
              f"{one.memory_per_camera_bytes / 1e6:9.3f}"
              f"{one.sockets_per_camera_bytes / 1e6:11.3f}   {side.what}")  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Recorders side by side, on one core each.")
    parser.add_argument("--cameras", type=int, default=400, help="of this recorder and the floor")
    parser.add_argument(
        "--foreign-cameras", type=int, help="of ffmpeg and PyAV [default: as many, up to 200]"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="measured in each run")
    parser.add_argument("--warm-up", type=float, default=6.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--video", type=Path, help="instead of the real street")
    parser.add_argument("--sides", default="floor,hashed,khupho,ffmpeg,pyav", help="in what order")
    parser.add_argument(
        "--fresh-memory", action="store_true",
        help="write into memory as the machine gives it, not into memory used before",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a last line of JSON")
    return parser.parse_args()


def main() -> None:
    given = parse_arguments()
    video = given.video or real_video(given.codec)
    frames_per_s, bytes_per_s = video_rate(video)
    window = Window(given.seconds, given.warm_up, frames_per_s, bytes_per_s, not given.fresh_memory)
    foreign = given.foreign_cameras or min(given.cameras, FOREIGN_CAMERAS)
    mark_bytes = min(MARK_BYTES, max(int(bytes_per_s / 2), 1))
    known: dict[str, tuple[Side, int]] = {
        "floor": (FloorSide(mark_bytes), given.cameras),
        "hashed": (FloorSide(mark_bytes, hashes=True), given.cameras),
        "khupho": (KhuphoSide(), given.cameras),
        "ffmpeg": (FfmpegSide(), foreign),
        "pyav": (PyAvSide(), foreign),
    }
    try:
        sides = [known[name] for name in given.sides.split(",")]
    except KeyError as error:
        sys.exit(f"--sides: {error} is none of {', '.join(known)}")
    cores = plan_cores()
    print(describe_text())
    print(
        f"{video.name}: {frames_per_s:.4g} frames and {bytes_per_s:.0f} bytes a second", flush=True
    )
    if not cores.is_apart:
        print("ONE CORE ONLY: cameras and recorders disturb each other")
    figures = compare(sides, video, window, given.repeats, cores)
    print_table(figures, sides)
    if given.json:
        print(json.dumps(summary(figures)))


if __name__ == "__main__":
    main()

"""Every fault of the disk under a recorder that records: it says so, it goes on, and nothing is harmed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ground_truth import Comparison, Digests, compare, expected_of, recorded_in, stored_segments
from mounted_disk import MountedDisk, mounted_disk
from station import Station, assert_clean, wait_until

from khupho.archive.segments.reader import SegmentError, walk_segment
from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import CityThread, running_city

CAMERAS = 6
ALARM_WITHIN_S = 30.0
RESUMED_WITHIN_S = 60.0
BEFORE_S = 6.0
AFTER_S = 3.0


@dataclass(frozen=True)
class DiskFault:
    """What goes wrong, and for how long it is left so."""

    name: str
    faults: dict[str, object] = field(default_factory=dict)
    hold_s: float = 12.0
    needs_new_segments: bool = False
    """It shows only where a segment begins: the cameras' timestamps jump meanwhile."""
    yanked: str = ""
    """The disk is torn out, and in its place lies: `nothing`, or `another` archive."""


FAULTS = {
    one.name: one
    for one in (
        DiskFault("full", {"write": "ENOSPC", "create": "ENOSPC", "free_bytes": 0}),
        DiskFault("filling", {"write": "ENOSPC", "after_bytes": 100_000}),
        DiskFault("no inodes", {"create": "ENOSPC"}, needs_new_segments=True),
        DiskFault("write errors", {"write": "EIO"}),
        DiskFault("sync errors", {"fsync": "EIO"}),
        DiskFault(
            "read-only",
            {"write": "EROFS", "create": "EROFS", "change": "EROFS", "fsync": "EROFS"},
        ),
        DiskFault("slow writes", {"write_delay_s": 5.0}, hold_s=30),
        DiskFault("slow syncs", {"fsync_delay_s": 8.0}, hold_s=45),
        DiskFault("one camera's files", {"write": "EIO", "only": "camera-0002"}),
        DiskFault("unmounted", yanked="nothing"),
        DiskFault("swapped", yanked="another"),
    )
}
SHORT = ("full", "sync errors", "unmounted")


def newest_footage_us(root: Path) -> dict[str, int]:
    """Where each camera's footage ends, as its files tell."""
    ends = {}
    for directory in sorted(root.glob("camera-*")):
        paths = sorted(directory.glob("main/*/*.mp4"))
        for path in reversed(paths):
            try:
                walked = walk_segment(root, str(path.relative_to(root)))
            except SegmentError:
                continue
            ends[directory.name] = walked.segment.end_utc_us
            break
    return ends


def sessions(city: CityThread) -> dict[str, int]:
    """How many sessions each camera has had."""
    return city.call(lambda running: {name: len(running.truths(name)) for name in running.cameras})


def put_imposter(root: Path, kind: str) -> dict[str, bytes]:
    """What lies where the disk was; its names and contents."""
    if kind == "another":
        (root / "archive.json").write_text(
            '{"khupho_archive": 1, "id": "%s", "recorder": "x", "created": "2026-01-01T00:00:00Z"}\n'
            % ("ab" * 16)
        )
        (root / "proof").mkdir(exist_ok=True)
        (root / "camera-0001" / "main").mkdir(parents=True, exist_ok=True)
    return contents(root)


def contents(root: Path) -> dict[str, bytes]:
    """Everything below a directory."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
    }


@dataclass
class Outcome:
    """How long things took, and what is missing."""

    alarm_s: float = -1.0
    resumed_s: float = -1.0
    reconnects: int = 0
    missing_pictures: int = 0
    longest_gap_s: float = 0.0


def break_disk(disk: MountedDisk, station: Station, city: CityThread, fault: DiskFault) -> Outcome:
    """Have the fault, wait for the alarm, end it, wait for footage."""
    outcome = Outcome()
    before: dict[str, bytes] = {}
    if fault.yanked:
        disk.yank()
        before = put_imposter(disk.root, fault.yanked)
    else:
        disk.fault(**fault.faults)
    begin_s = time.monotonic()
    if fault.needs_new_segments:
        city.fault("camera-*:jump=100")

    def is_told() -> bool:
        return any(alarm["fault"] == "disk" for alarm in station.status()["alarms"])

    outcome.alarm_s = wait_until(is_told, f"an alarm for {fault.name}", ALARM_WITHIN_S)
    time.sleep(max(fault.hold_s - (time.monotonic() - begin_s), 0))
    assert station.process is not None
    assert station.process.poll() is None, station.log_tail()
    if fault.yanked:
        assert contents(disk.root) == before, "something was written where the disk isn't"
        disk.mount()
    else:
        disk.fault()
    ended_us = time.time_ns() // 1000

    def has_resumed() -> bool:
        ends = newest_footage_us(disk.backing)
        return len(ends) == CAMERAS and min(ends.values()) > ended_us + 500_000

    outcome.resumed_s = wait_until(has_resumed, f"footage after {fault.name}", RESUMED_WITHIN_S)
    return outcome


def torture_disk(tmp_path: Path, clip, fault: DiskFault) -> Outcome:
    digests = Digests(clip)
    with (
        mounted_disk(tmp_path / "disk") as disk,
        running_city(CityPlan(clip, count=CAMERAS, port=0)) as city,
    ):
        station = Station(tmp_path / "data", archive=disk.root, flush_s=2)
        names = [camera_name(n) for n in range(1, CAMERAS + 1)]
        station.add_cameras({name: city.url(n) for n, name in enumerate(names, 1)}, transport="tcp")
        try:
            station.start()
            wait_until(lambda: len(newest_footage_us(disk.backing)) == CAMERAS, "footage at first")
            time.sleep(BEFORE_S)
            had = sessions(city)
            outcome = break_disk(disk, station, city, fault)
            time.sleep(AFTER_S)
            outcome.reconnects = sum(sessions(city).values()) - sum(had.values())
            wait_until(
                lambda: not any(a["fault"] == "disk" for a in station.status()["alarms"]),
                "the alarm's end", 150,
            )  # fmt: skip
            assert_clean(station.check())
            assert station.stop() == 0, station.log_tail()
            assert_clean(station.check())
            for name in names:
                (truth,) = city.call(lambda running, name=name: running.truths(name))[-1:]
                found = lacking(disk.backing, name, truth, digests)
                outcome.missing_pictures += found.whole_missing
                gaps = [gap.pictures / 25 for gap in found.missing]
                outcome.longest_gap_s = max([outcome.longest_gap_s, *gaps])
        finally:
            station.close()
    print(f"{fault.name}: {outcome}")
    return outcome


def lacking(root: Path, name: str, truth, digests: Digests) -> Comparison:
    """What the archive lacks of a session."""
    segments = [s for s in stored_segments(root, name) if s.start_utc_us >= truth.started_utc_us]
    return compare(expected_of(truth, digests), recorded_in(root, segments))


def judge(outcome: Outcome, fault: DiskFault) -> None:
    assert outcome.reconnects == 0, "sessions ended because of the disk"
    assert outcome.longest_gap_s <= fault.hold_s + 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", SHORT)
def test_faults_of_the_disk(tmp_path, torture_clip, name):
    judge(torture_disk(tmp_path, torture_clip, FAULTS[name]), FAULTS[name])


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SHORT])
def test_other_faults_of_the_disk(tmp_path, torture_clip, name):
    judge(torture_disk(tmp_path, torture_clip, FAULTS[name]), FAULTS[name])

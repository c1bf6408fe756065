"""SIGKILL at random moments under 50 cameras, again and again."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from ground_truth import Digests, compare, expected_of, recorded_in
from station import AppendOnly, Committed, Station, assert_clean

from khupho.archive.proof.leaf_record import RECORD_BYTES
from khupho.archive.proof.log import LEAVES_NAME
from khupho.archive.segments.reader import SegmentError, WalkedSegment, walk_segment
from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import CityThread, running_city

CAMERAS = 50
KEPT_US = 1_000_000
MOST_LOST_US = 1_000_000
SHORT_KILLS = 8
KILLS_AN_ARCHIVE = 20
LONG_KILLS = int(os.environ.get("KHUPHO_TORTURE_KILLS", "200"))


def walked_segments(root: Path) -> list[WalkedSegment]:
    """Every segment that can be read, as it lies there now."""
    found = []
    for path in sorted(root.glob("*/*/*/*.mp4")):
        try:
            found.append(walk_segment(root, str(path.relative_to(root))))
        except SegmentError:
            continue  # killed between its creation and its first fragment
    return found


class Tally:
    """What came out of all kills."""

    def __init__(self) -> None:
        self.kills = 0
        self.losses_us: list[int] = []
        """Of each stream that was playing at each kill."""
        self.pictures = 0

    def __str__(self) -> str:
        ordered = sorted(self.losses_us) or [0]
        return (
            f"{self.kills} kills, {len(self.losses_us)} streams killed while playing, {self.pictures} "
            f"pictures compared; lost per kill and stream: median {ordered[len(ordered) // 2] / 1e6:.2f} s, "
            f"99 % {ordered[len(ordered) * 99 // 100] / 1e6:.2f} s, most {ordered[-1] / 1e6:.2f} s"
        )


def sent_so_far(city: CityThread, digests: Digests) -> dict[str, tuple]:
    """Per camera, the running session's truth and what it has sent by now. Taken in the city's thread."""

    def take(running) -> dict[str, tuple]:
        found = {}
        for name in running.cameras:
            truths = running.truths(name)
            if truths and truths[-1].unit_count:
                found[name] = (truths[-1], truths[-1].unit_count)
        return found

    return city.call(take)


def torture(tmp_path: Path, clip, kills: int, seed: int, tally: Tally) -> None:
    """Kill so often, and add to the tally."""
    rng = random.Random(seed)
    digests = Digests(clip)
    station = Station(tmp_path / "data")
    committed = Committed(station.root)
    leaves = AppendOnly(station.root / LEAVES_NAME)
    journal = AppendOnly(station.root / "journal.jsonl")
    with running_city(CityPlan(clip, count=CAMERAS, port=0)) as city:
        names = [camera_name(n) for n in range(1, CAMERAS + 1)]
        station.add_cameras({name: city.url(n) for n, name in enumerate(names, 1)}, transport="tcp")
        try:
            for kill in range(kills):
                station.start()
                # Mostly while all plays, sometimes while sessions begin and recovery still runs.
                time.sleep(
                    rng.choice((rng.uniform(0.0, 1.5), rng.uniform(3, 8), rng.uniform(5, 13)))
                )
                assert station.process is not None
                assert station.process.poll() is None, station.log_tail()
                before = sent_so_far(city, digests)
                station.kill()
                tally.kills += 1
                walked = walked_segments(station.root)
                committed.assert_unchanged()
                committed.remember(walked)
                leaves.check(torn_bytes=RECORD_BYTES)
                journal.check(torn_bytes=4096)
                judge_kill(station, before, walked, digests, tally)
                assert_clean(station.check())
                if kill % 20 == 19 or kill == kills - 1 or rng.random() < 0.05:
                    # Made good by a start, with all of recovery done, and then looked at while it runs.
                    station.start()
                    time.sleep(4)
                    assert_clean(station.check())
                    assert station.stop() == 0
                    committed.assert_unchanged()
                    assert_clean(station.check())
        finally:
            station.close()


def judge_kill(station, before, walked, digests, tally) -> None:
    """What the killed recorder's last sessions lack."""
    by_camera: dict[str, list[WalkedSegment]] = {}
    for one in walked:
        by_camera.setdefault(one.segment.camera, []).append(one)
    for name, (truth, count) in before.items():
        segments = [
            one.segment for one in by_camera.get(name, ())
            if one.segment.start_utc_us >= truth.started_utc_us
        ]  # fmt: skip
        expected = expected_of(truth, digests)
        sent = expected[:count]
        recorded = recorded_in(station.root, segments)
        # What reached the archive after the count was taken is no matter of this judgement.
        found = compare(expected, recorded)
        assert found.head == 0 or not recorded, (
            f"{name}: {found.head} pictures missing at the start"
        )
        assert found.whole_missing == 0, f"{name}: {found.missing}"
        kept = found.sent - found.tail
        lost_us = max(len(sent) - kept, 0) * 40_000
        tally.losses_us.append(lost_us)
        tally.pictures += len(recorded)


def test_a_few_kills(tmp_path, torture_clip):
    tally = Tally()
    torture(tmp_path, torture_clip, SHORT_KILLS, 1, tally)
    print(tally)
    assert max(tally.losses_us) <= MOST_LOST_US, str(tally)
    assert tally.pictures > 1000


@pytest.mark.torture
@pytest.mark.timeout(3 * 3600)
def test_many_kills(tmp_path, torture_clip):
    """Some at a time: an archive of all of them would be looked at longer than it is recorded to."""
    tally = Tally()
    for batch, begin in enumerate(range(0, LONG_KILLS, KILLS_AN_ARCHIVE)):
        directory = tmp_path / str(batch)
        kills = min(KILLS_AN_ARCHIVE, LONG_KILLS - begin)
        torture(directory, torture_clip, kills, 100 + batch, tally)
        shutil.rmtree(directory)
        print(tally, flush=True)
    assert max(tally.losses_us) <= MOST_LOST_US, str(tally)

"""Power cuts at every moment: what wasn't synced is there, missing or torn."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from judged_cut import Judgement, judge
from mounted_disk import mounted_disk
from power_cut import DiskModel, Names, Unsynced, materialise
from station import Station, wait_until
from traced_recording import FLUSH_INTERVAL_S
from write_trace import Op, read_trace

from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import running_city
from khupho.recorder.secrets import load_signing_key
from khupho.units import US_PER_S

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""Of `recording_by_hand`."""
MOST_LOST_US = FLUSH_INTERVAL_S * US_PER_S + 2 * 480_000
"""The flush interval; the keeper of this recording looks every 0.48 s, and footage comes as often."""
SHORT_CUTS = 60


@pytest.fixture(scope="module")
def traced(tmp_path_factory) -> tuple[list[Op], Path]:
    directory = tmp_path_factory.mktemp("traced")
    program = Path(__file__).parent / "traced_recording.py"
    words = [sys.executable, str(program), str(directory / "root"), str(directory / "trace")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return list(read_trace(directory / "trace")), directory / "root"


def test_the_trace_is_complete(traced):
    """All that is in the directory at the end can be made from the trace."""
    ops, root = traced
    model = DiskModel()
    model.take_all(ops)
    found = model.cut(Unsynced.KEPT, random.Random(1))
    made = {path: data for path, data in found.items() if data is not None}
    real = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*") if path.is_file() and not path.name.endswith("-shm")
    }  # fmt: skip
    assert made == real
    assert len(ops) > 800


def cut_and_judge(
    ops: list[Op], places: list[int], tmp_path: Path, names: Names, rng: random.Random,
    key: Ed25519PrivateKey = KEY,
) -> Judgement:  # fmt: skip
    """Cut the power after each of these numbers of ops, in one pass over them."""
    judgement = Judgement()
    model = DiskModel(names)
    rest = iter(ops)
    done = 0
    for place in sorted(places):
        model.take_all(islice(rest, place - done))
        done = place
        now_utc_us = model.mark or time.time_ns() // 1000
        for name in ("cut", "promised", "written"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        how = rng.choice(list(Unsynced))
        sector_bytes = rng.choice((512, 4096))
        seed = rng.randrange(1 << 30)
        found = model.cut(how, random.Random(seed), sector_bytes)
        materialise(found, tmp_path / "cut")
        materialise(model.cut(Unsynced.DROPPED, random.Random(seed)), tmp_path / "promised")
        materialise(model.cut(Unsynced.KEPT, random.Random(seed)), tmp_path / "written")
        judge(
            tmp_path / "cut", tmp_path / "promised", tmp_path / "written", key, now_utc_us, judgement,
            where=f"after {place} ops, {names.value}, {how.value} by {sector_bytes}, seed {seed}",
        )  # fmt: skip
    return judgement


@pytest.mark.parametrize("names", list(Names))
def test_some_moments(traced, tmp_path, names):
    ops, _root = traced
    rng = random.Random(11)
    places = rng.sample(range(1, len(ops) + 1), SHORT_CUTS)
    judgement = cut_and_judge(ops, places, tmp_path, names, rng)
    print(judgement)
    assert judgement.longest_loss_us <= MOST_LOST_US, str(judgement)
    assert judgement.kept_fragments > 100


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("names", list(Names))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_moment(traced, tmp_path, names, seed):
    ops, _root = traced
    places = list(range(1, len(ops) + 1))
    judgement = cut_and_judge(ops, places, tmp_path, names, random.Random(seed))
    print(judgement)
    assert judgement.longest_loss_us <= MOST_LOST_US, str(judgement)


def real_recorder_on_a_traced_disk(tmp_path: Path, clip, seconds: float) -> tuple[list[Op], Path]:
    """The program itself under cameras, on a FUSE file system that sees all that reaches the disk."""
    cameras = 8
    with (
        mounted_disk(tmp_path / "disk", traced=True) as disk,
        running_city(CityPlan(clip, count=cameras, port=0)) as city,
    ):
        station = Station(tmp_path / "data", archive=disk.root, flush_s=REAL_FLUSH_S)
        names = [camera_name(n) for n in range(1, cameras + 1)]
        station.add_cameras({name: city.url(n) for n, name in enumerate(names, 1)}, transport="tcp")
        try:
            station.start()
            wait_until(lambda: set(station.phases().values()) == {"playing"}, "all play")
            for n in range(3):
                time.sleep(seconds / 3)
                city.fault(f"camera-000{n + 1}:jump=60")
            station.kill()
            station.start()
            time.sleep(4)
            station.kill()
            disk.fault()
        finally:
            station.close()
        return list(read_trace(disk.trace)), station.data


REAL_FLUSH_S = 2
REAL_MOST_LOST_US = (REAL_FLUSH_S + 1) * US_PER_S
"""The flush interval, and the second that a process has in hand when a flush begins."""


def judge_real(tmp_path: Path, clip, seconds: float, cuts: int, seed: int) -> None:
    ops, data = real_recorder_on_a_traced_disk(tmp_path, clip, seconds)
    rng = random.Random(seed)
    places = rng.sample(range(len(ops) // 20, len(ops)), cuts)
    judgement = cut_and_judge(ops, places, tmp_path, Names.STRICT, rng, load_signing_key(data))
    print(judgement)
    assert judgement.longest_loss_us <= REAL_MOST_LOST_US, str(judgement)
    assert judgement.kept_fragments > 10 * cuts


def test_the_real_recorder(tmp_path, torture_clip):
    judge_real(tmp_path, torture_clip, 9, 15, 1)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_the_real_recorder_for_longer(tmp_path, torture_clip):
    judge_real(tmp_path, torture_clip, 60, 300, 2)

"""The catalog deleted or spoiled, while a recorder runs or none does: made anew, with the same answers."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from station import KHUPHO, Station, assert_clean, wait_until

from khupho.archive.catalog.catalog import CATALOG_NAME
from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import CityThread, running_city

CAMERAS = 6
SHORT_ROUNDS = 8
LONG_ROUNDS = 100


def catalog_files(root: Path) -> list[Path]:
    """The database and what SQLite lays beside it."""
    return sorted(root.glob(CATALOG_NAME + "*"))


def spoil(root: Path, how: str, rng: random.Random) -> str:
    """Do something to the catalog; says what."""
    path = root / CATALOG_NAME
    if how == "delete":
        for one in catalog_files(root):
            one.unlink()
        return how
    data = bytearray(path.read_bytes())
    if how == "truncate":
        at = rng.randrange(len(data))
        path.write_bytes(data[:at])
        return f"truncate at {at}"
    if how == "empty":
        path.write_bytes(b"")
        return how
    if how == "noise":
        at = rng.randrange(max(len(data) - 4096, 1))
        path.write_bytes(data[:at] + rng.randbytes(4096) + data[at + 4096 :])
        return f"noise at {at}"
    places = [rng.randrange(len(data)) for _ in range(rng.randint(1, 8))]
    with path.open("r+b") as file:
        for at in places:
            file.seek(at)
            file.write(bytes((data[at] ^ 1 << rng.randrange(8),)))
    return f"bits flipped at {places}"


HOWS = ("delete", "truncate", "empty", "noise", "flip", "flip", "flip", "flip")


def record_something(station: Station, city: CityThread) -> None:
    """Several segments a camera, with gaps of several causes."""
    station.start()
    time.sleep(5)
    city.fault("camera-0001:reboot=1")
    city.fault("camera-0002:jump=50")
    city.fault("camera-0003:drop-next=9")
    time.sleep(5)
    station.kill()
    time.sleep(1)
    station.start()
    time.sleep(5)
    assert station.stop() == 0


@pytest.fixture
def station_with_footage(tmp_path, torture_clip):
    with running_city(CityPlan(torture_clip, count=CAMERAS, port=0)) as city:
        station = Station(tmp_path / "data", flush_s=1)
        names = [camera_name(n) for n in range(1, CAMERAS + 1)]
        station.add_cameras({name: city.url(n) for n, name in enumerate(names, 1)}, transport="tcp")
        try:
            record_something(station, city)
            yield station, city
        finally:
            station.close()


def spoil_while_stopped(station: Station, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    before = station.list_footage()
    assert before.count('"gaps"') >= CAMERAS
    whole = {path.name: path.read_bytes() for path in catalog_files(station.root)}
    for n in range(rounds):
        what = spoil(station.root, HOWS[n % len(HOWS)], rng)
        answer = station.list_footage()
        if HOWS[n % len(HOWS)] in ("delete", "truncate", "empty"):
            # Readers turn to the files by themselves. (A flipped bit in a row nobody can see but a check.)
            assert answer == before, what
        done = _run(station, "archive", "rebuild")
        assert done == 0, what
        assert station.list_footage() == before, what
        assert_clean(station.check(deep=False))
        for path in catalog_files(station.root):
            path.unlink()
        for name, data in whole.items():
            (station.root / name).write_bytes(data)


def _run(station: Station, *words: str) -> int:
    import subprocess

    return subprocess.run(
        [*KHUPHO, *words, "--data", str(station.data), "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    ).returncode  # fmt: skip


def spoil_while_running(station: Station, rounds: int, seed: int) -> None:
    """The recorder notices, makes it anew while it records, and loses nothing by it."""
    rng = random.Random(seed)
    for n in range(rounds):
        before = station.list_footage()
        station.start()
        time.sleep(2)
        what = spoil(station.root, HOWS[n % len(HOWS)], rng)
        time.sleep(rng.uniform(2, 4))
        assert station.process is not None
        assert station.process.poll() is None, (what, station.log_tail())
        flows = wait_until(
            lambda: set(station.phases().values()) == {"playing"},
            f"all flow after {what}",
        )  # fmt: skip
        assert flows < 30
        assert station.stop() == 0, (what, station.log_tail())
        report = station.check()
        if not report["well"]:
            # A flip that nobody met while it ran is told by the check; a start that finds the catalog
            # sound, and it isn't, is mended by a rebuild.
            assert {finding["invariant"] for finding in report["findings"]} == {10}, report
            assert _run(station, "archive", "rebuild") == 0
        assert_clean(station.check())
        after = station.list_footage()
        assert len(after) >= len(before)


def test_spoiled_while_stopped(station_with_footage):
    station, _city = station_with_footage
    spoil_while_stopped(station, SHORT_ROUNDS, 1)


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_spoiled_while_running(station_with_footage):
    station, _city = station_with_footage
    spoil_while_running(station, 5, 2)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_spoiled_a_hundred_times_while_stopped(station_with_footage):
    station, _city = station_with_footage
    spoil_while_stopped(station, LONG_ROUNDS, 3)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_spoiled_many_times_while_running(station_with_footage):
    station, _city = station_with_footage
    spoil_while_running(station, 24, 4)

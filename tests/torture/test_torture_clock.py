"""The machine's date steps while the recorder records: no overlap, nothing deleted before its time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ground_truth import Digests, compare, expected_of, recorded_in, stored_segments
from station import Station, assert_clean, wait_until

from khupho.archive.check.check import check_archive
from khupho.archive.retention.plan import DaysPolicy
from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import running_city
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_S, parse_utc

sys.path.insert(0, str(Path(__file__).parent.parent / "archive"))
from recording_by_hand import Recording

CAMERAS = 4
FAKETIME_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/arm-linux-gnueabihf/faketime/libfaketime.so.1",
)
STEPS_S = {"a second on": 1, "a second back": -1, "an hour on": 3600, "an hour back": -3600}
DATES = {"1970": "1970-01-01T00:00:10Z", "2038": "2038-01-19T03:14:00Z"}


def assert_whole(recording: Recording) -> None:
    report = check_archive(recording.root, deep=True)
    assert report.is_well, [finding.fields() for finding in report.findings]


def files(recording: Recording) -> set[str]:
    return {str(path.relative_to(recording.root)) for path in recording.root.rglob("*.mp4")}


# By hand


@pytest.mark.parametrize("synchronised", [False, True])
@pytest.mark.parametrize("name", [*STEPS_S, *DATES])
def test_steps_by_hand(tmp_path, name, synchronised):
    """A day's footage is kept for a day at least, whatever the date says meanwhile; and back again."""
    recording = Recording(
        tmp_path / "archive",
        policies={"gate": DaysPolicy(1, 1), "yard": DaysPolicy(1, 2)},
        synchronised=synchronised,
    )
    clock = recording.clock
    recording.run(30, "gate", "yard")
    recording.hang_up()
    recording.run(30, "gate", "yard")
    before = files(recording)
    if name in STEPS_S:
        step_us = STEPS_S[name] * US_PER_S
    else:
        step_us = parse_utc(DATES[name]) - clock.utc_us()
    clock.step(step_us)
    recording.run(90, "gate", "yard")
    if not (synchronised and name == "2038"):
        # A time service that vouches for 2038 is believed: then a day has long passed.
        assert before <= files(recording), "deleted before its time"
    assert_whole(recording)
    clock.step(-step_us)
    recording.run(60, "gate", "yard")
    recording.kill()
    recording.restart()
    recording.run(30, "gate", "yard")
    assert recording.close()
    assert_whole(recording)
    if not (synchronised and name == "2038"):
        assert before <= files(recording), "deleted before its time"


def test_many_steps_by_hand(tmp_path):
    """One after the other, through kills, without a pause."""
    import random

    rng = random.Random(5)
    recording = Recording(
        tmp_path / "archive", policies={"gate": DaysPolicy(1, 1)}, synchronised=False
    )
    before: set[str] = set()
    for n in range(40):
        recording.run(6, "gate", "yard")
        assert before <= files(recording)
        before = files(recording)
        recording.clock.step(
            rng.choice((1, -1)) * rng.choice((US_PER_S, US_PER_HOUR, US_PER_DAY, 400 * US_PER_DAY))
        )
        if recording.clock.utc_us() < 0:
            recording.clock.step(parse_utc("1970-01-02T00:00:00Z") - recording.clock.utc_us())
        if n % 7 == 3:
            recording.kill()
            recording.restart()
    assert recording.close()
    assert_whole(recording)


# The real recorder, its date alone faked


class FakeDate:
    """The date that one process sees, in a file that libfaketime reads anew."""

    def __init__(self, directory: Path) -> None:
        self.library = next((path for path in FAKETIME_LIBRARIES if Path(path).exists()), "")
        if not self.library:
            pytest.skip("needs libfaketime (Debian package faketime)")
        self.path = directory / "faketime"
        self.set_offset(0)

    def set_offset(self, seconds: float) -> None:
        """The true date and so many seconds."""
        draft = self.path.with_suffix(".new")
        draft.write_text(f"{seconds:+.6f}s\n")
        draft.replace(self.path)

    def set_date(self, text: str) -> None:
        """The date steps to that one, and goes on from there."""
        self.set_offset(parse_utc(text) / US_PER_S - time.time())

    @property
    def environment(self) -> dict[str, str]:
        """For the recorder's process."""
        return {
            "LD_PRELOAD": self.library,
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def test_the_fake_date_is_seen_by_one_process_only(tmp_path):
    date = FakeDate(tmp_path)
    date.set_date("2038-01-19T03:14:00Z")
    code = "import time; print(time.time()); print(time.monotonic())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, **date.environment},
    )  # fmt: skip
    seen, mono = map(float, done.stdout.split())
    assert datetime.fromtimestamp(seen, UTC).year == 2038
    assert abs(mono - time.monotonic()) < 60
    assert datetime.now(UTC).year < 2038


def step_the_recorders_date(tmp_path, clip, steps: list[tuple[str, object]]) -> None:
    date = FakeDate(tmp_path)
    digests = Digests(clip)
    with running_city(CityPlan(clip, count=CAMERAS, port=0)) as city:
        station = Station(tmp_path / "data", flush_s=2)
        names = [camera_name(n) for n in range(1, CAMERAS + 1)]
        station.add_cameras({name: city.url(n) for n, name in enumerate(names, 1)}, transport="tcp")
        try:
            station.start(date.environment)
            wait_until(lambda: set(station.phases().values()) == {"playing"}, "all flow")
            time.sleep(5)
            before: set[str] = set()
            for name, step in steps:
                if isinstance(step, str):
                    date.set_date(step)
                else:
                    date.set_offset(step)
                time.sleep(5)
                assert station.process is not None
                assert station.process.poll() is None, (name, station.log_tail())
                there = {str(path) for path in station.root.rglob("*.mp4")}
                assert before <= there, f"{name}: deleted before its time"
                before = there
            date.set_offset(0)
            time.sleep(3)
            assert station.stop() == 0, station.log_tail()
            assert_clean(station.check())
            for name in names:
                (truth,) = city.call(lambda running, name=name: running.truths(name))
                recorded = recorded_in(station.root, stored_segments(station.root, name))
                found = compare(expected_of(truth, digests), recorded)
                assert found.whole_missing == 0, f"{name}: {found.missing}"
                assert found.tail_us() <= US_PER_S
        finally:
            station.close()


def test_a_date_that_goes_wrong_and_is_set_right(tmp_path, torture_clip):
    """Sessions go on, no picture is lost, and nothing overlaps."""
    step_the_recorders_date(
        tmp_path,
        torture_clip,
        [("an hour on", 3600.0), ("an hour back", -3600.0), ("1970", DATES["1970"])],
    )


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_every_wrong_date(tmp_path, torture_clip):
    steps: list[tuple[str, object]] = []
    for name, seconds in STEPS_S.items():
        steps += [(name, float(seconds)), ("right", 0.0)]
    for name, text in DATES.items():
        steps += [(name, text), ("right", 0.0)]
    step_the_recorders_date(tmp_path, torture_clip, steps * 2)

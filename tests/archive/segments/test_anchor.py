"""The anchor under jitter, drift, bursts and jumps: true time is known here, and the error is measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.events import Arrival
from khupho.archive.segments.anchor import DISAGREEMENT_US, Anchor
from khupho.units import MEDIA_CLOCK_HZ, US_PER_HOUR, US_PER_S

T0_US = 1_800_000_000_000_000
BATCH_US = 400_000
GOP_US = 2_000_000
Delay = Callable[[random.Random], float]


def lan(dice: random.Random) -> float:
    return 2_000 + dice.expovariate(1 / 5_000)


def wifi(dice: random.Random) -> float:
    return 5_000 + dice.expovariate(1 / 60_000)


def swept(dice: random.Random) -> float:
    """As if every read came from the sweep."""
    return dice.uniform(0, 600_000)


@dataclass
class Simulated:
    """A camera for a while, dated by an anchor as a writer would."""

    anchor: Anchor = field(default_factory=Anchor)
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    now_us: int = 0
    media_90k: float = 0.0
    last_arrival_us: int = 0
    end_us: int = 0
    segments: int = 0
    since_key_us: int = GOP_US
    errors_us: list[int] = field(default_factory=list)
    seams_us: list[int] = field(default_factory=list)

    def run(self, length_us: int, ppm: float, delay: Delay) -> None:
        before_us = None
        for _ in range(length_us // BATCH_US):
            self.now_us += BATCH_US
            self.media_90k += BATCH_US * 0.09 * (1 + ppm / 1e6)
            self.last_arrival_us = max(
                self.last_arrival_us + 1, self.now_us + int(delay(self.dice))
            )
            arrival = Arrival(T0_US + self.last_arrival_us, self.last_arrival_us)
            pts = int(self.media_90k)
            self.anchor.observe(pts, arrival, is_jump_taken=True)
            is_key = self.since_key_us >= GOP_US
            self.since_key_us = BATCH_US if is_key else self.since_key_us + BATCH_US
            if not self.segments or (self.anchor.turn and is_key):
                if self.segments:
                    self.end_us = max(self.end_us, self.anchor.utc_us(pts))
                start_us = self.anchor.begin(pts, self.end_us, 1_000)
                assert start_us >= self.end_us
                if self.segments:
                    self.seams_us.append(start_us - self.end_us)
                self.segments += 1
                before_us = None
            utc_us = self.anchor.utc_us(pts)
            if before_us is not None:
                media_us = BATCH_US * (1 + ppm / 1e6) * MEDIA_CLOCK_HZ / self.anchor.hz
                moved = abs(utc_us - before_us - media_us)
                assert moved <= media_us * 500 / 1e6 + 20, "more than 500 ppm within a segment"
            before_us = utc_us
            assert utc_us >= self.end_us
            self.end_us = utc_us
            self.errors_us.append(utc_us - T0_US - self.now_us)

    def worst_us(self, after_us: int = 60 * US_PER_S) -> int:
        return max(abs(error) for error in self.errors_us[after_us // BATCH_US :])


@pytest.mark.parametrize("ppm", [0, 50, -50, 300, -300])
@pytest.mark.parametrize(("delay", "bound_us"), [(lan, 30_000), (wifi, 150_000)])
def test_usual_clocks_stay_in_one_segment_for_hours(ppm: int, delay: Delay, bound_us: int):
    camera = Simulated()
    camera.run(5 * US_PER_HOUR, ppm, delay)
    assert camera.segments == 1
    assert camera.worst_us() < bound_us
    assert abs(camera.errors_us[-1]) < 25_000


@pytest.mark.parametrize("ppm", [700, -700, 10_000, -10_000, 100_000, -100_000])
@pytest.mark.parametrize("delay", [lan, wifi, swept])
def test_a_wrong_rate_is_measured_and_taken_on(ppm: int, delay: Delay):
    camera = Simulated()
    camera.run(4 * US_PER_HOUR, ppm, delay)
    assert 2 <= camera.segments <= 12
    assert camera.anchor.hz == pytest.approx(MEDIA_CLOCK_HZ * (1 + ppm / 1e6), rel=0.0006)
    assert camera.worst_us(US_PER_HOUR) < 2_500_000
    assert abs(camera.errors_us[-1]) < 120_000
    # Small errors are not jumped over: the picture is not missing.
    if abs(ppm) == 10_000 and delay is not swept:
        assert max(camera.seams_us) <= 1
        assert camera.worst_us() < 600_000


def test_stalls_and_bursts_disturb_nothing():
    held_us = 0.0

    def stalling(dice: random.Random) -> float:
        nonlocal held_us
        if dice.random() < 0.01:
            held_us = dice.uniform(1e6, 8e6)
        held_us = max(held_us - dice.uniform(0.5, 6) * BATCH_US, 0)
        return lan(dice) + held_us

    camera = Simulated()
    camera.run(4 * US_PER_HOUR, 80, stalling)
    assert camera.segments == 1
    assert camera.worst_us() < 15_000


def test_a_camera_that_changes_its_rate_is_followed():
    camera = Simulated()
    camera.run(US_PER_HOUR, 0, wifi)
    camera.run(US_PER_HOUR, -400_000, wifi)  # stamps 25 a second, sends 15 at night
    assert camera.anchor.hz == pytest.approx(MEDIA_CLOCK_HZ * 0.6, rel=0.001)
    assert abs(camera.errors_us[-1]) < 100_000
    assert camera.segments < 12


@settings(max_examples=25, deadline=None)
@given(
    st.integers(-450, 450),
    st.floats(100, 80_000),
    st.integers(0, 1_000_000),
    st.integers(0, 2**32),
)
def test_any_usual_camera(ppm: int, jitter_us: float, latency_us: int, seed: int):
    camera = Simulated(dice=random.Random(seed))
    camera.run(US_PER_HOUR, ppm, lambda dice: latency_us + dice.expovariate(1 / jitter_us))
    assert camera.segments <= 2
    late = [error - latency_us for error in camera.errors_us[60 * US_PER_S // BATCH_US :]]
    assert all(-60_000 < error < max(8 * jitter_us, 20_000) for error in late)


def test_a_camera_that_stood_still_is_set_right_once():
    camera = Simulated()
    camera.run(300 * US_PER_S, 0, lan)
    camera.now_us += 2_500_000  # its clock stood, ours did not
    camera.run(300 * US_PER_S, 0, lan)
    assert camera.segments == 2
    assert 2_400_000 < camera.seams_us[0] < 2_600_000
    assert abs(camera.errors_us[-1]) < 10_000


def test_a_leap_ahead_is_told_and_not_taken_in():
    anchor = Anchor()
    assert not anchor.has_line
    for second in range(30):
        assert not anchor.observe(
            second * 90_000, Arrival(T0_US + second * US_PER_S, second * US_PER_S)
        )
    assert anchor.begin(0, 0, 0) == T0_US
    at = 31 * US_PER_S
    leapt = 31 * 90_000 + 2 * 90_000
    assert anchor.observe(leapt, Arrival(T0_US + at, at))
    assert anchor.utc_us(31 * 90_000) == T0_US + at
    assert not anchor.observe(leapt, Arrival(T0_US + at, at), is_jump_taken=True)
    anchor.observe(leapt + 9_000, Arrival(T0_US + at + 100_000, at + 100_000))
    assert anchor.turn
    anchor.reset()
    assert not anchor.has_line
    assert not anchor.observe(5, Arrival(T0_US, 0))


def test_footage_that_would_overlap_begins_where_the_last_ended():
    anchor = Anchor()
    anchor.observe(0, Arrival(T0_US, 0))
    assert anchor.begin(0, T0_US + 700_000, 0) == T0_US + 700_000
    for step in range(1, 200):
        anchor.observe(step * 36_000, Arrival(T0_US + step * BATCH_US, step * BATCH_US))
    # It is 0.7 s late, comes back by 500 ppm, and makes no segment of it.
    assert not anchor.turn
    error = anchor.utc_us(199 * 36_000) - T0_US - 199 * BATCH_US
    assert error == pytest.approx(700_000 - 199 * BATCH_US * 500 / 1e6, abs=500)


def test_a_seam_is_closed_only_if_it_is_small():
    for seam_us, wanted_us in ((0, 900), (1_000, 0)):
        anchor = Anchor()
        anchor.observe(0, Arrival(T0_US + 900, 0))
        assert anchor.begin(0, T0_US, seam_us) == T0_US + wanted_us
    assert DISAGREEMENT_US == 500_000

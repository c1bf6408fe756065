"""Rates and counters of one connection."""

from __future__ import annotations

from khupho.media.samples import Sample, SampleBatch
from khupho.recorder.measure import SessionMeasures
from khupho.units import US_PER_S


def batch(first_pts: int, count: int, *, key_at: int | None = None, lost: int = 0) -> SampleBatch:
    samples = [
        Sample(first_pts + 3600 * i, 1000, i == key_at, lost if i == 0 else 0) for i in range(count)
    ]
    return SampleBatch([memoryview(bytes(1000 * count))], samples, None, 1000 * count)


def test_rates_are_those_of_the_last_five_seconds() -> None:
    measures = SessionMeasures()
    for second in range(20):
        frames = 50 if second < 10 else 25
        measures.take(batch(second * 90_000, frames), second)
        measures.tick(second * US_PER_S)
    assert measures.fps == 25.0
    assert measures.bits_per_s == 25 * 1000 * 8
    assert measures.frames == 750


def test_key_interval_and_losses_are_counted() -> None:
    measures = SessionMeasures()
    measures.take(batch(0, 25, key_at=0), 0)
    measures.take(batch(90_000, 25), 1)
    measures.take(batch(180_000, 25, key_at=0, lost=7), 2)
    assert measures.key_interval_us == 2 * US_PER_S
    assert measures.lost_packets == 7
    assert measures.last_frame_utc_us == 2


def test_no_rate_before_time_has_passed() -> None:
    measures = SessionMeasures()
    measures.take(batch(0, 25), 0)
    measures.tick(5)
    assert measures.fps == 0.0


def test_gulps_do_not_blur_the_rate() -> None:
    measures = SessionMeasures()
    seen = set()
    for frame in range(500):
        if frame % 12 == 11:  # twelve pictures at once, every 480 ms
            measures.take(batch((frame - 11) * 3_600, 12), frame)
        if frame % 25 == 24:
            measures.tick(frame * 40_000)
            seen.add(measures.fps)
    assert seen - {0.0} == {25.0}


def test_a_camera_that_stops_or_jumps_is_measured_by_the_clock() -> None:
    measures = SessionMeasures()
    for second in range(6):
        measures.take(batch(second * 90_000, 25), second)
        measures.tick(second * US_PER_S)
    for second in range(6, 12):
        measures.tick(second * US_PER_S)
    assert (measures.fps, measures.bits_per_s) == (0.0, 0)
    for second in range(12, 18):
        measures.take(batch(10**9 + second * 90_000, 25), second)
        measures.tick(second * US_PER_S)
    assert measures.fps == 25.0

"""When promises break, known early."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.retention.forecast import CameraUse, forecast
from khupho.units import US_PER_DAY, US_PER_HOUR

GB = 1_000_000_000
DAY = US_PER_DAY


def use(camera: str, gb_per_day: float, guaranteed_days: int, kept_days: float) -> CameraUse:
    rate = int(gb_per_day * GB)
    kept_us = int(kept_days * DAY)
    return CameraUse(
        camera, rate * 2, 2 * DAY, guaranteed_days * DAY, kept_us, rate * kept_us // DAY
    )


def test_enough_room_is_enough_for_ever() -> None:
    made = forecast([use("gate", 20, 30, 4)], 600 * GB)
    assert made.is_kept
    assert made.warning() is None
    assert (made.needed_bytes, made.holds_percent) == (600 * GB, 100)


def test_it_is_known_on_the_first_day() -> None:
    made = forecast([use("gate", 20, 30, 1)], 300 * GB)
    assert made.breaks_in_us is not None
    assert round(made.breaks_in_us / DAY, 6) == 14
    assert made.holds_percent == 50
    warning = made.warning()
    assert warning is not None
    assert "In 14 days" in warning.what
    assert "Add 300.0 GB" in warning.advice


def test_cameras_stop_growing_one_after_the_other() -> None:
    # 10 GB a day for 5 days (2 kept), 1 GB a day for 100 days (0 kept): 60 of 80 GB are free.
    uses = [use("short", 10, 5, 2), use("long", 1, 100, 0)]
    made = forecast(uses, 80 * GB)
    # 33 GB in the first three days, then 1 GB a day for the other 27.
    assert made.breaks_in_us is not None
    assert round(made.breaks_in_us / DAY, 6) == 30


def test_broken_already() -> None:
    made = forecast([use("gate", 20, 30, 20)], 390 * GB)
    assert made.breaks_in_us == 0
    warning = made.warning()
    assert warning is not None
    assert "being deleted" in warning.what


def test_a_higher_rate_than_before_counts() -> None:
    grown = CameraUse("gate", 40 * GB, DAY, 10 * DAY, 10 * DAY, 200 * GB)
    made = forecast([grown], 300 * GB)
    assert made.needed_bytes == 400 * GB
    assert made.breaks_in_us == 10 * DAY


def test_a_camera_of_some_minutes_is_not_counted_with() -> None:
    new = CameraUse("new", GB, 60_000_000, 30 * DAY, 60_000_000, GB)
    made = forecast([new, use("gate", 1, 30, 3)], 40 * GB)
    assert made.is_kept
    assert made.unmeasured == ("new",)
    hours = forecast([use("gate", 24, 30, 1)], 34 * GB).warning()
    assert hours is not None
    assert "In 10 hours" in hours.what


def test_nothing_to_keep() -> None:
    assert forecast([], 0).is_kept
    assert forecast([CameraUse("gate", GB, US_PER_HOUR, 0, 0, 0)], 0).is_kept


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=8
    ),
    st.integers(1, 20_000),
)
def test_the_disk_is_full_just_then(cameras: list[tuple[int, int, float]], room_gb: int) -> None:
    uses = [use(str(n), rate, days, days * part) for n, (rate, days, part) in enumerate(cameras)]
    made = forecast(uses, room_gb * GB)

    def bytes_after(us: int) -> float:
        return sum(
            one.kept_bytes
            + one.measured_bytes
            / one.measured_us
            * min(us, max(one.guaranteed_us - one.kept_us, 0))
            for one in uses
        )

    end = 100 * DAY
    if made.breaks_in_us is None:
        assert bytes_after(end) <= room_gb * GB + 1_000
    elif made.breaks_in_us == 0:
        assert bytes_after(0) >= room_gb * GB - 1_000
    else:
        assert abs(bytes_after(made.breaks_in_us) - room_gb * GB) < 100_000

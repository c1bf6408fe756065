"""What goes, what stays, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.retention.holds import HeldRanges, Hold
from khupho.archive.retention.plan import (
    LAST_RESERVE_BYTES,
    DaysPolicy,
    DiskRoom,
    Reason,
    RetentionPlan,
    Stored,
    plan,
)
from khupho.units import US_PER_DAY, US_PER_HOUR, parse_utc

NOW_US = parse_utc("2026-11-24T08:00:00Z")
GB = 1 << 30


def segment(camera: str, age_days: float, size_bytes: int = GB, stream: str = "main") -> Stored:
    end_us = NOW_US - int(age_days * US_PER_DAY)
    start_us = end_us - 10 * 60_000_000
    return Stored(camera, stream, f"{camera}/{stream}/{age_days}", start_us, end_us, size_bytes)


def daily(camera: str, days: int, size_bytes: int = GB) -> list[Stored]:
    """One segment a day, the oldest `days` old, the newest a day old."""
    return [segment(camera, age, size_bytes) for age in range(days, 0, -1)]


def hold(camera: str, from_days: float, to_days: float, stream: str = "") -> Hold:
    start_us = NOW_US - int(from_days * US_PER_DAY)
    return Hold("h", camera, start_us, NOW_US - int(to_days * US_PER_DAY), "theft", stream)


def decide(
    stored: dict[str, list[Stored]],
    policies: dict[str, DaysPolicy],
    free_bytes: int = 1000 * GB,
    *holds: Hold,
    confirmed: bool = True,
    now_us: int = NOW_US,
    newest_us: int = 0,
    max_deletions: int = 5000,
) -> RetentionPlan:
    return plan(
        stored, policies, HeldRanges(holds), DiskRoom(1000 * GB, free_bytes), now_utc_us=now_us,
        clock_confirmed=confirmed, newest_end_utc_us=newest_us, max_deletions=max_deletions,
    )  # fmt: skip


def ages(made: RetentionPlan, camera: str) -> list[float]:
    return [
        (NOW_US - deletion.segment.end_utc_us) / US_PER_DAY
        for deletion in made.deletions
        if deletion.segment.camera == camera
    ]


def test_past_the_maximum_it_goes_whatever_is_free() -> None:
    made = decide({"gate": daily("gate", 12)}, {"gate": DaysPolicy(5, 10)})
    assert ages(made, "gate") == [12, 11, 10]
    assert {deletion.reason for deletion in made.deletions} == {Reason.MAXIMUM}
    assert made.is_whole
    assert made.lacking_bytes == 0


def test_without_a_confirmed_clock_nothing_goes_for_its_age() -> None:
    far_us = NOW_US + 4000 * US_PER_DAY
    stored = {"gate": daily("gate", 12)}
    policies = {"gate": DaysPolicy(5, 10)}
    assert not decide(stored, policies, confirmed=False, now_us=far_us).deletions
    assert len(decide(stored, policies, confirmed=True, now_us=far_us).deletions) == 12
    # Under pressure the newest footage tells the date: 7 days are past their guarantee, not 12.
    made = decide(stored, policies, 43 * GB, confirmed=False, now_us=far_us, newest_us=NOW_US)
    assert [deletion.reason for deletion in made.deletions] == [Reason.DISK_PRESSURE] * 7


def test_under_pressure_the_most_beyond_its_guarantee_goes_first() -> None:
    stored = {"short": daily("short", 20), "long": daily("long", 40)}
    policies = {"short": DaysPolicy(7, 90), "long": DaysPolicy(30, 90)}
    made = decide(stored, policies, 44 * GB)
    # 13, 12, 11 and 10 days beyond; 10 and 9 days beyond.
    assert ages(made, "short") == [20, 19, 18, 17]
    assert ages(made, "long") == [40, 39]
    assert {deletion.reason for deletion in made.deletions} == {Reason.DISK_PRESSURE}
    assert not made.broken


def test_the_floor_breaks_no_guarantee_and_the_reserve_does() -> None:
    stored = {"gate": daily("gate", 20)}
    policies = {"gate": DaysPolicy(30, 30)}
    above = decide(stored, policies, 10 * GB)
    assert not above.deletions
    below = decide(stored, policies, 7 * GB)
    assert ages(below, "gate") == [20, 19, 18]
    assert {deletion.reason for deletion in below.deletions} == {Reason.GUARANTEE_BROKEN}
    assert [deletion.missing_us // US_PER_DAY for deletion in below.deletions] == [10, 11, 12]
    (broken,) = below.broken
    assert broken == ("gate", 30, 18 * US_PER_DAY, 3 * GB)


def test_broken_guarantees_are_shared() -> None:
    stored = {"short": daily("short", 10), "long": daily("long", 60)}
    policies = {"short": DaysPolicy(10, 10), "long": DaysPolicy(60, 60)}
    made = decide(stored, policies, 10 * GB - 7 * GB)
    # Both lie on their maximum with one segment each; then each promise loses the same share.
    assert ages(made, "short") == [10]
    assert ages(made, "long")[:2] == [60, 59]
    made = decide(stored, policies, 10 * GB - 35 * GB)
    assert min(ages(made, "short")) / 10 - min(ages(made, "long")) / 60 <= 0.1


def test_held_footage_never_goes_and_what_lacks_is_told() -> None:
    stored = {"gate": daily("gate", 20)}
    policies = {"gate": DaysPolicy(0, 1)}
    made = decide(stored, policies, 0, hold("gate", 15, 10))
    # The segment that ends as the hold begins goes; one that the hold's last moment touches stays.
    assert ages(made, "gate") == [20, 19, 18, 17, 16, 15, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    made = decide(stored, policies, 0, hold("gate", 100, 0))
    assert not made.deletions
    assert made.lacking_bytes == 10 * GB


def test_a_hold_on_one_stream_leaves_the_others() -> None:
    stored = {"gate": [segment("gate", 9), segment("gate", 9, stream="sub")]}
    made = decide(stored, {"gate": DaysPolicy(1, 2)}, 0, hold("gate", 10, 8, "main"))
    assert [deletion.segment.stream for deletion in made.deletions] == ["sub"]


def test_cameras_off_the_list_keep_their_footage_while_there_is_room() -> None:
    stored = {"gone": daily("gone", 400)}
    assert not decide(stored, {}).deletions
    assert ages(decide(stored, {}, 49 * GB), "gone") == [400]


def test_only_what_is_needed_is_read() -> None:
    read = 0

    def endless() -> Iterator[Stored]:
        nonlocal read
        for age in range(1_000_000, 0, -1):
            read += 1
            yield segment("gate", age / 1000)

    made = plan(
        {"gate": endless()}, {}, HeldRanges(()), DiskRoom(1000 * GB, 40 * GB), now_utc_us=NOW_US,
        clock_confirmed=True,
    )  # fmt: skip
    assert len(made.deletions) == 10
    assert read == 11


def test_one_round_is_bounded() -> None:
    stored = {"gate": daily("gate", 100)}
    made = decide(stored, {"gate": DaysPolicy(1, 1)}, max_deletions=10)
    assert len(made.deletions) == 10
    assert not made.is_whole


def test_a_small_disk_has_a_small_reserve() -> None:
    assert DiskRoom(1 << 26, 0).reserve_bytes == (1 << 26) * 5 // 100
    assert DiskRoom(40 * GB, 0).reserve_bytes == LAST_RESERVE_BYTES
    assert DiskRoom(8000 * GB, 0).reserve_bytes == 80 * GB


CAMERAS = ("a", "b", "c")


Situation = tuple[dict[str, list[Stored]], dict[str, DaysPolicy], int, list[Hold], bool]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    stored = {}
    policies = {}
    for camera in CAMERAS:
        hours = draw(st.lists(st.integers(0, 60 * 24), unique=True, max_size=15))
        stored[camera] = [
            segment(camera, hour / 24, draw(st.integers(1, 4)) * GB)
            for hour in sorted(hours, reverse=True)
        ]
        days = draw(st.integers(0, 40))
        maximum = draw(st.one_of(st.none(), st.integers(days, 60)))
        policies[camera] = DaysPolicy(days, maximum)
    holds = []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(1, 60))
        holds.append(hold(draw(st.sampled_from(CAMERAS)), start, start - draw(st.integers(1, 9))))
    return stored, policies, draw(st.integers(0, 60)) * GB, holds, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(situations())
def test_the_promises_of_every_plan(situation: Situation) -> None:
    stored, policies, free_bytes, holds, confirmed = situation
    room = DiskRoom(1000 * GB, free_bytes)
    held = HeldRanges(holds)
    made = plan(stored, policies, held, room, now_utc_us=NOW_US, clock_confirmed=confirmed)
    gone = [deletion.segment for deletion in made.deletions]
    assert len(set(gone)) == len(gone)

    def is_held(one: Stored) -> bool:
        return any(
            other.camera == one.camera
            and one.start_utc_us < other.end_utc_us
            and one.end_utc_us > other.start_utc_us
            for other in holds
        )

    assert not any(is_held(one) for one in gone)
    for camera, mine in stored.items():
        free_to_go = [one for one in mine if not is_held(one)]
        taken = [one for one in gone if one.camera == camera]
        assert taken == free_to_go[: len(taken)]  # oldest first, none left out
        maximum = policies[camera].maximum_days
        past = [
            one
            for one in free_to_go
            if maximum is not None and NOW_US - one.end_utc_us >= maximum * US_PER_DAY
        ]
        for_age = [
            one.segment
            for one in made.deletions
            if one.segment.camera == camera and one.reason is Reason.MAXIMUM
        ]
        assert for_age == (past if confirmed else [])
    freed_bytes = free_bytes
    stage = [Reason.MAXIMUM, Reason.DISK_PRESSURE, Reason.GUARANTEE_BROKEN]
    last = 0
    for deletion in made.deletions:
        at = stage.index(deletion.reason)
        assert at >= last
        last = at
        age_us = NOW_US - deletion.segment.end_utc_us
        promised_us = policies[deletion.segment.camera].guaranteed_days * US_PER_DAY
        if deletion.reason is Reason.DISK_PRESSURE:
            assert freed_bytes < room.floor_bytes
            assert age_us >= promised_us
        if deletion.reason is Reason.GUARANTEE_BROKEN:
            assert freed_bytes < room.reserve_bytes
            assert deletion.missing_us == promised_us - age_us > 0
        freed_bytes += deletion.segment.size_bytes
    left = [one for mine in stored.values() for one in mine if one not in gone and not is_held(one)]
    assert made.lacking_bytes == max(room.reserve_bytes - freed_bytes, 0)
    assert not (left and made.lacking_bytes)
    if freed_bytes < room.floor_bytes:
        assert all(
            NOW_US - one.end_utc_us < policies[one.camera].guaranteed_days * US_PER_DAY
            for one in left
        )
    assert {one.camera for one in made.broken} == {
        one.segment.camera for one in made.deletions if one.reason is Reason.GUARANTEE_BROKEN
    }


def test_an_hour_of_a_segment_in_the_future_is_not_past_anything() -> None:
    ahead = Stored("gate", "main", "x", NOW_US, NOW_US + US_PER_HOUR, GB)
    made = decide({"gate": [ahead]}, {"gate": DaysPolicy(0, 0)})
    assert not made.deletions

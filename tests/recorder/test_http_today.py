"""Today's minutes: joined to runs, asked only while somebody looks, and only what may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from khupho.archive.catalog.day_minutes import Minute
from khupho.clock import ManualClock
from khupho.recorder.http.status import LocalDay
from khupho.recorder.http.today import LOOKED_AT_US, REFRESH_US, Today, runs_of
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE

FULL = US_PER_MINUTE


class FakeLedger:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.kept: dict[int, Minute] = {}

    def minutes(
        self, camera: str, stream: str, first_minute: int, end_minute: int
    ) -> Iterable[Minute]:
        assert stream == "main"
        self.asked.append((camera, first_minute, end_minute))
        return [m for n, m in self.kept.items() if first_minute <= n < end_minute]


def test_neighbours_of_one_kind_are_one_run_and_holes_are_holes() -> None:
    made = runs_of(
        [
            Minute(103, FULL, 0),
            Minute(100, FULL, 0),
            Minute(101, FULL - 400_000, 0),
            Minute(102, 30_000_000, 0),
            Minute(104, FULL, 2_000_000),
            Minute(106, FULL, 0),
            Minute(107, 0, 0),
            Minute(108, 20_000_000, 0),
            Minute(109, 9_000_000, 0),
        ],
        100,
        109,
    )
    assert made.runs == (
        (0, 2, "full"), (2, 3, "part"), (3, 4, "full"), (4, 5, "hurt"), (6, 7, "full"),
        (8, 10, "full"),
    )  # fmt: skip
    assert made.covered_us == 5 * FULL - 400_000 + 59_000_000


def test_nobody_looks_and_nothing_is_asked() -> None:
    clock, ledger = ManualClock(), FakeLedger()

    async def scene() -> None:
        today = Today(ledger, clock)
        await today.refresh(["a"])
        assert ledger.asked == []
        today.looked_at()
        await today.refresh(["a"])
        await today.refresh(["a"])
        assert len(ledger.asked) == 1
        clock.advance(REFRESH_US)
        await today.refresh(["a"])
        assert len(ledger.asked) == 2
        clock.advance(LOOKED_AT_US + 1)
        await today.refresh(["a"])
        assert len(ledger.asked) == 2
        today.close()

    asyncio.run(scene())


def test_only_the_newest_minutes_are_asked_again_until_the_day_turns() -> None:
    clock, ledger = ManualClock(), FakeLedger()
    day = LocalDay.of(clock.utc_us())
    clock.step(day.start_utc_us + 3 * US_PER_HOUR - clock.utc_us())
    first = day.start_utc_us // US_PER_MINUTE
    today = Today(ledger, clock)
    ledger.kept = {n: Minute(n, FULL, 0) for n in range(first, first + 180)}
    assert today.read(["a"])["a"].runs == ((0, 180, "full"),)
    ledger.kept[first + 180] = Minute(first + 180, FULL, 0)
    clock.advance(US_PER_MINUTE)
    assert today.read(["a"])["a"].runs == ((0, 181, "full"),)
    assert [begin - first for _camera, begin, _end in ledger.asked] == [0, 178]
    clock.advance(US_PER_DAY)
    assert today.read(["a"])["a"].runs == ()
    today.close()

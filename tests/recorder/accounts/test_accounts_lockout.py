"""Guessing: locks on the clock that never steps, bounded memory, a bounded queue, a bounded log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts_scene import CALLER, OWNER, PASSWORD, invited, owner, played, refused
from hypothesis import given
from hypothesis import strategies as st

from khupho.clock import ManualClock
from khupho.recorder.accounts.accounts import AccountError, Accounts
from khupho.recorder.accounts.lockout import (
    LOCKED_US,
    MOST_REFUSALS_AN_HOUR,
    WITHIN_US,
    Lockout,
    RefusalBudget,
)
from khupho.recorder.accounts.own_thread import OwnThread
from khupho.recorder.accounts.roles import Role
from khupho.units import US_PER_HOUR, US_PER_S


def test_locked_for_five_minutes_whatever_the_date_does() -> None:
    clock = ManualClock()
    lockout = Lockout(clock)
    for _ in range(5):
        lockout.attempt("hoa")
        clock.advance(US_PER_S)
    clock.step(365 * 24 * US_PER_HOUR)
    with pytest.raises(AccountError) as raised:
        lockout.attempt("hoa")
    assert (raised.value.kind, raised.value.retry_after_s) == ("locked", 299)
    lockout.attempt("ba")
    clock.advance(LOCKED_US - 2 * US_PER_S)
    with pytest.raises(AccountError):
        lockout.attempt("hoa")
    clock.advance(US_PER_S)
    lockout.attempt("hoa")


@given(st.lists(st.integers(0, 40 * US_PER_S), max_size=40))
def test_five_within_thirty_seconds_and_no_fewer(waits_us: list[int]) -> None:
    clock, at_us = ManualClock(), list[int]()
    lockout = Lockout(clock)
    for wait_us in waits_us:
        clock.advance(wait_us)
        try:
            lockout.attempt("hoa")
        except AccountError:
            assert len(at_us) >= 5
            assert at_us[-1] - at_us[-5] < WITHIN_US
            assert clock.mono_us() - at_us[-1] < LOCKED_US
            continue
        if len(at_us) >= 5 and at_us[-1] - at_us[-5] < WITHIN_US:
            assert clock.mono_us() - at_us[-1] >= LOCKED_US
            at_us.clear()
        at_us.append(clock.mono_us())


def test_memory_is_bounded_and_success_forgets() -> None:
    lockout = Lockout(ManualClock(), most_names=10)
    for number in range(100):
        lockout.attempt(f"name {number}")
    assert len(lockout) == 10
    for _ in range(4):
        lockout.attempt("hoa")
    lockout.succeeded("hoa")
    for _ in range(5):
        lockout.attempt("hoa")
    lockout.undo("hoa")
    lockout.attempt("hoa")


def test_more_than_sixteen_waiting_are_busy_and_not_counted(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        await owner(accounts)
        is_open = threading.Event()
        holding = asyncio.ensure_future(accounts._hash_thread.run(is_open.wait))
        await asyncio.sleep(0)
        names = [f"Người {number}" for number in range(20)]
        tries = [asyncio.ensure_future(accounts.sign_in(name, PASSWORD, CALLER)) for name in names]
        while sum(one.done() for one in tries) < 4:  # noqa: ASYNC110 - other tasks go on
            await asyncio.sleep(0)
        kinds = [getattr(one.exception(), "kind", "") for one in tries if one.done()]
        assert kinds == ["busy"] * 4
        is_open.set()
        await holding
        answers = await asyncio.gather(*tries, return_exceptions=True)
        assert [getattr(a, "kind", "") for a in answers].count("wrong-sign-in") == 16
        # Whoever met a busy recorder has all five tries left.
        for _ in range(5):
            await refused("wrong-sign-in", accounts.sign_in(names[-1], PASSWORD, CALLER))
        await refused("locked", accounts.sign_in(names[-1], PASSWORD, CALLER))

    played(tmp_path, play)


def test_who_hangs_up_is_counted_all_the_same(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        await owner(accounts)
        for _ in range(5):
            guess = asyncio.ensure_future(accounts.sign_in(OWNER, "sai rồi nhé em", CALLER))
            await asyncio.sleep(0)
            guess.cancel()
            with pytest.raises(asyncio.CancelledError):
                await guess
        while len(await accounts.log.page(20)) < 7:  # noqa: ASYNC110 - other tasks go on
            await asyncio.sleep(0)
        await refused("locked", accounts.sign_in(OWNER, PASSWORD, CALLER))

    played(tmp_path, play)


def test_refusals_do_not_flood_the_log() -> None:
    clock = ManualClock()
    budget = RefusalBudget(clock)
    assert [budget.take() for _ in range(MOST_REFUSALS_AN_HOUR)] == [0] * MOST_REFUSALS_AN_HOUR
    assert [budget.take(), budget.take()] == [None, None]
    clock.advance(US_PER_HOUR)
    assert [budget.take(), budget.take()] == [2, 0]


def test_work_of_a_thread_raises_where_it_is_awaited() -> None:
    async def run() -> None:
        thread = OwnThread("test", most_waiting=1)

        def fail() -> None:
            raise KeyError("x")

        for _ in range(5):
            with pytest.raises(KeyError):
                await thread.run(fail)
        thread.close()
        for _ in range(5):
            with pytest.raises(RuntimeError):
                await thread.run(fail)

    asyncio.run(run())


def test_who_is_refused_always_costs_one_run_of_argon2(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        guest = (await invited(accounts, person, "Anh Ba", Role.VIEWER)).person
        await accounts.change_account(person, guest.account_id, is_disabled=True)
        await accounts.create_account(person, "Chưa vào", Role.VIEWER)
        hasher = accounts._passwords._hasher
        parameters = []
        verify = hasher.verify

        def counted(kept: str, password: bytes) -> bool:
            parameters.append(kept.split("$")[:4])
            return verify(kept, password)

        accounts._passwords._hasher = Counted(counted)  # type: ignore[assignment]
        told = set()
        for name, password in (
            ("Không có ai", PASSWORD), (OWNER, "sai rồi nhé em"), ("Anh Ba", PASSWORD),
            ("Chưa vào", PASSWORD),
        ):  # fmt: skip
            told.add(str(await refused("wrong-sign-in", accounts.sign_in(name, password, CALLER))))
        assert len(told) == 1
        assert parameters == [parameters[0]] * 4

    played(tmp_path, play)


class Counted:
    """Stands where the hasher stood."""

    def __init__(self, verify: Callable[[str, bytes], bool]) -> None:
        self.verify = verify

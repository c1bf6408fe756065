"""Waiting times after failures."""

from __future__ import annotations

import random

import pytest

from khupho.errors import Fault
from khupho.recorder.backoff import Backoff
from khupho.units import US_PER_MINUTE, US_PER_S


def waits(fault: Fault, count: int, seed: int = 1) -> list[int]:
    backoff = Backoff(random.Random(seed))
    return [backoff.wait_us(fault) for _ in range(count)]


def test_first_tries_come_within_ten_seconds() -> None:
    assert max(waits(Fault.NETWORK, 12)) <= 10 * US_PER_S


def test_a_long_silence_is_asked_about_twice_a_minute() -> None:
    late = waits(Fault.NETWORK, 40)[12:]
    assert all(15 * US_PER_S <= wait <= 30 * US_PER_S for wait in late)


def test_waits_are_jittered_between_half_and_whole_step() -> None:
    firsts = {waits(Fault.NETWORK, 1, seed)[0] for seed in range(50)}
    assert len(firsts) > 40
    assert all(US_PER_S // 2 <= wait <= US_PER_S for wait in firsts)


@pytest.mark.quirk(20)
def test_a_refused_password_is_not_tried_into_a_lock_out() -> None:
    refused = waits(Fault.CREDENTIALS, 6)
    assert refused[0] >= 30 * US_PER_S
    assert refused[1] >= 2.5 * US_PER_MINUTE
    assert all(wait >= 15 * US_PER_MINUTE for wait in refused[3:])


def test_success_starts_afresh() -> None:
    backoff = Backoff(random.Random(3))
    for _ in range(30):
        backoff.wait_us(Fault.CREDENTIALS)
    backoff.succeeded()
    assert backoff.failures == 0
    assert backoff.wait_us(Fault.NETWORK) <= US_PER_S
    assert backoff.wait_us(Fault.CREDENTIALS) <= US_PER_MINUTE

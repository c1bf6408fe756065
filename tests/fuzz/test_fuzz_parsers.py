"""Spoiled bytes into every parser: only our own errors come out, in bounded time and memory."""

from __future__ import annotations

import os
import random

import pytest
from bounds import BoundPassed, bounded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated import mutated
from targets import Target, every_target

from khupho.errors import KhuphoError

EXAMPLES = int(os.environ.get("KHUPHO_FUZZ_EXAMPLES", "200"))
BIG_BYTES = 60_000
TRACED_BYTES = 15_000
ALL = every_target()


@pytest.mark.parametrize("name", sorted(ALL))
def test_seeds_are_understood(name):
    """A target whose seed is refused would fuzz nothing but its first check."""
    found = ALL[name]
    understood = 0
    for seed in found.seeds:
        try:
            found.parse(seed)
            understood += 1
        except KhuphoError:
            pass
    assert understood


@pytest.mark.parametrize("name", sorted(ALL))
def test_spoiled_bytes(name):
    found = ALL[name]

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(mutated(found.seeds))
    def fuzz(data: bytes) -> None:
        with bounded(cpu_s=0.5):
            found.run(data)

    fuzz()


def big_inputs(found: Target) -> dict[str, bytes]:
    """Large input of the kinds that make parsers quadratic."""
    rng = random.Random(found.name)
    seed = max(found.seeds, key=len)
    some = bytes(rng.randrange(256) for _ in range(997))
    repeated = {
        "zeros": b"\0",
        "ones": b"\xff",
        "seed": seed,
        "noise": some,
        "dollar": b"x$\0\0\0",
        "frames": b"$\0\0\0",
        "lines": b"\r\n",
        "blanks": b" ",
        "fields": b"a=",
        "quotes": b'a="',
        "escapes": b'\\"',
        "start codes": b"\0\0\1\x41",
        "escaped": b"\0\0\3",
        "starts": b"OPTIONS ",
        "requests": b"OPTIONS * RTSP/1.0\n\n",
        "boxes": b"\0\0\0\x08free",
        "commas": b"Digest ,",
        "equal": b"=" * 3 + b",",
    }
    return {
        name: (part * (BIG_BYTES // len(part) + 1))[:BIG_BYTES] for name, part in repeated.items()
    } | {
        f"seed, then {name}": seed[: len(seed) // 2] + (part * (BIG_BYTES // len(part)))[:BIG_BYTES]
        for name, part in repeated.items()
    }


@pytest.mark.parametrize("name", sorted(ALL))
def test_large_input_takes_bounded_time(name):
    found = ALL[name]
    for kind, data in big_inputs(found).items():
        try:
            with bounded(cpu_s=2.0):
                found.run(data)
        except BoundPassed as error:
            raise AssertionError(f"{kind}: {error}") from error


@pytest.mark.parametrize("name", sorted(ALL))
def test_large_input_takes_bounded_memory(name):
    """Some hundred bytes a byte are the price of Python objects; more would be an attack."""
    found = ALL[name]
    for kind, data in big_inputs(found).items():
        try:
            with bounded(peak_bytes=300 * TRACED_BYTES):
                found.run(data[:TRACED_BYTES])
        except BoundPassed as error:
            raise AssertionError(f"{kind}: {error}") from error


@settings(max_examples=50)
@given(st.integers(1, 40), st.data())
def test_mutation_spoils(size, data):
    """The strategy itself: it gives the seed, and things that are not the seed."""
    seed = bytes(range(size))
    drawn = data.draw(mutated((seed,)))
    assert isinstance(drawn, bytes)

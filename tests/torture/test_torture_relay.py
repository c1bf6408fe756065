"""The relay itself: it spoils what it says, remembers it exactly, and spoils nothing else."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from raw_player import RawPlayer
from relay import running_relay

from khupho.city.city import CityPlan
from khupho.city.in_thread import running_city


@pytest.fixture
def city(torture_clip):
    with running_city(CityPlan(torture_clip, port=0)) as made:
        yield made


@pytest.fixture
def relay(city):
    with running_relay(("127.0.0.1", city.city.port), seed=5) as made:
        yield made


@pytest.fixture(params=["tcp", "udp"])
def player(request, city, relay):
    made = RawPlayer(relay.url(city.url(1)), udp=request.param == "udp")
    yield made
    made.close()


def gaps(sequences: list[int]) -> int:
    return sum((b - a) % 65536 - 1 for a, b in pairwise(sequences))


def test_without_rules_everything_passes_in_order(player, relay):
    player.play(1.5)
    assert len(player.sequences) > 40
    assert gaps(player.sequences) == 0
    assert relay.dropped() == {}


def test_what_is_dropped_is_known_exactly(player, relay):
    player.play(0.3)
    relay.rules(drop=0.2)
    player.play(2)
    relay.rules()
    player.play(0.7)
    (numbers,) = relay.dropped().values()
    assert len(numbers) >= 5
    first, last = player.sequences[0], player.sequences[-1]
    came = {(n - first) % 65536 for n in player.sequences}
    missing = set(range((last - first) % 65536)) - came
    assert missing == {(n - first) % 65536 for n in numbers}


def test_drop_next(player, relay):
    player.play(0.3)
    relay.rules(drop_next=7)
    player.play(1)
    assert gaps(player.sequences) == 7


def test_doubles(player, relay):
    player.play(0.2)
    relay.rules(double=0.3)
    player.play(1.5)
    assert len(player.sequences) - len(set(player.sequences)) > 5
    assert relay.dropped() == {}


def test_disorder_over_udp(city, relay):
    player = RawPlayer(relay.url(city.url(1)), udp=True)
    relay.rules(swap=0.2)
    player.play(1.5)
    relay.rules()
    player.play(0.3)
    player.close()
    assert any((b - a) % 65536 > 30000 for a, b in pairwise(player.sequences))
    first = min(player.sequences) if max(player.sequences) < 60000 else None
    if first is not None:
        assert sorted(player.sequences) == list(range(first, first + len(player.sequences)))


def test_delay(player, relay):
    player.play(0.5)
    relay.rules(delay_s=0.5)
    before = len(player.sequences)
    player.play(0.35)
    assert len(player.sequences) <= before + 15, "what was under way, and then nothing yet"
    player.play(1.5)
    assert gaps(player.sequences) == 0
    assert len(player.sequences) > before + 20


def test_stall_and_go_on(city, relay):
    player = RawPlayer(relay.url(city.url(1)))
    player.play(0.5)
    relay.call(lambda r: setattr(r, "is_stalled", True))
    player.play(0.3)
    before = len(player.sequences)
    player.play(0.7)
    assert len(player.sequences) == before
    relay.call(lambda r: setattr(r, "is_stalled", False))
    player.play(1)
    player.close()
    assert len(player.sequences) > before + 20
    assert gaps(player.sequences) == 0


def test_stall_loses_datagrams_and_says_which(city, relay):
    player = RawPlayer(relay.url(city.url(1)), udp=True)
    player.play(0.5)
    relay.call(lambda r: setattr(r, "is_stalled", True))
    player.play(0.5)
    relay.call(lambda r: setattr(r, "is_stalled", False))
    player.play(0.5)
    player.close()
    (numbers,) = relay.dropped().values()
    assert gaps(player.sequences) == len(numbers) > 5


def test_reset(city, relay):
    player = RawPlayer(relay.url(city.url(1)))
    player.play(0.3)
    assert relay.call(lambda r: r.reset()) == 1
    player.play(2)
    player.close()
    assert player.is_over


def test_half_open_hides_the_end(city, relay):
    player = RawPlayer(relay.url(city.url(1)))
    player.play(0.3)
    relay.call(lambda r: setattr(r, "is_half_open", True))
    city.fault("camera-0001:reboot=0.1")
    begin_s = time.monotonic()
    player.play(0.8)
    assert not player.is_over
    assert time.monotonic() - begin_s > 0.7
    relay.call(lambda r: setattr(r, "is_half_open", False))
    player.play(2)
    player.close()
    assert player.is_over

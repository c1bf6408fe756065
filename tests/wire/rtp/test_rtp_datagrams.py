"""UDP: packets out of order, twice, late, lost; what waits is bounded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_by_hand import (
    Reading,
    Sender,
    fragments,
    g711_spec,
    key_picture,
    mp4,
    slice_nal,
    video_spec,
)

from khupho.units import US_PER_S
from khupho.wire.rtp.datagram_reader import MAX_CONTROL, MAX_WAITING, PATIENCE_US, DatagramReader


def sent(pictures: int = 20) -> tuple[Sender, list[bytes]]:
    sender, expected = Sender(sequence=65_500), []
    for n in range(pictures):
        nal = slice_nal(100 + n, key=n == 0)
        sender.picture(*fragments(nal, 30))
        expected.append(mp4(nal))
    return sender, expected


def received(packets: list[bytes], gap_us: int = 1000, *, finish: bool = True) -> Reading:
    reader = DatagramReader({0: video_spec()}, {1: 0})
    reading, now_us = Reading(), 0
    for number, packet in enumerate(packets):
        now_us += gap_us
        reader.put(0, packet, now_us)
        if number % 7 == 0:
            reading.take(reader.take(now_us))
    if finish:
        reading.take(reader.finish())
    return reading


@given(st.integers(0, 10_000), st.integers(1, MAX_WAITING // 2))
@settings(max_examples=50, deadline=None)
def test_any_order_within_the_window_is_put_right(seed: int, window: int) -> None:
    sender, expected = sent()
    chance = random.Random(seed)
    order = sorted(
        range(len(sender.packets)), key=lambda n: n + (chance.random() * window if n else 0)
    )
    packets = [sender.packets[n] for n in order for _ in range(1 + (chance.random() < 0.1))]
    reading = received(packets)
    assert reading.units == expected
    assert set(reading.lost) == {0}
    assert reading.packets == len(sender.packets)


def test_what_does_not_come_in_time_is_lost() -> None:
    sender, expected = sent(10)
    late = sender.packets.pop(10)
    again = key_picture(sender)
    early = received(sender.packets, gap_us=100, finish=False)
    assert early.units == expected[:1]  # it waits: PATIENCE_US haven't passed
    patient = received([*sender.packets, late], gap_us=PATIENCE_US // 10)
    assert patient.units == [*expected[:2], again]
    assert patient.lost == [0, 0, 1]


def test_each_hole_has_its_own_time() -> None:
    """Of two holes the older is given up in time; what fills the younger one is still taken."""
    sender, expected = Sender(), []
    for n in range(6):
        key = slice_nal(40 + n, key=True)
        sender.picture(key)
        expected.append(mp4(key))
    reader, reading = DatagramReader({0: video_spec()}, {1: 0}), Reading()
    young_us = PATIENCE_US * 3 // 4
    for number, at_us in ((0, 0), (2, 0), (4, young_us)):  # 1 never comes, 3 comes late
        reader.put(0, sender.packets[number], at_us)
    reading.take(reader.take(PATIENCE_US))
    reader.put(0, sender.packets[3], PATIENCE_US + 1)
    reader.put(0, sender.packets[5], PATIENCE_US + 2)
    reading.take(reader.take(PATIENCE_US + 2))
    reading.take(reader.finish())
    assert reading.units == [expected[n] for n in (0, 2, 3, 4, 5)]
    assert reading.lost == [0, 1, 0, 0, 0]


def test_more_than_the_window_waits_for_nothing() -> None:
    sender, expected = sent(60)
    del sender.packets[4]
    reader = DatagramReader({0: video_spec()}, {1: 0})
    for packet in sender.packets:
        reader.put(0, packet, 5)
    (queue,) = reader._queues.values()
    assert len(queue._waiting) <= MAX_WAITING
    reading = Reading()
    reading.take(reader.finish())
    assert reading.units == expected[:1]


def test_control_is_bounded_and_unknown_sockets_are_ignored() -> None:
    reader = DatagramReader({0: video_spec(), 2: g711_spec()}, {1: 0, 3: 2})
    for n in range(MAX_CONTROL + 50):
        reader.put(3, bytes((n & 0xFF,)), 0)
        reader.put(9, b"x", 0)
    feed = reader.take(0)
    assert feed.control == [(2, bytes((n,))) for n in range(MAX_CONTROL)]
    assert reader.take(0).control == []


def test_jitter_is_measured() -> None:
    sender, _expected = sent(50)
    even, uneven = (DatagramReader({0: video_spec()}, {1: 0}) for _ in range(2))
    for n, packet in enumerate(sender.packets):
        timestamp = int.from_bytes(packet[4:8], "big")
        now_us = timestamp * US_PER_S // 90_000
        even.put(0, packet, now_us)
        uneven.put(0, packet, now_us + (n % 2) * 5_000)
    assert even.reception(0).jitter_us <= 12
    assert 4_000 < uneven.reception(0).jitter_us < 5_100
    assert uneven.reception(0).jitter_ticks == pytest.approx(450, abs=60)


@given(st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=60)), max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_datagrams_give_no_error(datagrams: list[tuple[int, bytes]]) -> None:
    reader = DatagramReader({0: video_spec(), 2: g711_spec()}, {1: 0, 3: 2})
    for number, (index, data) in enumerate(datagrams):
        reader.put(index, b"\x80\x60" + data if number % 2 else data, number * 50_000)
        reader.take(number * 50_000)
    reader.finish()

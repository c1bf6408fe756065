"""What is kept around lost packets and before the first key frame: quirks 28 and 46."""

from __future__ import annotations

import pytest
from rtp_by_hand import Sender, fragments, key_picture, mp4, read, slice_nal

from khupho.units import MEDIA_CLOCK_HZ
from khupho.wire.rtp.loss import KEY_PATIENCE_90K, Loss
from khupho.wire.rtp.unit_parts import MAX_UNIT_BYTES


@pytest.mark.quirk(28)
@pytest.mark.parametrize("lost_at", [0, 1, 2, 3])
def test_after_a_loss_everything_up_to_the_next_key_frame_goes(lost_at: int) -> None:
    sender = Sender()
    first = key_picture(sender)
    whole = slice_nal(100)
    sender.picture(*fragments(whole, 30))
    packets = fragments(slice_nal(100), 30)
    sender.next()
    for n, payload in enumerate(packets):
        if n == lost_at:
            sender.lose()
        else:
            sender.send([payload], marker=n == len(packets) - 1)
    for _ in range(3):
        sender.picture(*fragments(slice_nal(100), 30))
    again = key_picture(sender)
    sender.picture(slice_nal(5))
    reading = read(sender.bytes())
    assert reading.units == [first, mp4(whole), again, mp4(slice_nal(5))]
    assert reading.lost == [0, 0, 1, 0]
    assert not any(sample.damaged for sample in reading.samples)


@pytest.mark.quirk(28)
def test_a_key_frame_that_lacks_its_beginning_is_no_key_frame() -> None:
    sender = Sender()
    first = key_picture(sender)
    sender.next().lose(2).send([slice_nal(40, key=True, first=False)])
    sender.picture(slice_nal())
    again = key_picture(sender)
    reading = read(sender.bytes())
    assert reading.units == [first, again]
    assert reading.lost == [0, 2]


@pytest.mark.quirk(28)
def test_a_key_frame_whose_sei_is_lost_is_kept() -> None:
    sender = Sender()
    first = key_picture(sender)
    sender.next().lose().send([slice_nal(40, key=True)])
    sender.picture(slice_nal())
    reading = read(sender.bytes())
    assert reading.units == [first, mp4(slice_nal(40, key=True)), mp4(slice_nal())]
    assert reading.lost == [0, 1, 0]


@pytest.mark.quirk(28)
def test_markers_that_lie_do_not_make_a_cut_picture_whole() -> None:
    sender = Sender()
    first = key_picture(sender)
    for _ in range(2):
        sender.next().send([slice_nal(20), slice_nal(20, first=False)], marker=True)
    sender.next().send([slice_nal(20)], marker=True).lose()
    sender.picture(slice_nal())
    again = key_picture(sender)
    reading = read(sender.bytes())
    assert reading.units[0] == first
    assert reading.units[-1] == again
    assert len(reading.units) == 4


def test_lost_packets_are_told_with_the_batch_before() -> None:
    sender = Sender()
    key_picture(sender)
    sender.picture(slice_nal()).lose(5).picture(slice_nal()).picture(slice_nal())
    reading = read(sender.bytes(), finish=False)
    assert reading.lost == [0, 0]
    reading = read(sender.bytes() + Sender(sender.sequence, sender.timestamp).bytes())
    key_picture(sender)
    assert read(sender.bytes()).lost == [0, 0, 5]


def test_late_and_repeated_packets_are_passed_over() -> None:
    sender = Sender()
    key_picture(sender)
    for _ in range(4):
        sender.picture(*fragments(slice_nal(100), 30))
    twice = [packet for packet in sender.packets for _ in range(2)]
    sender.packets = twice
    reading = read(sender.bytes())
    assert len(reading.units) == 5
    assert set(reading.lost) == {0}


def test_numbers_that_begin_anew_are_followed() -> None:
    sender = Sender(sequence=30_000)
    key_picture(sender)
    sender.sequence = 2_000
    for _ in range(20):
        sender.picture(slice_nal())
    again = key_picture(sender)
    reading = read(sender.bytes())
    assert reading.units[-1] == again
    assert reading.lost[-1] == 15


@pytest.mark.quirk(46)
def test_the_first_sample_is_a_key_frame() -> None:
    sender = Sender()
    for _ in range(100):
        sender.picture(slice_nal())
    key = key_picture(sender)
    reading = read(sender.bytes())
    assert reading.units == [key]
    assert reading.lost == [0]


@pytest.mark.quirk(46)
def test_without_a_key_frame_for_ten_seconds_what_comes_is_kept() -> None:
    sender = Sender()
    for _ in range(300):
        sender.picture(*fragments(slice_nal(100), 30))
    sender.lose()
    for _ in range(10):
        sender.picture(slice_nal(5))
    key = key_picture(sender)
    sender.picture(slice_nal(7))
    reading = read(sender.bytes())
    # The picture before the loss is whole; damage is not waited for again.
    assert len(reading.units) == 50 + 10 + 2
    assert [sample.damaged for sample in reading.samples] == [True] * 60 + [False] * 2
    assert reading.units[-2:] == [key, mp4(slice_nal(7))]
    assert sum(reading.lost) == 1


def test_patience_is_counted_from_the_loss() -> None:
    loss = Loss()
    assert not loss.keeps(0, False)
    assert loss.keeps(5, True)
    assert loss.keeps(10, False)
    loss.hole(100)
    assert not loss.keeps(99 + KEY_PATIENCE_90K, False)
    loss.hole(50 * MEDIA_CLOCK_HZ)
    assert loss.keeps(100 + KEY_PATIENCE_90K, False)
    assert loss.is_damaged
    assert loss.keeps(101 + KEY_PATIENCE_90K, True)
    assert not loss.is_damaged


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("probes", [0, 10])
def test_an_access_unit_beyond_all_bounds_counts_as_lost(fast: bool, probes: int) -> None:
    sender = Sender()
    first = key_picture(sender)
    huge = fragments(slice_nal(MAX_UNIT_BYTES + 100), 60_000)
    sender.picture(*huge)
    again = key_picture(sender)
    reading = read(sender.bytes(), cuts=[500_000] * 20, fast=fast, probes=probes)
    assert reading.units == [first, again]
    assert reading.lost == [0, 1]


def test_bytes_one_by_one_cost_no_memory() -> None:
    sender = Sender()
    nal = slice_nal(5_000, key=True)
    sender.picture(*fragments(nal, 1)).picture(slice_nal())
    for fast in (True, False):
        reading = read(sender.bytes(), cuts=[90] * 2000, fast=fast)
        assert reading.units == [mp4(nal), mp4(slice_nal())]


def test_a_picture_of_many_slices() -> None:
    sender = Sender()
    slices = [slice_nal(30 + n % 90, key=True, first=n == 0) for n in range(1500)]
    sender.next()
    for nal in slices:
        sender.send(fragments(nal, 40), marker=False)
    sender.picture(slice_nal())
    for fast in (True, False):
        for cuts in ([], [50] * 4000):
            reading = read(sender.bytes(), cuts=cuts, fast=fast)
            assert reading.units == [mp4(*slices), mp4(slice_nal())]

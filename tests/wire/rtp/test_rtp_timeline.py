"""RTP time: wrapping, glitches, jumps; quirks 34, 35 and 36."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtp_by_hand import FRAME_90K, Sender, fragments, key_picture, read, slice_nal

from khupho.wire.rtp.timeline import Timeline

HOUR_90K = 3600 * 90_000


def pushed(*timestamps: int, clock_hz: int = 90_000) -> tuple[list[int], list[int]]:
    """Times from the first on, and which of them begin a new line."""
    line = Timeline(clock_hz, clock_hz // 25)
    times, jumps = [], []
    for number, timestamp in enumerate(timestamps):
        times.append(line.push(timestamp & 0xFFFFFFFF))
        if line.jumped:
            jumps.append(number)
    return [time - times[0] for time in times], jumps


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-45_000, 800_000), max_size=40))
def test_any_start_and_any_plausible_steps_are_followed(start: int, steps: list[int]) -> None:
    expected = [0]
    for step in steps:
        expected.append(expected[-1] + step)
    assert pushed(*(start + time for time in expected)) == (expected, [])


def test_a_line_begins_with_its_first_timestamp() -> None:
    assert Timeline(90_000, 3600).push(12_345) == 12_345
    assert Timeline(8_000, 160).push(8_000) == 90_000


def test_other_clocks_are_told_in_90_khz_without_drift() -> None:
    times, jumps = pushed(*range(0, 44_100 * 1024, 1024), clock_hz=44_100)
    assert times == [n * 1024 * 90_000 // 44_100 for n in range(44_100)]
    assert not jumps


@pytest.mark.quirk(34)
def test_one_wrong_timestamp_is_restamped() -> None:
    times = [n * FRAME_90K for n in range(8)]
    times[4] += HOUR_90K
    times[6] -= HOUR_90K
    assert pushed(*times) == ([n * FRAME_90K for n in range(8)], [])


@pytest.mark.quirk(34)
def test_three_on_another_line_are_a_new_line() -> None:
    for jump in (HOUR_90K, -HOUR_90K, 1 << 31):
        times = [n * FRAME_90K + (jump if n >= 5 else 0) for n in range(12)]
        assert pushed(*times) == ([n * FRAME_90K for n in range(12)], [7])


def test_timestamps_without_any_line_still_go_on() -> None:
    times, jumps = pushed(0, 3600, *(n * n * 77_777_777 for n in range(3, 30)))
    assert times == [n * FRAME_90K for n in range(29)]
    assert not jumps


def test_without_b_frames_a_step_back_is_a_jump() -> None:
    line = Timeline(90_000, FRAME_90K)
    line.push(90_000)
    assert line.push(90_000 - FRAME_90K) == 90_000 - FRAME_90K
    line = Timeline(90_000, FRAME_90K)
    line.may_reorder = False
    line.push(90_000)
    assert line.push(90_000 - FRAME_90K) == 90_000 + FRAME_90K
    assert line.is_in_doubt


@pytest.mark.quirk(35)
def test_each_session_has_its_own_line() -> None:
    first, second = Sender(timestamp=9_000_000), Sender(timestamp=0)
    for sender in (first, second):
        key_picture(sender)
        sender.picture(slice_nal())
    for sender in (first, second):
        reading = read(sender.bytes())
        assert reading.pts[1] - reading.pts[0] == FRAME_90K
        assert not any(sample.discontinuity for sample in reading.samples)


@pytest.mark.quirk(36)
@pytest.mark.parametrize("jump_s", [-4, -3600, 3600])
def test_a_jump_for_good_is_told_once_and_loses_no_picture(jump_s: int) -> None:
    sender = Sender(timestamp=2 * HOUR_90K)
    key_picture(sender)
    for n in range(20):
        ticks = FRAME_90K + (jump_s * 90_000 if n == 10 else 0)
        sender.picture(*fragments(slice_nal(100), 30), ticks=ticks)
    reading = read(sender.bytes())
    assert len(reading.units) == 21
    assert [n for n, sample in enumerate(reading.samples) if sample.discontinuity] == [13]
    assert reading.pts == [reading.pts[0] + n * FRAME_90K for n in range(21)]


def test_a_long_step_after_lost_packets_is_what_was_lost() -> None:
    sender = Sender()
    key_picture(sender)
    sender.picture(slice_nal()).lose(4_000).next(60 * 90_000)
    key_picture(sender)
    sender.picture(slice_nal())
    reading = read(sender.bytes())
    assert reading.pts[2] - reading.pts[1] == 60 * 90_000 + FRAME_90K
    assert not any(sample.discontinuity for sample in reading.samples)

"""A session that brings nothing is ended, one that brings little is not."""

from __future__ import annotations

import pytest

from khupho.recorder.watchdog import (
    FORGOTTEN_PATIENCE_US,
    MEDIA_PATIENCE_US,
    PICTURE_PATIENCE_US,
    Watchdog,
)
from khupho.units import US_PER_S
from khupho.wire.rtsp.errors import RtspError


@pytest.mark.quirk(50)
def test_silence_from_the_answer_to_play_on_ends_it() -> None:
    watchdog = Watchdog("rtsp://h/1", 0)
    watchdog.look(0, MEDIA_PATIENCE_US)
    with pytest.raises(RtspError, match="no picture") as raised:
        watchdog.look(0, MEDIA_PATIENCE_US + 1)
    assert raised.value.where == "rtsp://h/1"


def test_sound_alone_does_not_keep_it() -> None:
    watchdog = Watchdog("", 0)
    watchdog.look(5, US_PER_S)
    for second in range(2, 12):
        watchdog.media(second * US_PER_S)
        watchdog.look(5, second * US_PER_S)
    watchdog.media(12 * US_PER_S)
    with pytest.raises(RtspError, match="sound but no picture"):
        watchdog.look(5, 12 * US_PER_S)


def test_packets_without_a_picture_are_borne_for_a_minute() -> None:
    watchdog = Watchdog("", 0)
    packets = 0
    for second in range(1, PICTURE_PATIENCE_US // US_PER_S + 1):
        packets += 1
        watchdog.media(second * US_PER_S)
        watchdog.look(packets, second * US_PER_S)
    with pytest.raises(RtspError, match="no whole picture"):
        watchdog.media(61 * US_PER_S)
        watchdog.look(packets + 1, 61 * US_PER_S)


def test_a_picture_every_half_minute_is_enough() -> None:
    watchdog = Watchdog("", 0)
    for second in range(1, 600):
        watchdog.media(second * US_PER_S)
        if second % 30 == 0:
            watchdog.picture(second * US_PER_S)
        watchdog.look(second, second * US_PER_S)


@pytest.mark.quirk(21)
def test_a_camera_that_says_it_forgot_the_session_is_believed_if_it_sends_nothing() -> None:
    watchdog = Watchdog("", 0)
    watchdog.look(0, FORGOTTEN_PATIENCE_US, forgotten=True)
    watchdog.look(0, FORGOTTEN_PATIENCE_US + 1)
    with pytest.raises(RtspError, match="sends no picture"):
        watchdog.look(0, FORGOTTEN_PATIENCE_US + 1, forgotten=True)

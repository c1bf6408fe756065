"""Alarms keep their beginning, take newer words, and end when cleared."""

from khupho.archive.alarms import AlarmBoard
from khupho.clock import ManualClock
from khupho.errors import Fault, KhuphoError


def test_an_alarm_keeps_its_beginning_and_takes_newer_words() -> None:
    clock = ManualClock()
    board = AlarmBoard(clock)
    began_us = clock.utc_us()
    assert board.sound("disk", KhuphoError("full", fault=Fault.DISK))
    clock.advance(5_000_000)
    assert not board.sound("disk", KhuphoError("read-only", fault=Fault.DISK))
    (alarm,) = board.standing()
    assert alarm.since_utc_us == began_us
    assert alarm.error.what == "read-only"


def test_a_cleared_alarm_is_gone_and_begins_anew() -> None:
    clock = ManualClock()
    board = AlarmBoard(clock)
    board.sound("disk", KhuphoError("full"))
    clock.advance(1)
    board.sound("clock", KhuphoError("stepped"))
    assert [alarm.error.what for alarm in board.standing()] == ["full", "stepped"]
    assert board.clear("disk")
    assert not board.clear("disk")
    assert [alarm.error.what for alarm in board.standing()] == ["stepped"]
    assert board.sound("disk", KhuphoError("full"))

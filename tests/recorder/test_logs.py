"""Log lines of one stream, gathered."""

from __future__ import annotations

import logging

import pytest

from khupho.clock import ManualClock
from khupho.recorder.logs import GATHER_US, StreamLog


def test_repeats_within_a_minute_are_counted_not_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    log = StreamLog(logging.getLogger("test"), "gate-1", "main", clock)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            log.warning("network", "gone")
            clock.advance(1_000_000)
        log.warning("camera", "odd")
        clock.advance(GATHER_US)
        log.warning("network", "gone")
    assert [record.getMessage() for record in caplog.records] == [
        "gone",
        "odd",
        "gone (and 3 times more in the last minute)",
    ]
    assert all(record.__dict__["camera"] == "gate-1" for record in caplog.records)


def test_a_password_in_an_address_never_reaches_a_line(caplog: pytest.LogCaptureFixture) -> None:
    log = StreamLog(logging.getLogger("test"), "gate-1", "main", ManualClock())
    with caplog.at_level(logging.INFO):
        log.warning("network", "No answer from rtsp://admin:hunter2@10.0.0.9/1?pwd=geheim")
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "No answer from rtsp://•••@10.0.0.9/1?pwd=•••"

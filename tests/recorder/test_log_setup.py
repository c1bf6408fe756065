"""Lines as they leave the program."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from khupho.clock import ManualClock
from khupho.recorder.log_setup import LogFormat, install_logging
from khupho.recorder.logs import GATHER_US


class Lines:
    """The program's log, held in memory."""

    def __init__(self, log_format: LogFormat, *, under_journal: bool = False) -> None:
        self.clock = ManualClock()
        self._text = io.StringIO()
        install_logging(log_format, self.clock, stream=self._text, under_journal=under_journal)

    def __call__(self) -> list[str]:
        return self._text.getvalue().splitlines()


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


log = logging.getLogger("khupho.test")


def test_json_lines_hold_camera_cause_and_text() -> None:
    lines = Lines("json")
    log.warning("gone %d", 3, extra={"camera": "gate", "stream": "main", "cause": "network"})
    [line] = [json.loads(line) for line in lines()]
    assert line.pop("utc").endswith("Z")
    assert line == {
        "level": "warning", "source": "khupho.test", "text": "gone 3",
        "camera": "gate", "stream": "main", "cause": "network",
    }  # fmt: skip


def test_plain_lines_name_the_camera_first_and_leave_the_time_to_the_journal() -> None:
    lines = Lines("text", under_journal=True)
    log.info("flows", extra={"camera": "gate", "stream": "main"})
    log.error("broken")
    assert lines() == ["gate/main: flows", "ERROR broken"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_password_leaves_not_even_in_a_traceback(log_format: LogFormat) -> None:
    lines = Lines(log_format)
    try:
        raise ValueError("rtsp://admin:hunter2@10.0.0.9/1?pwd=geheim")
    except ValueError:
        log.exception("cannot open %s", "rtsp://admin:hunter2@10.0.0.9/1")
    text = "\n".join(lines())
    assert "hunter2" not in text
    assert "geheim" not in text
    assert "ValueError" in text


def test_a_warning_that_repeats_is_gathered_an_information_is_not() -> None:
    lines = Lines("text", under_journal=True)
    for late_s in (2, 3, 4):
        log.warning("late by %d s", late_s)
        log.warning("late by %d s", late_s, extra={"camera": "gate"})
        log.info("well")
        lines.clock.advance(1_000_000)
    lines.clock.advance(GATHER_US)
    log.warning("late by %d s", 9)
    assert lines() == [
        "late by 2 s", "gate: late by 2 s", "well", "well", "well",
        "late by 9 s (and 2 times more since the last line)",
    ]  # fmt: skip


def test_a_line_that_cannot_be_written_is_no_end_of_the_world() -> None:
    lines = Lines("text", under_journal=True)
    log.info("%d cameras", "three")
    assert "cannot be written" in lines()[0]

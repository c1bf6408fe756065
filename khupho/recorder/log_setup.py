"""How the recorder's log lines leave the program: plain on a terminal, JSON lines on demand.

Installed once, by the program itself. Whatever module a line comes from, passwords are taken out of it
here, and one that repeats is gathered.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, TextIO

from khupho.clock import Clock
from khupho.recorder.camera_url import redact
from khupho.recorder.logs import GATHER_US
from khupho.units import format_utc

LogFormat = Literal["text", "json"]
_MOST_GATHERED = 1_000
_FIELDS = ("camera", "stream", "cause")
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_PLAIN = "\x1b[0m"


class Redacting(logging.Filter):
    """Takes what looks like a password out of every line, tracebacks too."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = redact(record.getMessage()), ()
        except (TypeError, ValueError):
            record.msg, record.args = f"A line that cannot be written: {record.msg!r}"[:500], ()
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True


class Gathering(logging.Filter):
    """A warning that comes again within a minute is counted, and told with the next one."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._told: OrderedDict[tuple[object, ...], tuple[int, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        # Before the arguments are put in: "late by 2 s" and "late by 3 s" are one cause.
        fields = vars(record)
        key = (record.name, record.levelno, str(record.msg), *(fields.get(n) for n in _FIELDS))
        now_us = self._clock.mono_us()
        told_us, held = self._told.pop(key, (now_us - GATHER_US, 0))
        if now_us - told_us < GATHER_US:
            self._told[key] = (told_us, held + 1)
            return False
        self._told[key] = (now_us, 0)
        if len(self._told) > _MOST_GATHERED:
            self._told.popitem(last=False)
        if held:
            record.msg = f"{record.getMessage()} (and {held} times more since the last line)"
            record.args = ()
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "utc": format_utc(round(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "source": record.name,
            "text": record.getMessage(),
        }
        line.update(_said(vars(record)))
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """A line for people: time, camera, text."""

    def __init__(self, *, with_time: bool, coloured: bool) -> None:
        super().__init__()
        self._with_time = with_time
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        said = _said(vars(record))
        where = "/".join(str(said[name]) for name in ("camera", "stream") if name in said)
        text = f"{where}: {record.getMessage()}" if where else record.getMessage()
        if record.levelno >= logging.ERROR:
            text = f"ERROR {text}"
        if self._coloured and record.levelno in _COLOURS:
            text = f"{_COLOURS[record.levelno]}{text}{_PLAIN}"
        if self._with_time:
            text = f"{self.formatTime(record, '%H:%M:%S')} {text}"
        return f"{text}\n{record.exc_text}" if record.exc_text else text


def _said(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: fields[name] for name in _FIELDS if fields.get(name)}


def install_logging(
    log_format: LogFormat,
    clock: Clock,
    *,
    stream: TextIO | None = None,
    under_journal: bool = False,
) -> logging.Handler:
    """Let all lines from now on go to `stream` (stderr). The journal of systemd has times of its own."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    if log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(PlainLines(with_time=not under_journal, coloured=stream.isatty()))
    handler.addFilter(Gathering(clock))
    handler.addFilter(Redacting())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("uvicorn", "asyncio", "litestar"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return handler

"""Log lines that say camera, stream and cause; repeated ones are gathered, so that one bad camera
doesn't drown the others."""

from __future__ import annotations

import logging

from khupho.clock import Clock
from khupho.recorder.camera_url import redact
from khupho.units import US_PER_MINUTE

GATHER_US = US_PER_MINUTE


class StreamLog:
    """Logs of one stream. The same cause within a minute is counted, and told with the next line."""

    def __init__(self, logger: logging.Logger, camera: str, stream: str, clock: Clock) -> None:
        self._logger = logger
        self._camera = camera
        self._stream = stream
        self._clock = clock
        self._last: dict[str, tuple[int, int]] = {}

    def info(self, cause: str, text: str) -> None:
        """Something worth knowing."""
        self._line(logging.INFO, cause, text)

    def warning(self, cause: str, text: str) -> None:
        """Something is amiss."""
        self._line(logging.WARNING, cause, text)

    def _line(self, level: int, cause: str, text: str) -> None:
        text = redact(text)  # here, so that no caller can forget it
        now_us = self._clock.mono_us()
        told_us, held = self._last.get(cause, (now_us - GATHER_US, 0))
        if now_us - told_us < GATHER_US:
            self._last[cause] = (told_us, held + 1)
            return
        self._last[cause] = (now_us, 0)
        if held:
            text = f"{text} (and {held} times more in the last minute)"
        self._logger.log(
            level,
            text,
            extra={"camera": self._camera, "stream": self._stream, "cause": cause},
        )

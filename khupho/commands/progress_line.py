"""One line on a terminal that tells how far long work is."""

from __future__ import annotations

import sys
from types import TracebackType

from khupho.clock import Clock, SystemClock
from khupho.units import US_PER_S

_EVERY_US = US_PER_S // 5
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """Shows work done of work to do on stderr, only if that is a terminal. Use as a `with` block."""

    def __init__(self, what: str, *, quiet: bool = False, clock: Clock | None = None) -> None:
        self._what = what
        self._clock = clock or SystemClock()
        self._shown = not quiet and sys.stderr.isatty()
        self._began_us = self._clock.mono_us()
        self._told_us = self._began_us - _EVERY_US

    def __enter__(self) -> ProgressLine:
        return self

    def tell(self, done: int, total: int, detail: str = "") -> None:
        """So much is done; `total` 0 where nobody knows how much there is."""
        if not self._shown:
            return
        now_us = self._clock.mono_us()
        if now_us - self._told_us < _EVERY_US:
            return
        self._told_us = now_us
        sys.stderr.write(_CLEAR + self._text(done, total, now_us - self._began_us, detail))
        sys.stderr.flush()

    def _text(self, done: int, total: int, passed_us: int, detail: str) -> str:
        text = self._what
        if total > 0:
            text += f" {min(100 * done // total, 100):3d} %"
            if done and passed_us > 2 * US_PER_S:
                left_s = passed_us * max(total - done, 0) // done // US_PER_S
                text += f", {left_s // 60}:{left_s % 60:02d} left"
        elif done:
            text += f" {done:,}"
        return f"{text}  {detail}".rstrip()[:100]

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

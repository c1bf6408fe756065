"""`Range` of a request (RFC 9110 section 14): one range of bytes, which is all that players ask for."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class ByteRange(NamedTuple):
    """Part of a file."""

    start: int
    end: int
    """Exclusive."""

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


class RangeError(Exception):
    """No byte of the file is asked for: to be answered with 416."""


def asked_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The part that is asked for; None for the whole: no header, several ranges, or one that is not
    understood, which are to be passed over (section 14.2). Raises `RangeError`.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        last_bytes = int(match[2])
        if not last_bytes or not size_bytes:
            raise RangeError
        return ByteRange(max(0, size_bytes - last_bytes), size_bytes)
    start = int(match[1])
    end = min(int(match[2]) + 1, size_bytes) if match[2] else size_bytes
    if match[2] and int(match[2]) < start:
        return None
    if start >= size_bytes:
        raise RangeError
    return ByteRange(start, end)

"""Moments in addresses: microseconds since 1970 UTC, or RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_UTC_US = 253_402_300_800_000_000
"""The year 10000."""
_LONGEST = 40


class NotAMomentError(ValueError):
    """Neither of the two ways to write a moment."""


def parse_moment(text: str) -> int:
    """Microseconds since 1970 UTC. Raises `NotAMomentError`."""
    if len(text) > _LONGEST:
        raise NotAMomentError(f"{text[:_LONGEST]}… is too long")
    if text.isascii() and text.isdigit():
        utc_us = int(text)
    else:
        try:
            # In an address a plus sign may have become a space.
            moment = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError:
            raise NotAMomentError(f"{text!r} cannot be read") from None
        if moment.tzinfo is None:
            raise NotAMomentError(f"{text!r} has no zone")
        difference = moment - _EPOCH
        utc_us = (difference.days * 86_400 + difference.seconds) * 1_000_000
        utc_us += difference.microseconds
    if not 0 <= utc_us < _MOST_UTC_US:
        raise NotAMomentError(f"{text!r} is out of range")
    return utc_us

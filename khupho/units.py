"""Times and sizes, with their units in their names.

Integers everywhere: a float second is the field's commonest bug. A name that ends in `_us` is
microseconds, `_90k` ticks of the 90 kHz media clock (RFC 3551 section 5, RFC 6184 section 5.1),
`_bytes` bytes. A `_utc_us` counts from the Unix epoch; a `_mono_us` counts from an arbitrary point
and never steps.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

US_PER_MS = 1_000
US_PER_S = 1_000_000
US_PER_MINUTE = 60 * US_PER_S
US_PER_HOUR = 60 * US_PER_MINUTE
US_PER_DAY = 24 * US_PER_HOUR

MEDIA_CLOCK_HZ = 90_000
NTP_EPOCH_OFFSET_S = 2_208_988_800
"""Seconds from 1900-01-01 to 1970-01-01 (RFC 5905 section 6)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ticks_to_us(ticks_90k: int) -> int:
    """Microseconds of a number of 90 kHz ticks, rounded down."""
    return ticks_90k * 100 // 9


def us_to_ticks(us: int) -> int:
    """90 kHz ticks of a number of microseconds, rounded down."""
    return us * 9 // 100


def utc_us_to_ntp(utc_us: int) -> int:
    """A 64-bit NTP timestamp (RFC 5905 section 6) of microseconds since the Unix epoch."""
    seconds, us = divmod(utc_us, US_PER_S)
    return ((seconds + NTP_EPOCH_OFFSET_S) & 0xFFFFFFFF) << 32 | (
        (us << 32) + US_PER_S - 1
    ) // US_PER_S


def ntp_to_utc_us(ntp: int) -> int:
    """Microseconds since the Unix epoch of a 64-bit NTP timestamp.

    Era 0 ends in 2036; a timestamp below 1968's is read as era 1 (RFC 4330 section 3).
    """
    seconds, fraction = ntp >> 32, ntp & 0xFFFFFFFF
    if seconds < 0x80000000:
        seconds += 1 << 32
    return (seconds - NTP_EPOCH_OFFSET_S) * US_PER_S + (fraction * US_PER_S >> 32)


def format_utc(utc_us: int) -> str:
    """RFC 3339 text in UTC with microseconds, for example `2026-11-24T04:16:01.000250Z`."""
    moment = _EPOCH + timedelta(microseconds=utc_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"


def parse_utc(text: str) -> int:
    """Microseconds since the Unix epoch of an RFC 3339 text.

    A text without a zone is refused with `ValueError`: a local time is ambiguous twice a year.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write 2026-11-24T04:16:01Z or +07:00")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * US_PER_S + delta.microseconds

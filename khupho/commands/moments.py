"""Moments as people write them: RFC 3339, or local time in a zone that is always shown."""

from __future__ import annotations

import os
import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH = re.compile(r"\+(\d{1,9})(s|m|h|d)")
_TIME_OF_DAY = re.compile(r"\d?\d:\d\d|\d\d:\d\d:\d\d")
_UNITS_US = {"s": US_PER_S, "m": US_PER_MINUTE, "h": US_PER_HOUR, "d": US_PER_DAY}
_FORM = "Write 2026-11-24T08:00:00+07:00, or 2026-11-24 08:00 or 08:00 in the zone of --zone"


class MomentError(KhuphoError):
    """A text is no moment, or a local time that isn't one moment."""

    fault = Fault.USER


def find_zone(name: str) -> ZoneInfo:
    """The zone of that name (IANA); empty for the machine's own. Raises `MomentError`."""
    wanted = name or _machine_zone()
    try:
        return ZoneInfo(wanted)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MomentError(
            f"There is no time zone {wanted!r}", advice="For example --zone Asia/Ho_Chi_Minh"
        ) from error


def _machine_zone() -> str:
    """TZ, else where /etc/localtime points, else UTC (localtime(5))."""
    name = os.environ.get("TZ", "").lstrip(":")
    if name:
        return name
    try:
        target = str(Path("/etc/localtime").readlink())
    except OSError:
        return "UTC"
    _, found, zone = target.partition("zoneinfo/")
    return zone if found else "UTC"


def parse_moment(
    text: str, zone: ZoneInfo, after_utc_us: int | None = None, now_utc_us: int | None = None
) -> int:
    """Microseconds since the epoch of what a person wrote. Raises `MomentError`.

    With `after_utc_us`, `+90s`, `+10m`, `+2h` and `+1d` count from there, and a time of day alone is the next
    one after it. With `now_utc_us`, a time of day alone is the last one that has been.
    """
    text = text.strip()
    if _TIME_OF_DAY.fullmatch(text) and (after_utc_us is not None or now_utc_us is not None):
        return _time_of_day(text, zone, after_utc_us, now_utc_us)
    length = _LENGTH.fullmatch(text)
    if length is not None and after_utc_us is not None:
        return after_utc_us + int(length[1]) * _UNITS_US[length[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MomentError(f"{text!r} is no moment", advice=_FORM) from error
    if len(text) < len("2026-11-24 08:00"):
        raise MomentError(f"{text!r} has no time of day", advice=_FORM)
    if moment.tzinfo is None:
        moment = _in_zone(moment, zone, text)
    try:
        passed = moment - _EPOCH
    except OverflowError as error:
        raise MomentError(f"{text!r} is out of reach", advice=_FORM) from error
    return (passed.days * 86_400 + passed.seconds) * US_PER_S + passed.microseconds


def _time_of_day(
    text: str, zone: ZoneInfo, after_utc_us: int | None, now_utc_us: int | None
) -> int:
    """The next such time after the one, or the last one up to the other."""
    is_next = after_utc_us is not None
    base_us = after_utc_us if after_utc_us is not None else now_utc_us or 0
    day = local_time(base_us, zone).date()
    found_us = parse_moment(f"{day.isoformat()} {text:0>5}", zone)
    if is_next and found_us <= base_us:
        day += timedelta(days=1)
    elif not is_next and found_us > base_us:
        day -= timedelta(days=1)
    else:
        return found_us
    return parse_moment(f"{day.isoformat()} {text:0>5}", zone)


def _in_zone(moment: datetime, zone: ZoneInfo, text: str) -> datetime:
    """A local time, unless clocks were put forward over it or back to it."""
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
        what = f"{text} was skipped in {zone.key}: clocks were put forward"
    else:
        what = f"{text} was there twice in {zone.key}: clocks were put back"
    raise MomentError(what, advice=f"Write it with its offset, {early.isoformat()} for example")


def show_moment(utc_us: int, zone: ZoneInfo) -> str:
    """Local time to the second with its offset: `2026-11-24 08:00:00+07:00`."""
    return local_time(utc_us, zone).replace(microsecond=0).isoformat(" ")


def local_time(utc_us: int, zone: ZoneInfo) -> datetime:
    """A moment on the zone's clocks."""
    return (_EPOCH + timedelta(microseconds=utc_us)).astimezone(zone)


def show_length(us: int) -> str:
    """`3 d 04:05:06`, `04:05:06` or `6.5 s`."""
    if us < US_PER_MINUTE:
        return f"{us / US_PER_S:.1f} s"
    days, seconds = divmod(us // US_PER_S, 86_400)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{days} d {text}" if days else text


def show_size(size_bytes: int) -> str:
    """`850 kB`, `3.2 MB`, `12.40 GB`: units of ten, as disks are sold."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1e3:,.0f} kB"
    if size_bytes < 1_000_000_000:
        return f"{size_bytes / 1e6:,.1f} MB"
    return f"{size_bytes / 1e9:,.2f} GB"

"""Moments as people write them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from khupho.commands.moments import (
    MomentError,
    find_zone,
    parse_moment,
    show_length,
    show_moment,
    show_size,
)
from khupho.commands.progress_line import ProgressLine
from khupho.units import US_PER_HOUR, US_PER_S, parse_utc

SAIGON = ZoneInfo("Asia/Ho_Chi_Minh")
BERLIN = ZoneInfo("Europe/Berlin")
EIGHT_US = parse_utc("2026-11-24T01:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["2026-11-24T08:00:00+07:00", "2026-11-24T01:00:00Z", "2026-11-24 08:00", "2026-11-24T08:00:00",
     " 2026-11-24 08:00:00.000 "],
)  # fmt: skip
def test_one_moment_in_many_words(text: str) -> None:
    assert parse_moment(text, SAIGON) == EIGHT_US


def test_lengths_count_from_the_start() -> None:
    assert parse_moment("+90s", SAIGON, EIGHT_US) == EIGHT_US + 90 * US_PER_S
    assert parse_moment("+2h", SAIGON, EIGHT_US) == EIGHT_US + 2 * US_PER_HOUR
    with pytest.raises(MomentError):
        parse_moment("+2h", SAIGON)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-11-24", "2026-13-24 08:00", "+5y", "8", "24:10", "08:60"]
)
def test_no_moments(text: str) -> None:
    with pytest.raises(MomentError):
        parse_moment(text, SAIGON, EIGHT_US)


def test_a_time_of_day_alone() -> None:
    """From: the last one that has been. To: the next one after that."""
    now_us = EIGHT_US + 90 * US_PER_S
    day_us = 24 * US_PER_HOUR
    assert parse_moment("08:00", SAIGON, now_utc_us=now_us) == EIGHT_US
    assert parse_moment("8:00", SAIGON, now_utc_us=EIGHT_US) == EIGHT_US
    assert parse_moment("08:02", SAIGON, now_utc_us=now_us) == EIGHT_US + 120 * US_PER_S - day_us
    assert parse_moment("08:00:30", SAIGON, EIGHT_US, now_us) == EIGHT_US + 30 * US_PER_S
    assert parse_moment("08:00", SAIGON, EIGHT_US) == EIGHT_US + day_us
    assert parse_moment("01:00", SAIGON, EIGHT_US) == EIGHT_US + 17 * US_PER_HOUR
    with pytest.raises(MomentError, match="no moment"):
        parse_moment("08:00", SAIGON)


def test_sizes() -> None:
    assert [show_size(n) for n in (0, 850_400, 3_210_000, 12_400_000_000)] == [
        "0 kB", "850 kB", "3.2 MB", "12.40 GB",
    ]  # fmt: skip


def test_a_local_time_must_be_one_moment() -> None:
    with pytest.raises(MomentError, match="twice"):
        parse_moment("2026-10-25 02:30", BERLIN)
    with pytest.raises(MomentError, match="skipped"):
        parse_moment("2026-03-29 02:30", BERLIN)
    assert parse_moment("2026-10-25 02:30+01:00", BERLIN) == parse_utc("2026-10-25T01:30:00Z")


def test_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    assert find_zone("").key == "Asia/Ho_Chi_Minh"
    assert find_zone("Europe/Berlin").key == "Europe/Berlin"
    for name in ("Asia/Sai Gon", "../etc/passwd", "/etc/passwd"):
        with pytest.raises(MomentError):
            find_zone(name)
    monkeypatch.delenv("TZ")
    assert find_zone("").key


def test_shown() -> None:
    assert show_moment(EIGHT_US + 5, SAIGON) == "2026-11-24 08:00:00+07:00"
    assert show_length(6_500_000) == "6.5 s"
    assert show_length(3_661_000_000) == "01:01:01"
    assert show_length(2 * 86_400_000_000 + 1_000_000) == "2 d 00:00:01"


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("Copying") as line:
        line.tell(1, 2)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""

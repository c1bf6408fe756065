"""Moments in addresses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.recorder.http.moments import NotAMomentError, parse_moment
from khupho.units import format_utc


@pytest.mark.parametrize(
    ("text", "utc_us"),
    [
        ("0", 0),
        ("1764043200123456", 1764043200123456),
        ("1970-01-01T00:00:00Z", 0),
        ("2025-11-25T04:00:00.123456Z", 1764043200123456),
        ("2025-11-25T11:00:00.123456+07:00", 1764043200123456),
        ("2025-11-25T11:00:00.123456 07:00", 1764043200123456),
    ],
)
def test_both_ways_to_write_a_moment(text: str, utc_us: int) -> None:
    assert parse_moment(text) == utc_us


@pytest.mark.parametrize(
    "text",
    ["", "now", "-1", "1e9", "2025-11-25T04:00:00", "2025-11-25", "9" * 20, "1969-12-31T23:59:59Z",
     "١٢٣", "2025-11-25T04:00:00Z" + " " * 30, "2025-13-25T04:00:00Z"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(NotAMomentError):
        parse_moment(text)


@given(st.integers(0, 4_102_444_800_000_000))
def test_what_we_write_we_read(utc_us: int) -> None:
    assert parse_moment(format_utc(utc_us)) == utc_us
    assert parse_moment(str(utc_us)) == utc_us


@given(st.text(max_size=50))
def test_nothing_else_comes_out_of_it(text: str) -> None:
    with contextlib.suppress(NotAMomentError):
        assert parse_moment(text) >= 0

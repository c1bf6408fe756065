"""`Range` as RFC 9110 section 14 has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.recorder.http.ranges import ByteRange, RangeError, asked_range


@pytest.mark.parametrize(
    ("header", "size", "wanted"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-99", 10, (0, 10)),
        ("bytes=4-", 10, (4, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes= 2 - 3", 10, (2, 4)),
    ],
)
def test_one_range_is_taken(header: str, size: int, wanted: tuple[int, int]) -> None:
    assert asked_range(header, size) == ByteRange(*wanted)


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b",
     "bytes=" + "9" * 30 + "-"],
)  # fmt: skip
def test_what_is_not_one_range_asks_for_the_whole(header: str | None) -> None:
    assert asked_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)],
)
def test_no_byte_of_the_file_is_refused(header: str, size: int) -> None:
    with pytest.raises(RangeError):
        asked_range(header, size)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=40), st.integers(0, 1 << 62))
def test_whatever_is_asked_the_answer_lies_within_the_file(header: str, size: int) -> None:
    try:
        part = asked_range(header, size)
    except RangeError:
        return
    if part is not None:
        assert 0 <= part.start < part.end <= size
        assert part.size_bytes > 0

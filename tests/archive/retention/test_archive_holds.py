"""Holds: what they protect, and their lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.retention.holds import HeldRanges, Hold, HoldError, hold_of_fields
from khupho.errors import Fault


def held(*ranges: tuple[int, int], stream: str = "") -> HeldRanges:
    return HeldRanges(
        Hold(str(n), "gate", start, end, "theft", stream) for n, (start, end) in enumerate(ranges)
    )


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=6),
    st.integers(0, 70),
    st.integers(0, 20),
)
def test_any_overlap_protects(ranges: list[tuple[int, int]], start: int, length: int) -> None:
    spans = [(begin, begin + size) for begin, size in ranges]
    touched = set(range(start, start + max(length, 1)))
    expected = any(touched & set(range(*span)) for span in spans)
    assert held(*spans).protects("gate", "main", start, start + length) is expected


def test_of_its_camera_and_stream_only() -> None:
    ranges = held((10, 20), stream="sub")
    assert ranges.protects("gate", "sub", 15, 16)
    assert not ranges.protects("gate", "main", 15, 16)
    assert not ranges.protects("yard", "sub", 15, 16)
    assert held((10, 20)).protects("gate", "audio", 19, 40)


def test_a_line_gives_back_the_hold() -> None:
    hold = Hold("h1", "gate", 1_000_001, 2_000_002, "mất xe", "main", 3_000_003)
    assert hold_of_fields(hold.to_fields()) == hold


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, Fault.ARCHIVE),
        ({"start": 7}, Fault.ARCHIVE),
        ({"start": "soon", "end": "later"}, Fault.ARCHIVE),
        ({"start": "2026-11-24T08:00:00", "end": "2026-11-24T09:00:00Z"}, Fault.ARCHIVE),
        ({"start": "2026-11-24T08:00:00Z", "end": "2026-11-24T08:00:00Z"}, Fault.USER),
    ],
)
def test_bad_lines(fields: dict[str, object], fault: Fault) -> None:
    with pytest.raises(HoldError) as raised:
        hold_of_fields({"id": "h", "camera": "gate", "reason": "theft", **fields})
    assert raised.value.fault is fault


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_hold_needs_a_reason(reason: str) -> None:
    with pytest.raises(HoldError, match="reason"):
        Hold("h", "gate", 1, 2, reason)

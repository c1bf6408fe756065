from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media.boxes import (
    Box,
    BoxError,
    ReadAt,
    box,
    box_at,
    boxes_in,
    boxes_of_file,
    child,
    children,
    full_box,
    mdat_header,
)

LARGE = b"\0\0\0\1wide\0\0\0\0\0\0\0\x13abc"


def reader(data: bytes) -> ReadAt:
    return lambda offset, size: data[offset : offset + size]


def test_all_sizes():
    data = box(b"free", b"1234") + LARGE + b"\0\0\0\0mdatrest"
    found = list(boxes_in(data))
    assert found == [
        Box(b"free", 0, 8, 12), Box(b"wide", 12, 16, 19), Box(b"mdat", 31, 8, 12),
    ]  # fmt: skip
    assert list(boxes_of_file(reader(data), 0, len(data))) == found
    assert data[found[1].payload : found[1].end] == b"abc"
    assert list(boxes_of_file(reader(data), 12, 31)) == [found[1]]


@pytest.mark.parametrize(
    ("tail", "truncated"),
    [
        (b"\0\0\0\x09moov", True),
        (b"\0\0\0\x0c", True),
        (LARGE[:15], True),
        (LARGE[:-1], True),
        (b"\0\0\0\x07moovabc", False),
        (b"\0\0\0\1wide\0\0\0\0\0\0\0\x0fabc", False),
        (b"\0\0\0\1wide\xff\xff\xff\xff\xff\xff\xff\xff", True),
    ],
)
def test_broken_boxes_tell_where(tail: bytes, truncated: bool):
    data = box(b"free") + tail
    for boxes in (boxes_in(data), boxes_of_file(reader(data), 0, len(data))):
        assert next(boxes).type == b"free"
        with pytest.raises(BoxError) as caught:
            next(boxes)
        assert (caught.value.offset, caught.value.truncated) == (8, truncated)


def test_file_that_is_shorter_than_told():
    with pytest.raises(BoxError) as caught:
        list(boxes_of_file(reader(b"\0\0\0\x20mo"), 0, 100))
    assert caught.value.truncated


def test_number_of_boxes_is_bounded():
    data = box(b"free") * 11
    with pytest.raises(BoxError) as caught:
        list(boxes_of_file(reader(data), 0, len(data), max_boxes=10))
    assert caught.value.offset == 80


def test_inside_a_box():
    inner = box(b"abcd", b"1") + box(b"efgh", b"2") + box(b"abcd", b"3")
    data = box(b"outr", box(b"midl", inner), b"")
    top = box_at(data, 0, len(data))
    found = child(data, top, b"midl", b"abcd")
    assert data[found.payload : found.end] == b"1"
    assert set(children(data, child(data, top, b"midl"))) == {b"abcd", b"efgh"}
    with pytest.raises(BoxError):
        child(data, top, b"midl", b"none")
    # A child may not reach past its parent, though the buffer goes on.
    data = box(b"outr", b"\0\0\0\x10abcd") + bytes(100)
    with pytest.raises(BoxError):
        child(data, box_at(data, 0, len(data)), b"abcd")


def test_writers():
    assert full_box(b"tfdt", 1, 0x20, b"x") == b"\0\0\0\x0dtfdt\1\0\0\x20x"
    assert mdat_header(100) == b"\0\0\0\x6cmdat"
    assert mdat_header(0xFFFFFFFF - 8) == b"\xff\xff\xff\xffmdat"
    assert mdat_header(0xFFFFFFFF - 7) == b"\0\0\0\1mdat\0\0\0\1\0\0\0\x08"


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from([LARGE, box(b"free"), bytes(8)])),
        max_size=6,
    ).map(b"".join)
)
def test_any_bytes_end_in_boxes_or_our_error(data: bytes):
    seen: list[Box] = []
    try:
        seen.extend(boxes_in(data))
    except BoxError as e:
        assert e.offset == (seen[-1].end if seen else 0)
    else:
        assert (seen[-1].end if seen else 0) == len(data)
    assert [b.offset for b in seen] == [0, *(b.end for b in seen)][: len(seen)]

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media.reorder import MAX_REORDER_FRAMES, DecodeTimes, observed_reorder


def decode_times(pts: list[int], depth: int, duration: int = 3600) -> list[int]:
    times = DecodeTimes(depth, duration)
    return [times.push(p) for p in pts]


def test_without_reordering_decoding_is_presentation():
    pts = [0, 3600, 7300, 10800]
    assert decode_times(pts, 0) == pts
    assert observed_reorder(pts) == 0


def test_one_b_frame():
    # I P B P B: presentation 0 2 1 4 3, in decoding order.
    pts = [90_000, 97_200, 93_600, 104_400, 100_800]
    assert observed_reorder(pts) == 1
    assert decode_times(pts, 1) == [86_400, 90_000, 93_600, 97_200, 100_800]
    assert DecodeTimes(1).lead_90k == 3600


def test_b_pyramid():
    # I P b0 b1 b2 with b0 a reference: presentation 0 4 2 1 3.
    pts = [i * 3600 for i in (0, 4, 2, 1, 3, 8, 6, 5, 7)]
    assert observed_reorder(pts) == 2
    dts = decode_times(pts, 2)
    assert dts == [i * 3600 for i in range(-2, 7)]


def test_declared_depth_too_small_still_goes_forward():
    pts = [i * 3600 for i in (0, 4, 2, 1, 3)]
    dts = decode_times(pts, 0)
    assert all(a < b for a, b in pairwise(dts))


def test_leading_pictures_after_joining():
    """An open GOP's leading pictures are presented before the key frame that was first."""
    dts = decode_times([10_000, 6_400, 2_800, 13_600, 17_200], 2)
    assert all(a < b for a, b in pairwise(dts))


@given(st.integers(0, 4), st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_peeking_tells_the_next(depth: int, pts: list[int]):
    times = DecodeTimes(depth)
    times.push(0)
    for p in pts:
        told = times.peek(p)
        assert told == times.push(p)


@given(
    st.integers(0, 4), st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=9), max_size=6)
)
def test_pushing_many_is_pushing_each(depth: int, batches: list[list[int]]):
    one_by_one, at_once = DecodeTimes(depth), DecodeTimes(depth)
    for batch in batches:
        assert [one_by_one.push(pts) for pts in batch] == list(at_once.push_all(batch))
        assert one_by_one.peek(25) == at_once.peek(25)


def test_refusals():
    for depth, duration in ((-1, 1), (MAX_REORDER_FRAMES + 1, 1), (1, 0)):
        with pytest.raises(ValueError):
            DecodeTimes(depth, duration)


def test_as_ffmpeg_does(clip):
    """libx264's own decode times, up to the constant lead that its muxer chose."""
    for name, depth in (("h264-b", 2), ("h265-b", 2), ("h264-baseline", 0)):
        packets = clip(name).packets
        pts = [p.pts for p in packets]
        assert observed_reorder(pts) == depth
        mine = decode_times(pts, depth, 9000)
        assert [d - mine[0] for d in mine] == [p.dts - packets[0].dts for p in packets]
        assert all(d <= p for d, p in zip(mine, pts, strict=True))


@settings(max_examples=200)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=17, unique=True))
def test_depth_is_what_the_standard_defines(pts: list[int]):
    depth = max(sum(before > p for before in pts[:i]) for i, p in enumerate(pts))
    assert observed_reorder(pts) == depth
    dts = decode_times(pts, depth, 1)
    assert all(a < b for a, b in pairwise(dts))
    if pts[0] == min(pts):
        assert all(d <= p for d, p in zip(dts, pts, strict=True))
        assert dts[depth:] == sorted(pts)[: len(pts) - depth]


@given(st.lists(st.integers(-(2**40), 2**40), max_size=80), st.integers(0, 16))
def test_any_times_give_growing_decode_times(pts: list[int], depth: int):
    dts = decode_times(pts, depth)
    assert all(a < b for a, b in pairwise(dts))
    assert 0 <= observed_reorder(pts) <= MAX_REORDER_FRAMES

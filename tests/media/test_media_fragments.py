from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media import fragment_reader
from khupho.media.boxes import BoxError, box, boxes_in, children
from khupho.media.fmp4 import (
    PRFT_BYTES,
    FragmentHeader,
    Keys,
    RandomAccess,
    fragment_header,
    mfra_box,
    mfra_size,
    parse_fragment,
    parse_mfra,
    read_fragment,
)

FACTS_TYPE = bytes(range(16))
U32 = st.integers(0, 0xFFFFFFFF)
U64 = st.integers(0, 2**64 - 1)


@st.composite
def fragments(draw: st.DrawFn, max_samples: int = 20) -> tuple[bytes, FragmentHeader]:
    """A header made, and what should be read from it."""
    n = draw(st.integers(1, max_samples))

    def column(values: st.SearchStrategy) -> tuple:
        return tuple(draw(st.lists(values, min_size=n, max_size=n)))

    durations, sizes = column(U32), column(U32)
    ctts = column(st.integers(-(2**31), 2**31 - 1)) if draw(st.booleans()) else None
    key_flags = column(st.booleans()) if draw(st.booleans()) else None
    keys = draw(st.sampled_from(Keys))
    facts = draw(st.none() | st.binary(max_size=90))
    data_size = draw(st.integers(0, 0xFFFFFFFF - 8))
    sequence, base, ntp, media_time = draw(U32), draw(U64), draw(U64), draw(U64)
    made = fragment_header(
        sequence,
        base,
        durations,
        sizes,
        data_size=data_size,
        ntp_64=ntp,
        media_time_for_prft=media_time,
        keys=keys,
        ctts=ctts,
        key_flags=key_flags,
        facts_type=FACTS_TYPE if facts is not None else b"",
        facts_payload=facts or b"",
    )
    is_key = key_flags or (keys > 0, *[keys == Keys.ALL] * (n - 1))
    return made, FragmentHeader(
        sequence, base, durations, sizes, ctts, is_key, ntp, media_time,
        FACTS_TYPE if facts is not None else b"", facts or b"", len(made), data_size,
    )  # fmt: skip


@settings(max_examples=200)
@given(fragments(), st.binary(max_size=4))
def test_round_trip_both_ways(pair: tuple[bytes, FragmentHeader], rest: bytes):
    made, wanted = pair
    assert parse_fragment(made + rest) == wanted
    assert fragment_reader._parse(made + rest, None) == wanted


@settings(max_examples=200)
@given(fragments(8), st.data())
def test_spoiled_headers_read_alike_or_raise(
    pair: tuple[bytes, FragmentHeader], draw: st.DataObject
):
    """The quick way never reads what the careful way would refuse or read otherwise."""
    made = bytearray(pair[0])
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(made) - 1))
        made[at] = draw.draw(st.integers(0, 255))
    data = bytes(made[: draw.draw(st.integers(0, len(made)) | st.just(len(made)))])
    try:
        careful = fragment_reader._parse(data, None)
    except BoxError:
        careful = None
    assert fragment_reader._parse_as_written(data) in (None, careful)
    if careful is None:
        with pytest.raises(BoxError):
            parse_fragment(data)
    else:
        assert parse_fragment(data) == careful


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_raise_our_error(data: bytes):
    with pytest.raises(BoxError):
        parse_fragment(data)


def example(samples: int = 12, **more: object) -> bytes:
    arguments: dict = {
        "data_size": 1000 * samples, "ntp_64": 1 << 63, "media_time_for_prft": 90_000,
        "facts_type": FACTS_TYPE, "facts_payload": b"facts", "keys": Keys.FIRST,
    }  # fmt: skip
    return fragment_header(7, 90_000, [3600] * samples, [1000] * samples, **arguments | more)


def test_boxes_of_a_header():
    made = example()
    top = list(boxes_in(made + bytes(12_000)))
    # VLC 3 plays nothing where another box stands between moof and mdat.
    assert [b.type for b in top] == [b"prft", b"moof", b"mdat"]
    assert top[1].offset == PRFT_BYTES
    assert top[2].payload == len(made)
    inside = children(made, top[1])
    assert list(inside) == [b"mfhd", b"traf", b"uuid"]
    assert made[inside[b"uuid"].payload : inside[b"uuid"].end] == FACTS_TYPE + b"facts"
    trun = children(made, inside[b"traf"])[b"trun"]
    offset = int.from_bytes(made[trun.payload + 8 : trun.payload + 12], "big")
    assert top[1].offset + offset == len(made)


def test_numbers_that_do_not_fit():
    for samples, more in (
        (1, {"ctts": [1 << 31]}), (1, {"ntp_64": -1}), (1, {"data_size": 0xFFFFFFFF}),
        (1, {"ctts": [-(1 << 31) - 1]}), (0, {}), (50_001, {}),
    ):  # fmt: skip
        with pytest.raises(BoxError):
            example(samples, **more)
    with pytest.raises(BoxError):
        fragment_header(1, 0, [-1], [1], data_size=1, ntp_64=0, media_time_for_prft=0)


def test_every_cut_is_told_as_cut():
    made = example()
    for size in range(len(made)):
        with pytest.raises(BoxError) as caught:
            parse_fragment(made[:size], 5000)
        assert caught.value.truncated, size
        assert caught.value.offset >= 5000


def test_file_that_ends_inside_the_data():
    made = example()
    whole = 5000 + len(made) + 12_000
    assert parse_fragment(made, 5000, whole).data_size == 12_000
    with pytest.raises(BoxError) as caught:
        parse_fragment(made, 5000, whole - 1)
    assert caught.value.truncated
    assert caught.value.offset == 5000 + len(made) - 8


@pytest.mark.parametrize("samples", [1, 12, 100, 5000])
def test_reading_from_a_file(samples: int):
    made = example(samples, key_flags=[True] * samples, ctts=[-3] * samples)
    data = bytes(77) + made + bytes(1000 * samples)
    calls: list[int] = []

    def read_at(offset: int, size: int) -> bytes:
        calls.append(size)
        return data[offset : offset + size]

    header = read_fragment(read_at, 77, len(data))
    assert (len(header.sizes), header.header_size) == (samples, len(made))
    assert 77 + header.size_bytes == len(data)
    assert header.end_decode_time_90k == 90_000 + 3600 * samples
    assert len(calls) <= 4
    assert sum(calls) < 16 * len(made) + 2048
    for torn in (len(data) - 1, 77 + len(made), 77 + len(made) - 1, 80, 77):
        with pytest.raises(BoxError) as caught:
            read_fragment(lambda o, s, torn=torn: data[o : min(o + s, torn)], 77, torn)
        assert caught.value.truncated


def test_reading_garbage_is_bounded():
    data = (b"\x7f\xff\xff\xffprft" + bytes(100)) * 30_000
    with pytest.raises(BoxError):
        read_fragment(lambda o, s: data[o : o + s], 0, 1 << 40)


def test_fragments_of_others_are_refused():
    made = example()
    with pytest.raises(BoxError):
        parse_fragment(made[PRFT_BYTES:])
    with pytest.raises(BoxError):
        parse_fragment(made[:PRFT_BYTES] + box(b"free") + made[PRFT_BYTES:])
    wrong_offset = bytearray(made)
    wrong_offset[PRFT_BYTES + 91] ^= 1
    with pytest.raises(BoxError):
        parse_fragment(bytes(wrong_offset))


@given(st.lists(st.tuples(U64, U64), max_size=20), st.binary(max_size=20))
def test_mfra_round_trip(entries: list[tuple[int, int]], before: bytes):
    made = mfra_box(entries)
    assert parse_mfra(made) == [RandomAccess(*entry) for entry in entries]
    assert mfra_size((before + made)[-16:]) == len(made)
    assert mfra_size(made[:-1][-16:]) == 0


@settings(max_examples=200)
@given(st.integers(0, 89), st.integers(0, 255), st.integers(0, 90))
def test_spoiled_mfra(at: int, value: int, cut: int):
    made = bytearray(mfra_box([(1, 2), (3, 4)]))
    assert len(made) == 86
    made[at % 86] = value
    try:
        assert len(parse_mfra(bytes(made[:cut]))) == 2
    except BoxError as e:
        assert 0 <= e.offset <= 86

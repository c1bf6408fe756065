from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.archive.events import CloseCause
from khupho.archive.segments.facts import (
    CLOSING_FACTS_BYTES,
    FRAGMENT_FACTS_BYTES,
    FRAGMENT_FACTS_TYPE,
    SEGMENT_FACTS_BYTES,
    ClosingFacts,
    FragmentFacts,
    SegmentFacts,
    closing_facts_box,
    fragment_facts_payload,
    is_closing_facts,
    parse_closing_facts,
    parse_fragment_facts,
    parse_segment_facts,
    sealed,
    segment_facts_box,
)
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import Keys, fragment_header, parse_fragment

U32 = st.integers(0, 2**32 - 1)
TIME = st.integers(0, 2**62)
INIT = b"ftyp and moov"
SEGMENT = SegmentFacts(bytes(range(16)), "gate-1", "main", 1_800_000_000_000_000, True, 3)
CLOSING = ClosingFacts(CloseCause.AGE, 1_800_000_600_000_000, 1500, 15_000, 300, 7, 150_000_000)


@given(
    st.binary(max_size=50),
    st.builds(
        SegmentFacts,
        st.binary(min_size=16, max_size=16),
        st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
        st.sampled_from(["main", "sub", "audio"]),
        TIME,
        st.booleans(),
        U32,
    ),
)
def test_segment_facts_round_trip(init: bytes, facts: SegmentFacts):
    box = segment_facts_box(init, facts)
    assert len(box) == SEGMENT_FACTS_BYTES == 132
    assert parse_segment_facts(init + box + b"more", len(init)) == facts


@given(st.integers(0, SEGMENT_FACTS_BYTES + len(INIT) - 1), st.integers(1, 255))
def test_every_byte_before_the_first_fragment_is_covered(at: int, flip: int):
    data = bytearray(INIT + segment_facts_box(INIT, SEGMENT))
    data[at] ^= flip
    with pytest.raises(BoxError) as caught:
        parse_segment_facts(bytes(data), len(INIT))
    assert not caught.value.truncated


def test_segment_facts_that_are_cut_short_are_told_so():
    data = INIT + segment_facts_box(INIT, SEGMENT)
    for size in range(len(INIT), len(data)):
        with pytest.raises(BoxError) as caught:
            parse_segment_facts(data[:size], len(INIT))
        assert caught.value.truncated


def test_names_that_do_not_fit():
    for facts in (
        SEGMENT._replace(camera=""),
        SEGMENT._replace(camera="x" * 65),
        SEGMENT._replace(stream="far-too-long"),
        SEGMENT._replace(archive_id=b"short"),
    ):
        with pytest.raises(ValueError, match="segment facts"):
            segment_facts_box(INIT, facts)


def header_of(facts: FragmentFacts, samples: int = 3, key: Keys = Keys.FIRST) -> bytes:
    flags = facts.key_first | facts.damaged << 1 | facts.clock_wrong << 2
    payload = fragment_facts_payload(
        flags, facts.lost_packets, facts.start_utc_us, facts.sequence, facts.salt,
        facts.payload_sha256,
    )  # fmt: skip
    assert len(payload) == FRAGMENT_FACTS_BYTES == 72
    return sealed(
        fragment_header(
            facts.sequence,
            0,
            [1] * samples,
            [9] * samples,
            data_size=9 * samples,
            ntp_64=5,
            media_time_for_prft=0,
            keys=key,
            facts_type=FRAGMENT_FACTS_TYPE,
            facts_payload=payload,
        )
    )


@given(
    st.builds(
        FragmentFacts, st.booleans(), st.booleans(), st.booleans(), U32, TIME, U32,
        st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32),
    ),
    st.integers(0, 400), st.integers(1, 255),
)  # fmt: skip
def test_fragment_facts_round_trip_and_cover_their_header(facts: FragmentFacts, at: int, flip: int):
    header = header_of(facts)
    assert parse_fragment_facts(parse_fragment(header), header + b"data") == facts
    spoiled = bytearray(header)
    spoiled[at % (len(header) - 8)] ^= flip
    with pytest.raises(BoxError):
        parse_fragment_facts(parse_fragment(bytes(spoiled)), bytes(spoiled), 77)


def test_facts_of_others_and_of_later_versions_are_refused():
    facts = FragmentFacts(True, False, False, 0, 5, 1, bytes(16), bytes(32))
    header = header_of(facts)
    strange = fragment_header(
        1, 0, [1], [9], data_size=9, ntp_64=5, media_time_for_prft=0, facts_type=bytes(16),
        facts_payload=bytes(72),
    )  # fmt: skip
    with pytest.raises(BoxError, match="no facts of ours"):
        parse_fragment_facts(parse_fragment(strange), strange)
    later = bytearray(header)
    at = header.index(FRAGMENT_FACTS_TYPE) + 16
    later[at] = 2
    with pytest.raises(BoxError, match="version 2"):
        parse_fragment_facts(parse_fragment(bytes(later)), bytes(later))
    with pytest.raises(BoxError, match="last box"):
        parse_fragment_facts(parse_fragment(header), header[:-12] + b"\x55" * 12)


@given(
    st.builds(
        ClosingFacts, st.sampled_from(CloseCause), TIME, U32, U32, U32, U32,
        st.integers(0, 2**64 - 1),
    )
)  # fmt: skip
def test_closing_facts_round_trip(facts: ClosingFacts):
    box = closing_facts_box(facts)
    assert len(box) == CLOSING_FACTS_BYTES == 64
    assert parse_closing_facts(box + b"mfra") == facts


@given(st.integers(0, CLOSING_FACTS_BYTES - 1), st.integers(1, 255))
def test_every_byte_of_closing_facts_is_covered(at: int, flip: int):
    data = bytearray(closing_facts_box(CLOSING))
    data[at] ^= flip
    with pytest.raises(BoxError) as caught:
        parse_closing_facts(bytes(data), 4_000)
    assert caught.value.offset == 4_000
    assert not caught.value.truncated


def test_closing_facts_are_known_by_their_beginning():
    box = closing_facts_box(CLOSING)
    assert all(is_closing_facts(box[:size]) for size in range(1, len(box)))
    assert not is_closing_facts(b"\0\0\0\x20prft")
    for size in range(len(box)):
        with pytest.raises(BoxError) as caught:
            parse_closing_facts(box[:size])
        assert caught.value.truncated


def test_more_lost_packets_than_the_field_holds():
    assert (
        parse_closing_facts(closing_facts_box(CLOSING._replace(lost_packets=2**40))).lost_packets
        == 2**32 - 1
    )

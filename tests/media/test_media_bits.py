from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.media.bits import BitReader, BitsError


def bits_of(text: str) -> BitReader:
    text = text.replace(" ", "")
    return BitReader(
        int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
    )


def test_reads_across_bytes():
    reader = BitReader(bytes.fromhex("a55a0f"))
    assert (reader.u(3), reader.u(10), reader.u(0), reader.u(11)) == (5, 0b0010101011, 0, 0x20F)
    assert reader.left_bits == 0


def test_exp_golomb_table():
    # ITU-T H.264 table 9-2 and 9-3.
    reader = bits_of("1 010 011 00100 00101 00110 00111 0001000")
    assert [reader.ue() for _ in range(8)] == list(range(8))
    reader = bits_of("1 010 011 00100 00101 00110")
    assert [reader.se() for _ in range(6)] == [0, 1, -1, 2, -2, 3]


def test_longest_code():
    assert bits_of("0" * 31 + "1" + "1" * 31).ue() == 2**32 - 2
    with pytest.raises(BitsError):
        BitReader(bytes(64)).ue()


def test_trailing_bits():
    reader = bits_of("101 10000")
    reader.u(3)
    assert reader.at_trailing_bits()
    assert reader.position_bits == 3
    reader = bits_of("101 10001")
    reader.u(3)
    assert not reader.at_trailing_bits()
    assert not BitReader(b"").at_trailing_bits()


@given(st.binary(max_size=24), st.lists(st.sampled_from(["u", "ue", "se", "skip"]), max_size=40))
def test_never_reads_past_the_end(data: bytes, reads: list[str]):
    reader = BitReader(data)
    for read in reads:
        before = reader.position_bits
        try:
            if read == "u":
                reader.u(7)
            elif read == "skip":
                reader.skip(9)
            else:
                getattr(reader, read)()
        except BitsError:
            break
        assert before < reader.position_bits <= len(data) * 8


@given(st.binary(min_size=1, max_size=16), st.data())
def test_agrees_with_the_whole_number(data: bytes, draw: st.DataObject):
    total = len(data) * 8
    first = draw.draw(st.integers(0, total))
    count = draw.draw(st.integers(0, total - first))
    reader = BitReader(data)
    reader.skip(first)
    text = f"{int.from_bytes(data, 'big'):0{total}b}"
    assert reader.u(count) == int(text[first : first + count] or "0", 2)

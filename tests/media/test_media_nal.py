from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.media.nal import (
    MAX_PARAMETER_SET_BYTES,
    ParameterSetError,
    escaped_length,
    single_nal,
    split_annex_b,
    unescape,
)

ZERO_RICH = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 255]), max_size=60).map(bytes)


def escape(rbsp: bytes) -> bytes:
    """An encoder's side of ITU-T H.264 section 7.4.1.1."""
    out = bytearray()
    for byte in rbsp:
        if byte <= 3 and out[-2:] == b"\0\0":
            out.append(3)
        out.append(byte)
    return bytes(out)


@given(ZERO_RICH)
def test_unescape_undoes_an_encoder(rbsp: bytes):
    assert unescape(escape(rbsp)) == rbsp


@given(ZERO_RICH, st.data())
def test_escaped_length_finds_the_place(rbsp: bytes, draw: st.DataObject):
    nal = escape(rbsp)
    plain = draw.draw(st.integers(0, len(rbsp)))
    length = escaped_length(nal, plain)
    assert unescape(nal[:length])[:plain] == rbsp[:plain]
    assert len(unescape(nal[:length])) == plain


def test_split_annex_b():
    assert split_annex_b(b"\0\0\0\1abc\0\0\1de\0\0\0\0\1f\0\0") == [b"abc", b"de", b"f"]
    assert split_annex_b(b"abc\0\0\0\1de") == [b"abc", b"de"]
    assert split_annex_b(b"abc") == [b"abc"]
    assert split_annex_b(b"\0\0\0\1") == []


def test_single_nal():
    assert single_nal(b"\0\0\0\1gabc\0\0\0\1hde", "SPS") == b"gabc"
    assert single_nal(b"gabc\0\0", "SPS") == b"gabc"
    with pytest.raises(ParameterSetError):
        single_nal(b"\0\0\0\1", "SPS")
    with pytest.raises(ParameterSetError):
        single_nal(b"g" * (MAX_PARAMETER_SET_BYTES + 1), "SPS")
    assert len(single_nal(b"g" * MAX_PARAMETER_SET_BYTES, "SPS")) == MAX_PARAMETER_SET_BYTES

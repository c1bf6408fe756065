"""A hypothesis strategy: bytes that a parser knows, spoiled."""

from __future__ import annotations

from hypothesis import strategies as st

MAX_RANDOM_BYTES = 400
_INTERESTING = (
    b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0",
    b"\r\n", b"\r\n\r\n", b'"', b"\\", b":", b";", b",", b"=", b" ", b"$", b"//[", b"]", b"%", b"@",
    "\u00b2".encode(), "\u0660".encode(), b"9" * 30, b"-1", b"0",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with up to eight edits; or, one time in eight, bytes out of nowhere."""
    if not seeds or draw(st.integers(0, 7)) == 0:
        return draw(st.binary(max_size=MAX_RANDOM_BYTES))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 12))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = draw(st.sampled_from(_INTERESTING))
            case 3:
                made = draw(st.sampled_from(_INTERESTING))
                data[at : at + len(made)] = made
            case 4:
                data[at:at] = data[at : at + size] * draw(st.integers(1, 4))
            case _:
                del data[at:]
    return bytes(data)

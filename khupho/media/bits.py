"""A bounded reader of bits, for what codecs pack into their headers."""

from __future__ import annotations

from khupho.errors import Fault, KhuphoError


class BitsError(KhuphoError):
    """The bits ended early, or an Exp-Golomb code is longer than any codec allows."""

    fault = Fault.CAMERA


class BitReader:
    """Reads big-endian bits from a buffer; every read past its end raises `BitsError`.

    Reads take constant time: nothing that a header declares can make one read loop.
    """

    __slots__ = ("_data", "_end_bit", "position_bits")

    def __init__(self, data: bytes, start_byte: int = 0) -> None:
        self._data = data
        self._end_bit = len(data) * 8
        self.position_bits = start_byte * 8

    @property
    def left_bits(self) -> int:
        """Bits not read yet."""
        return self._end_bit - self.position_bits

    def u(self, count: int) -> int:
        """`u(n)`: an unsigned number of `count` bits, most significant first."""
        begin = self.position_bits
        end = begin + count
        if end > self._end_bit:
            raise BitsError(f"wanted {count} bits", where=f"bit {begin} of {self._end_bit}")
        self.position_bits = end
        last = (end + 7) >> 3
        word = int.from_bytes(self._data[begin >> 3 : last], "big")
        return (word >> (last * 8 - end)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """`u(1)` as a truth value."""
        return self.u(1) == 1

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        if self.position_bits + count > self._end_bit:
            raise BitsError(
                f"wanted {count} bits", where=f"bit {self.position_bits} of {self._end_bit}"
            )
        self.position_bits += count

    def ue(self) -> int:
        """`ue(v)`: unsigned Exp-Golomb (ITU-T H.264 section 9.1), at most 2**32 - 2."""
        begin = self.position_bits
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise BitsError("Exp-Golomb code longer than 32 bits", where=f"bit {begin}")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """`se(v)`: signed Exp-Golomb (ITU-T H.264 section 9.1.1)."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def at_trailing_bits(self) -> bool:
        """Whether a stop bit and zeros to the byte's end come next (`rbsp_trailing_bits`)."""
        pad = 8 - self.position_bits % 8
        if pad > self.left_bits:
            return False
        mark = self.position_bits
        found = self.u(pad) == 1 << (pad - 1)
        self.position_bits = mark
        return found

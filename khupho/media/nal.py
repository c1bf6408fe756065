"""NAL units of H.264 and H.265: escaping, Annex B start codes, parameter sets as they arrive."""

from __future__ import annotations

from khupho.errors import Fault, KhuphoError

MAX_PARAMETER_SET_BYTES = 4096
"""Far above any real one (an H.265 SPS with all scaling lists has about 1.5 kB)."""


class ParameterSetError(KhuphoError):
    """A parameter set lacks what no decoder can do without."""

    fault = Fault.CAMERA


def unescape(nal: bytes) -> bytes:
    """The NAL unit without its emulation prevention bytes (ITU-T H.264 section 7.4.1.1)."""
    return nal.replace(b"\0\0\3", b"\0\0")


def escaped_length(nal: bytes, plain_bytes: int) -> int:
    """How many bytes of `nal` its first `plain_bytes` unescaped bytes fill."""
    taken = plain_bytes
    while len(unescape(nal[:taken])) < plain_bytes and taken < len(nal):
        taken += plain_bytes - len(unescape(nal[:taken]))
    return min(taken, len(nal))


def split_annex_b(data: bytes) -> list[bytes]:
    """The NAL units between start codes (ITU-T H.264 annex B); `[data]` where there is none.

    Bytes before the first start code count as a NAL unit too, as some cameras leave the first
    start code out. Zeros before a start code and at the end belong to no NAL unit.
    """
    units = (unit.rstrip(b"\0") for unit in data.split(b"\0\0\1"))
    return [unit for unit in units if unit]


def single_nal(data: bytes, what: str) -> bytes:
    """One NAL unit from what a camera handed over as one: start code and padding taken off.

    Where several stand in one buffer the first is taken. Raises `ParameterSetError` if nothing is
    left or it is too long to be a parameter set.
    """
    units = split_annex_b(data[: MAX_PARAMETER_SET_BYTES + 8])
    if not units:
        raise ParameterSetError(f"the {what} is empty")
    if len(units[0]) > MAX_PARAMETER_SET_BYTES:
        raise ParameterSetError(f"the {what} is longer than {MAX_PARAMETER_SET_BYTES} bytes")
    return units[0]

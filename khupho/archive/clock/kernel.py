"""Whether the machine's date is kept right by somebody: what the kernel says (Linux adjtimex(2))."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache

_STA_UNSYNC = 0x40
_SPARE_LONGS = 32


class _Timex(ctypes.Structure):
    """`struct timex` as far as it is read here; the rest is room for the kernel to fill."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * _SPARE_LONGS),
    )


@cache
def _adjtimex() -> Callable[[object], int] | None:
    """The C library's function; None on systems without it."""
    try:
        library = ctypes.CDLL(ctypes.util.find_library("c") or None)
        function = library.adjtimex
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return lambda timex: int(function(timex))


def kernel_synchronised() -> bool | None:
    """Whether a time service (NTP, PTP, GPS) keeps this machine's date; None where nobody can say.

    Reads only. Setting the date by hand clears the kernel's flag until a time service sets it anew.
    """
    adjtimex = _adjtimex()
    if adjtimex is None:
        return None
    timex = _Timex()
    if adjtimex(ctypes.byref(timex)) < 0:
        return None
    return not timex.status & _STA_UNSYNC

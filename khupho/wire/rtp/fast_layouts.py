"""Runs of fragments of one size, and how `struct` unpacks and packs all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

LONGEST_RUN = 24
_MOST_LAYOUTS = 1024


class Layout(NamedTuple):
    """So many fragments of one size, one after the other."""

    run: Callable[..., tuple[Any, ...]]
    """Of each: frame, length and flags; sequence number; tail (timestamp, source, payload header, FU
    header); data."""
    picture: Callable[..., tuple[Any, ...]]
    """Sequence number, timestamp and data of the first; sequence number and data of each other one. Then of
    the last fragment, which is of another size: frame and length; flags; sequence number."""
    put_run: Callable[..., None]
    """The data of each."""
    put_picture: Callable[..., None]
    """Length and header of the NAL unit, then the data of each."""
    data_bytes: int
    """What `put_picture` writes behind the length."""


LAYOUTS: dict[int, Layout] = {}
"""By data bytes << 8 | count << 2 | header bytes. Shared by all streams,
since most cameras send packets of one of a few sizes."""


def make_layout(header_bytes: int, data_bytes: int, count: int) -> Layout:
    """Make a layout and remember it; `header_bytes` are those of the NAL unit's header."""
    tail_bytes = 9 + header_bytes
    data = f"{data_bytes}s" * count
    if len(LAYOUTS) >= _MOST_LAYOUTS:
        LAYOUTS.clear()
    layout = LAYOUTS[data_bytes << 8 | count << 2 | header_bytes] = Layout(
        Struct(">" + f"6sH{tail_bytes}s{data_bytes}s" * count).unpack_from,
        Struct(
            f">6xHI{tail_bytes - 4}x{data_bytes}s"
            + f"6xH{tail_bytes}x{data_bytes}s" * (count - 1)
            + "IHH"
        ).unpack_from,
        Struct(data).pack_into,
        Struct(f">I{header_bytes}s{data}").pack_into,
        header_bytes + data_bytes * count,
    )
    return layout

"""Which of the quick ways the usual packets of a video track go: the compiled one, where it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from khupho.media.formats import Codec
from khupho.wire.rtp.access_units import AccessUnits
from khupho.wire.rtp.fast_path import FastPath
from khupho.wire.rtp.track import TrackReader


class QuickPath(Protocol):
    """Takes runs of one video track's usual packets; what is anything else is left to the slow path."""

    @property
    def puts_off(self) -> bool:
        """What stands where `take` stopped is a picture whose end is still to come."""

    def take(self, scratch: memoryview, position: int, end: int) -> int:
        """Take what it can of `scratch[position:end]`. Returns where the slow path goes on."""


Maker = Callable[[TrackReader, AccessUnits, Codec, int], QuickPath]
"""Of a track, its access units, its codec and its channel."""

COMPILED: Maker | None
try:
    from khupho.wire.rtp.packet_loop import PacketLoop

    COMPILED = PacketLoop
except ImportError:
    COMPILED = None


def quickest() -> Maker:
    """What this installation has."""
    return COMPILED or FastPath

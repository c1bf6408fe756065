"""A batch taken apart by columns, and its bytes cut to lengths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from khupho.media.formats import TrackFormat
from khupho.media.samples import SampleBatch


class Columns(NamedTuple):
    """Samples by columns, in the order of `Sample`'s fields."""

    pts_90k: tuple[int, ...]
    sizes: tuple[int, ...]
    is_key: tuple[bool, ...]
    lost_packets: tuple[int, ...]
    damaged: tuple[bool, ...]
    formats: tuple[TrackFormat | None, ...]
    discontinuities: tuple[bool, ...]

    def part(self, begin: int, end: int) -> Columns:
        """Some of the samples."""
        return Columns(
            self.pts_90k[begin:end],
            self.sizes[begin:end],
            self.is_key[begin:end],
            self.lost_packets[begin:end],
            self.damaged[begin:end],
            self.formats[begin:end],
            self.discontinuities[begin:end],
        )


def columns_of(batch: SampleBatch) -> Columns:
    """The columns of a batch that isn't empty."""
    return tuple.__new__(Columns, zip(*batch.samples, strict=True))


def copied(batch: SampleBatch) -> SampleBatch:
    """A batch that stays valid."""
    return SampleBatch(
        [memoryview(b"".join(batch.pieces))],
        list(batch.samples),
        batch.next_pts_90k,
        batch.size_bytes,
        batch.next_lost_packets,
    )


class Pieces:
    """The bytes of a batch, handed out from its front."""

    __slots__ = ("_at", "_index", "_pieces", "_whole_bytes")

    def __init__(self, pieces: Sequence[memoryview], size_bytes: int) -> None:
        """`size_bytes` is that of all pieces together."""
        self._pieces = pieces
        self._whole_bytes = size_bytes
        self._index = 0
        self._at = 0
        """Bytes of the piece at `_index` that are gone."""

    def take(self, size_bytes: int) -> Sequence[memoryview]:
        """The next bytes, or as many as there are."""
        pieces, at = self._pieces, self._at
        if size_bytes == self._whole_bytes:
            # Most batches are one fragment.
            return pieces
        taken: list[memoryview] = []
        while size_bytes and self._index < len(pieces):
            piece = pieces[self._index]
            rest = len(piece) - at
            if rest > size_bytes:
                taken.append(piece[at : at + size_bytes])
                at += size_bytes
                break
            if rest:
                taken.append(piece[at:] if at else piece)
            size_bytes -= rest
            self._index += 1
            at = 0
        self._at = at
        return taken

"""The bytes of a batch: kept, or cut to lengths. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from khupho.media.samples import SampleBatch


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

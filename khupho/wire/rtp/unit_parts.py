"""The bytes of a track's samples: parts that lie where they came, joined as late as possible."""

from __future__ import annotations

from khupho.media.samples import Sample, SampleBatch

MAX_UNIT_BYTES = 8 * 1024 * 1024
_MOST_SMALL_PARTS = 1024
"""So many parts are joined to one: a camera that sends bytes one by one shall not cost memory."""
_LARGE_PART_BYTES = 16 * 1024
"""Smaller ones of a batch are joined: a copy costs less than one piece more to hash and write."""

Piece = bytes | memoryview


class UnitParts:
    """Parts of finished samples, and behind them of the access unit in progress.

    Parts may lie in the packets' own buffer until `take_parts`, which copies what is carried over.
    """

    __slots__ = (
        "_gathered", "_settled", "begins_at", "nal_at", "nal_bytes", "nal_header", "parts", "samples",
        "size_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.parts: list[Piece] = []
        self.samples: list[Sample] = []
        """Finished, since the last batch."""
        self.begins_at = 0
        """The first part of the access unit in progress."""
        self.size_bytes = 0
        """Of the access unit in progress."""
        self.nal_at = -1
        """The part that is left empty for length and header of the NAL unit that is open; -1 if none is."""
        self.nal_bytes = 0
        self.nal_header = b""
        self._settled = 0
        self._gathered = 0

    def gather(self) -> None:
        """Join the parts of the access unit that came since the last time, if they are many."""
        parts, begin = self.parts, max(self._gathered, self.begins_at)
        if len(parts) - begin <= _MOST_SMALL_PARTS:
            return
        if self.nal_at >= begin:
            front, back = b"".join(parts[begin : self.nal_at]), b"".join(parts[self.nal_at + 1 :])
            parts[begin:] = [front, b"", back]
            self.nal_at = begin + 1
        else:
            parts[begin:] = [b"".join(parts[begin:])]
        self._gathered = self._settled = len(parts)

    def drop_unit(self) -> None:
        """Forget the access unit in progress, and its memory."""
        del self.parts[self.begins_at :]
        self._settled = min(self._settled, self.begins_at)
        self._gathered = min(self._gathered, self.begins_at)
        self.size_bytes = 0

    def append_written(
        self, scratch: memoryview, begin: int, unit_at: int, nal_at: int, end: int
    ) -> None:
        """The fast path wrote `scratch[begin:end]` behind the parts. The access unit in progress begins
        at `unit_at`, its open NAL unit, without a length yet, at `nal_at`; -1 where that was before."""
        parts = self.parts
        if unit_at >= 0:
            if unit_at > begin:
                parts.append(scratch[begin:unit_at])
            self.begins_at = len(parts)
            begin = unit_at
        if nal_at >= 0:
            if nal_at > begin:
                parts.append(scratch[begin:nal_at])
            self.nal_at = len(parts)
            parts.append(b"")
            begin = nal_at + 4 + len(self.nal_header)
        if end > begin:
            parts.append(scratch[begin:end])

    def take_parts(self, next_pts_90k: int | None, next_lost_packets: int) -> SampleBatch | None:
        """The samples since the last call. What is carried over no longer needs the packets' buffer."""
        parts, begins_at = self.parts, self.begins_at
        batch = None
        if self.samples:
            pieces = _pieces(parts[:begins_at])
            size_bytes = sum(map(len, pieces))
            batch = SampleBatch(pieces, self.samples, next_pts_90k, size_bytes, next_lost_packets)
            self.samples = []
            del parts[:begins_at]
            self.begins_at = 0
            if self.nal_at >= 0:
                self.nal_at -= begins_at
            self._settled = max(0, self._settled - begins_at)
            self._gathered = max(0, self._gathered - begins_at)
        for index in range(self._settled, len(parts)):
            part = parts[index]
            if isinstance(part, memoryview):
                parts[index] = bytes(part)
        self._settled = len(parts)
        return batch


def _pieces(parts: list[Piece]) -> list[memoryview]:
    """Few pieces of many parts."""
    if len(parts) == 1:
        return [memoryview(parts[0])]
    pieces: list[memoryview] = []
    small: list[Piece] = []
    for part in parts:
        if len(part) < _LARGE_PART_BYTES:
            small.append(part)
            continue
        if small:
            pieces.append(memoryview(small[0] if len(small) == 1 else b"".join(small)))
            small = []
        pieces.append(memoryview(part))
    if small:
        pieces.append(memoryview(b"".join(small)))
    return pieces

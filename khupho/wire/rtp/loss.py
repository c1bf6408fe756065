"""What is kept after packets were lost, and before the first key frame (quirks 28 and 46)."""

from __future__ import annotations

from khupho.units import MEDIA_CLOCK_HZ

KEY_PATIENCE_90K = 10 * MEDIA_CLOCK_HZ
"""So long a key frame is waited for; then damaged pictures are better than none. Cameras with smart
codecs send key frames minutes apart."""


class Loss:
    """Decides for each whole access unit whether it is kept. Begins by waiting for a key frame."""

    __slots__ = ("_since_90k", "is_damaged", "is_waiting")

    def __init__(self) -> None:
        self.is_waiting = True
        self.is_damaged = False
        """What is kept lacks a picture that it needs."""
        self._since_90k: int | None = None

    def hole(self, pts_90k: int) -> None:
        """Packets are missing; the last picture had that time."""
        if not self.is_waiting and not self.is_damaged:
            self.is_waiting = True
            self._since_90k = pts_90k

    def keeps(self, pts_90k: int, is_key: bool) -> bool:
        """Whether a whole access unit is kept; `is_damaged` tells then whether it is damaged."""
        if is_key:
            self.is_waiting = self.is_damaged = False
        elif self.is_waiting:
            if self._since_90k is None:
                self._since_90k = pts_90k
            if pts_90k - self._since_90k < KEY_PATIENCE_90K:
                return False
            self.is_waiting = False
            self.is_damaged = True
        return True

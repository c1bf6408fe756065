"""What one reading of a connection brought."""

from __future__ import annotations

from dataclasses import dataclass, field

from khupho.media.samples import SampleBatch


@dataclass(slots=True)
class Feed:
    """Media, reports and replies of one reading, in the order of their arrival within each kind."""

    packets: int = 0
    """Media packets of a known payload type: the sign of life."""
    batches: list[tuple[int, SampleBatch]] = field(default_factory=list)
    """RTP channel and its samples; at most one batch for each channel."""
    control: list[tuple[int, bytes]] = field(default_factory=list)
    """RTP channel and one compound RTCP packet that belongs to it."""
    rtsp: bytes = b""
    """Whole RTSP replies and requests that stood between the frames."""

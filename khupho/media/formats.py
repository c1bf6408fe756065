"""What a track holds: codec, picture size, parameter sets, and the MP4 sample entry of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction


class Codec(Enum):
    """The codecs that cameras send and the archive keeps."""

    H264 = "h264"
    H265 = "h265"
    AAC = "aac"
    PCMU = "pcmu"
    PCMA = "pcma"


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """A video track's format. Two equal formats may share a segment; unequal ones may not."""

    codec: Codec
    parameter_sets: tuple[bytes, ...]
    """NAL units without start code or length: VPS (H.265 only), SPS, PPS, in that order."""
    width_px: int
    height_px: int
    frame_rate: Fraction | None
    """Frames per second as the VUI declares them: shown, never trusted."""
    reorder_frames: int | None
    """Frames by which output may lag decoding: declared by the VUI, or certain from the profile;
    None where it is unknown."""
    rfc6381: str
    """Codec string for browsers (RFC 6381 section 3.3), for example `avc1.640028`."""
    sample_entry: bytes
    """The whole `avc1` or `hvc1` box (ISO/IEC 14496-15 sections 5.4.2 and 8.4.1)."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An audio track's format."""

    codec: Codec
    clock_hz: int
    channels: int
    rfc6381: str
    sample_entry: bytes
    """The whole `mp4a`, `ulaw` or `alaw` box."""


TrackFormat = VideoFormat | AudioFormat

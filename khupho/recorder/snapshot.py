"""What the engine knows of each stream at one moment: plain values, safe to hand to any thread."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from khupho.errors import Fault


class Phase(Enum):
    """Where a source stands."""

    CONNECTING = "connecting"
    """Connecting, signing in, asking for the stream."""
    PLAYING = "playing"
    """Media packets arrive."""
    WAITING = "waiting"
    """The last try failed; the next one comes after a wait."""
    STOPPED = "stopped"
    """Ended on purpose."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a stream does not flow, or flows badly."""

    fault: Fault
    what: str
    where: str
    advice: str
    since_utc_us: int


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One source (main or sub stream) of one camera. Rates are measured over the last seconds."""

    camera: str
    stream: str
    phase: Phase
    since_utc_us: int
    """When the phase began."""
    trouble: Trouble | None
    transport: str
    """`tcp`, `udp` or empty while not connected."""
    codec: str
    """`h264`, `h265` or empty while unknown."""
    width_px: int
    height_px: int
    declared_fps: float | None
    measured_fps: float
    bits_per_s: int
    frames: int
    """Frames received in this connection."""
    lost_packets: int
    """RTP packets lost in this connection."""
    jitter_us: int
    key_interval_us: int | None
    """Time between the last two key frames."""
    drift_us: int | None
    """The camera's clock against ours, by RTCP sender reports; positive: the camera is ahead."""
    drift_ppm: float | None
    last_frame_utc_us: int | None
    """When the newest frame arrived: the proof, and its age."""
    connects: int
    """Connections made since the recorder started."""
    next_try_utc_us: int | None
    audio_note: str
    """Why audio is not recorded although it was asked for; empty if nothing is amiss."""


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """All streams and the archive's disk."""

    taken_utc_us: int
    started_utc_us: int
    streams: tuple[StreamSnapshot, ...]
    alarms: tuple[Trouble, ...]
    """Faults that are nobody's camera: disk, clock, archive."""

"""A stream that flows, and why another one does not."""

from __future__ import annotations

from khupho.errors import Fault
from khupho.recorder.snapshot import Phase, StreamSnapshot, Trouble
from khupho.units import US_PER_HOUR, parse_utc

NOW = parse_utc("2026-11-24T05:00:00Z")

GOOD = StreamSnapshot(
    camera="gate", stream="main", phase=Phase.PLAYING, since_utc_us=NOW - US_PER_HOUR, trouble=None,
    transport="tcp", codec="h264", width_px=1920, height_px=1080, declared_fps=25.0,
    measured_fps=25.0, bits_per_s=2_000_000, frames=90_000, lost_packets=0, jitter_us=500,
    key_interval_us=2_000_000, drift_us=None, drift_ppm=None, last_frame_utc_us=NOW - 500_000,
    connects=1, next_try_utc_us=None, audio_note="",
)  # fmt: skip
GONE = Trouble(Fault.NETWORK, "Nothing answers at that address", "10.0.0.9:554", "", NOW - 90)

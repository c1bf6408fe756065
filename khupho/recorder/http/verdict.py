"""Whether a camera is recorded, in one word, with the proof for it. Unknown is never called well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from khupho.recorder.snapshot import Phase, StreamSnapshot, Trouble
from khupho.units import US_PER_S

NO_FRAME_US = 12 * US_PER_S
"""A stream that plays and brought no frame for so long is not being recorded: longer than the engine's
own patience, so that the engine's reason is there by then."""
START_PATIENCE_US = 20 * US_PER_S
"""A first connection may take so long before it is trouble."""
_LOSSY = 0.01
"""Share of packets lost in a connection from which on it is worth a word."""
_CLOCK_OFF_US = 60 * US_PER_S


class Verdict(Enum):
    """How a camera stands."""

    RECORDING = "recording"
    WEAK = "weak"
    """Recorded, but something is amiss."""
    STARTING = "starting"
    TROUBLE = "trouble"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict with its reason."""

    verdict: Verdict
    since_utc_us: int
    reason: str = ""
    """Of WEAK: one sentence."""
    trouble: Trouble | None = None


def judge(
    streams: Sequence[StreamSnapshot], now_utc_us: int, *, enabled: bool, disk: Trouble | None
) -> Judged:
    """The verdict of a camera from its streams. `disk`: why nothing reaches the disk, if so."""
    if not enabled:
        return Judged(Verdict.OFF, 0)
    main = next((stream for stream in streams if stream.stream == "main"), None)
    if main is None:
        return Judged(Verdict.STARTING, now_utc_us)
    if disk is not None:
        return Judged(Verdict.TROUBLE, disk.since_utc_us, trouble=disk)
    last_us = main.last_frame_utc_us
    flows = main.phase is Phase.PLAYING and main.frames > 0 and last_us is not None
    if not flows or last_us is None or now_utc_us - last_us > NO_FRAME_US:
        return _not_flowing(main, now_utc_us)
    reason = _weakness(main, streams)
    verdict = Verdict.WEAK if reason else Verdict.RECORDING
    return Judged(verdict, main.since_utc_us, reason)


def _not_flowing(main: StreamSnapshot, now_utc_us: int) -> Judged:
    if main.trouble is not None:
        return Judged(Verdict.TROUBLE, main.trouble.since_utc_us, trouble=main.trouble)
    since_us = main.last_frame_utc_us or main.since_utc_us
    if main.phase is not Phase.WAITING and now_utc_us - since_us <= START_PATIENCE_US:
        return Judged(Verdict.STARTING, main.since_utc_us)
    return Judged(Verdict.TROUBLE, since_us)


def _weakness(main: StreamSnapshot, streams: Sequence[StreamSnapshot]) -> str:
    for stream in streams:
        if stream.stream == "sub" and stream.phase is not Phase.PLAYING and stream.trouble:
            return f"the small stream does not come: {stream.trouble.what}"
    # Packets received aren't kept in the snapshot; a frame has at least one.
    if main.lost_packets > _LOSSY * (main.frames + main.lost_packets):
        return "packets of the picture are lost on the way"
    if main.audio_note:
        return f"without sound: {main.audio_note}"
    if main.drift_us is not None and abs(main.drift_us) > _CLOCK_OFF_US:
        return "the camera's own clock is wrong"
    return ""

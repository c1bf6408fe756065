"""Where a segment doesn't follow the one before it: how much time makes a gap, and why there is one."""

from __future__ import annotations

from typing import NamedTuple

from khupho.archive.events import CloseCause
from khupho.units import US_PER_MS, format_utc

SEAM_US = 200 * US_PER_MS
"""Segments that follow each other closer than that are one unbroken run: a camera never comes back
sooner after a break, and the anchors of two segments differ by less."""
GAP_US = 20 * US_PER_MS
"""Missing time as long as that is told, shorter than any picture."""

_CAUSES = {
    CloseCause.RECOVERED: "the recorder was killed or lost power",
    CloseCause.STOPPED: "recording was stopped",
    CloseCause.AGE: "footage is missing between two segments",
    CloseCause.CONNECTION: "the connection to the camera broke",
    CloseCause.FORMAT: "the camera changed its format",
    CloseCause.TIMELINE: "the camera's timestamps jumped",
    CloseCause.CLOCK: "the recorder's clock stepped",
    CloseCause.DISK: "the disk refused a write",
}


class Gap(NamedTuple):
    """Asked-for time without footage."""

    start_utc_us: int
    end_utc_us: int
    cause: str

    def fields(self) -> dict[str, object]:
        return {
            "start": format_utc(self.start_utc_us),
            "end": format_utc(self.end_utc_us),
            "ms": (self.end_utc_us - self.start_utc_us) // US_PER_MS,
            "cause": self.cause,
        }


def cause_text(cause: CloseCause | None) -> str:
    """Why there is no footage after a segment, in plain words; None where it is still written."""
    return _CAUSES[cause] if cause is not None else "not recorded yet"

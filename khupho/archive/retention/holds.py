"""Holds: footage that must not be deleted until it is released. Kept as lines of the journal."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from khupho.errors import Fault, KhuphoError
from khupho.units import format_utc, parse_utc

HOLD_KIND = "hold"
RELEASE_KIND = "release"
MAX_REASON_CHARACTERS = 500


class HoldError(KhuphoError):
    """A hold cannot be placed or released as it was asked for, or its line cannot be read."""

    fault = Fault.USER


@dataclass(frozen=True, slots=True)
class Hold:
    """A camera's footage between two moments that no deletion may touch."""

    id: str
    camera: str
    start_utc_us: int
    end_utc_us: int
    """The first moment that isn't held any more."""
    reason: str
    stream: str = ""
    """Empty: all of the camera's streams."""
    placed_utc_us: int = 0

    def __post_init__(self) -> None:
        if self.end_utc_us <= self.start_utc_us:
            raise HoldError(
                "A hold must end after it begins",
                where=f"{format_utc(self.start_utc_us)} to {format_utc(self.end_utc_us)}",
            )
        if not self.id or not self.camera:
            raise HoldError("A hold needs an id and a camera")
        if not self.reason.strip() or len(self.reason) > MAX_REASON_CHARACTERS:
            raise HoldError(
                f"A hold needs a reason of at most {MAX_REASON_CHARACTERS} characters",
                advice="Say which incident the footage is kept for",
            )

    def to_fields(self) -> dict[str, object]:
        """As it stands in a journal line of kind `hold`; `hold_of_fields` reads it back."""
        return {
            "id": self.id,
            "camera": self.camera,
            "stream": self.stream,
            "start": format_utc(self.start_utc_us),
            "end": format_utc(self.end_utc_us),
            "reason": self.reason,
            "placed": format_utc(self.placed_utc_us),
        }


def hold_of_fields(fields: Mapping[str, object]) -> Hold:
    """The hold of a journal line's fields. Raises `HoldError`."""

    def text(name: str) -> str:
        value = fields.get(name, "")
        if not isinstance(value, str):
            raise HoldError(f"{name} of a hold is no text", fault=Fault.ARCHIVE)
        return value

    try:
        start_utc_us, end_utc_us = parse_utc(text("start")), parse_utc(text("end"))
        placed_utc_us = parse_utc(text("placed")) if text("placed") else 0
    except (ValueError, OverflowError) as error:
        raise HoldError(f"A hold's time cannot be read: {error}", fault=Fault.ARCHIVE) from error
    return Hold(
        text("id"), text("camera"), start_utc_us, end_utc_us, text("reason"), text("stream"),
        placed_utc_us,
    )  # fmt: skip


class HeldRanges:
    """The ranges that holds protect, quick to ask for millions of segments."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        raw: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for hold in holds:
            raw.setdefault((hold.camera, hold.stream), []).append(
                (hold.start_utc_us, hold.end_utc_us)
            )
        self._ranges = {key: _merged(ranges) for key, ranges in raw.items()}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def protects(self, camera: str, stream: str, start_utc_us: int, end_utc_us: int) -> bool:
        """Whether any part of that footage is held. A segment is kept or deleted as a whole."""
        return self._in((camera, ""), start_utc_us, end_utc_us) or self._in(
            (camera, stream), start_utc_us, end_utc_us
        )

    def _in(self, key: tuple[str, str], start_utc_us: int, end_utc_us: int) -> bool:
        found = self._ranges.get(key)
        if found is None:
            return False
        starts, ends = found
        # Merged ranges don't touch, so only the last that begins before the footage ends can reach
        # it. Footage without length is held like a point.
        index = bisect_right(starts, max(end_utc_us - 1, start_utc_us)) - 1
        return index >= 0 and ends[index] > start_utc_us


def _merged(ranges: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends, in order, without overlap."""
    starts: list[int] = []
    ends: list[int] = []
    for start_utc_us, end_utc_us in sorted(ranges):
        if ends and start_utc_us <= ends[-1]:
            ends[-1] = max(ends[-1], end_utc_us)
        else:
            starts.append(start_utc_us)
            ends.append(end_utc_us)
    return starts, ends

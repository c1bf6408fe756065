"""What the journal can say: one struct for each kind of line.

A field whose name ends in `_utc_us` stands in the line without that ending, as RFC 3339 text; all other
fields stand as they are named here. Fields that a newer version adds are passed over; kinds that it adds
are read as `UnknownEntry`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import msgspec

from khupho.archive.clock.trust import ClockFact
from khupho.archive.retention.holds import Hold
from khupho.archive.retention.plan import BrokenGuarantee, Deletion
from khupho.units import format_utc, parse_utc

_TIME = "_utc_us"
NonNegative = Annotated[int, msgspec.Meta(ge=0)]
StreamNo = Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)]


def _name_on_disk(name: str) -> str:
    return name.removesuffix(_TIME)


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="", rename=_name_on_disk
):
    """One line's own fields."""


class Started(Entry, frozen=True, tag="start"):
    """A recorder began to write."""

    recorder: str
    version: str
    pid: int
    boot: str
    last_end: str
    """Value of `LastEnd`: how the one before it ended."""
    key: str = ""
    """Verifier key of the checkpoints from here on (C2SP signed-note)."""


class Ended(Entry, frozen=True, tag="end"):
    """A recorder ended in order."""

    reason: str = "stopped"


class StreamNumber(Entry, frozen=True, tag="stream"):
    """The number of a stream in the proof log, for good."""

    number: StreamNo
    camera: str
    stream: str


class ClockChanged(Entry, frozen=True, tag="clock"):
    """What befell the clock; the line's `utc` is footage time before a leap."""

    event: str
    """Value of `ClockEvent`."""
    machine_utc_us: int
    known_error_us: int
    """Footage time less the machine's date."""
    era: int

    @classmethod
    def of(cls, fact: ClockFact) -> Self:
        return cls(
            event=fact.event.value,
            machine_utc_us=fact.machine_utc_us,
            known_error_us=fact.known_error_us,
            era=fact.era,
        )


class GapSeen(Entry, frozen=True, tag="gap"):
    """Time of a stream without footage, and why."""

    camera: str
    stream: str
    start_utc_us: int
    end_utc_us: int
    cause: str


class HoldPlaced(Entry, frozen=True, tag="hold"):
    """Footage that must not be deleted; the fields of `Hold`."""

    id: str
    camera: str
    start_utc_us: int
    end_utc_us: int
    reason: str
    stream: str = ""
    placed_utc_us: int = 0

    @classmethod
    def of(cls, hold: Hold) -> Self:
        return cls(
            id=hold.id,
            camera=hold.camera,
            start_utc_us=hold.start_utc_us,
            end_utc_us=hold.end_utc_us,
            reason=hold.reason,
            stream=hold.stream,
            placed_utc_us=hold.placed_utc_us,
        )

    def hold(self) -> Hold:
        """Raises `HoldError` where the line says what no hold can."""
        return Hold(
            self.id, self.camera, self.start_utc_us, self.end_utc_us, self.reason, self.stream,
            self.placed_utc_us,
        )  # fmt: skip


class HoldReleased(Entry, frozen=True, tag="release"):
    """The hold of that id ends."""

    id: str
    reason: str = ""


class SegmentDeleted(Entry, frozen=True, tag="deletion"):
    """A segment goes. The line is synced before the file is removed."""

    camera: str
    stream: str
    path: str
    start_utc_us: int
    end_utc_us: int
    size_bytes: NonNegative
    reason: str
    """Value of `retention.plan.Reason`."""
    missing_us: NonNegative = 0
    """By how much it goes before its guarantee ends."""

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        segment = deletion.segment
        return cls(
            camera=segment.camera,
            stream=segment.stream,
            path=segment.relative_path,
            start_utc_us=segment.start_utc_us,
            end_utc_us=segment.end_utc_us,
            size_bytes=segment.size_bytes,
            reason=deletion.reason.value,
            missing_us=deletion.missing_us,
        )


class GuaranteeBroken(Entry, frozen=True, tag="guarantee_broken"):
    """The disk is too small for what was promised for a camera."""

    camera: str
    guaranteed_days: NonNegative
    kept_us: NonNegative
    size_bytes: NonNegative

    @classmethod
    def of(cls, broken: BrokenGuarantee) -> Self:
        return cls(
            camera=broken.camera,
            guaranteed_days=broken.guaranteed_days,
            kept_us=broken.kept_us,
            size_bytes=broken.size_bytes,
        )


class SegmentRecovered(Entry, frozen=True, tag="recovered"):
    """A segment that was open at an unclean end was made good."""

    camera: str
    stream: str
    path: str
    start_utc_us: int
    end_utc_us: int
    fragments: NonNegative
    """Whole ones that it has now."""
    cut_bytes: NonNegative
    """Of its torn end."""


class FootageLost(Entry, frozen=True, tag="lost"):
    """Fragments that have leaves are gone without a deletion: cut, removed by others, unreadable."""

    camera: str
    stream: str
    path: str
    start_utc_us: int
    end_utc_us: int
    fragments: NonNegative
    cause: str


class DiskFault(Entry, frozen=True, tag="disk"):
    """The archive's disk failed, or works again."""

    state: str
    """`failed` or `back`."""
    error: str = ""
    errno: int = 0


class Repaired(Entry, frozen=True, tag="repaired"):
    """A file of the archive itself was damaged and made good."""

    file: str
    cut_bytes: NonNegative
    cause: str


class UnknownEntry(NamedTuple):
    """A kind of a newer version."""

    kind: str
    fields: dict[str, object]
    """As they stand, without `seq`, `utc` and `kind`."""


class BrokenEntry(NamedTuple):
    """A line that cannot be read."""

    error: str


KINDS: dict[str, type[Entry]] = {
    str(one.__struct_config__.tag): one
    for one in (
        Started, Ended, StreamNumber, ClockChanged, GapSeen, HoldPlaced, HoldReleased, SegmentDeleted,
        GuaranteeBroken, SegmentRecovered, FootageLost, DiskFault, Repaired,
    )
}  # fmt: skip
_TIMES: dict[str, tuple[str, ...]] = {
    kind: tuple(_name_on_disk(name) for name in one.__struct_fields__ if name.endswith(_TIME))
    for kind, one in KINDS.items()
}


class Line(NamedTuple):
    """One line of the journal."""

    seq: int
    """1, 2, 3, …; -1 where it cannot be read."""
    utc_us: int
    entry: Entry | UnknownEntry | BrokenEntry
    offset: int
    """Of its first byte in the file."""
    data: bytes
    """Without the line feed: the leaf's entry."""


def encode_line(seq: int, utc_us: int, entry: Entry) -> bytes:
    """The bytes of a line, without its line feed."""
    fields: dict[str, object] = {"seq": seq, "utc": format_utc(utc_us)}
    fields |= msgspec.to_builtins(entry)
    for name in _TIMES[str(fields["kind"])]:
        value = fields[name]
        assert isinstance(value, int)
        fields[name] = format_utc(value)
    return msgspec.json.encode(fields)


def decode_line(data: bytes, offset: int = 0) -> Line:
    """Read a line (without line feed). Never raises: what cannot be read is a `BrokenEntry`."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, object])
        seq, utc, kind = fields.pop("seq"), fields.pop("utc"), fields.pop("kind")
        if not isinstance(seq, int) or not isinstance(utc, str) or not isinstance(kind, str):
            raise ValueError("seq, utc or kind has another type")
        if seq < 1:
            raise ValueError("its number is below 1")
        utc_us = parse_utc(utc)
        entry: Entry | UnknownEntry
        struct = KINDS.get(kind)
        if struct is None:
            entry = UnknownEntry(kind, fields)
        else:
            for name in _TIMES[kind]:
                value = fields.get(name)
                if isinstance(value, str):
                    fields[name] = parse_utc(value)
                elif value is not None:
                    raise ValueError(f"{name} is no time")
            entry = msgspec.convert(fields | {"kind": kind}, struct)
    except KeyError as error:
        return Line(-1, 0, BrokenEntry(f"it has no {error.args[0]}"), offset, data)
    except (ValueError, OverflowError, RecursionError) as error:
        # msgspec.DecodeError is a ValueError too.
        return Line(-1, 0, BrokenEntry(str(error)), offset, data)
    return Line(seq, utc_us, entry, offset, data)

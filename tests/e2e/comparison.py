"""Whether recorded samples are the source's, to the frame and the tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from film import Unit


class Hole(NamedTuple):
    """Units of the source that are missing between two recorded ones."""

    after: int
    """Number of the source's unit before it, in decoding order."""
    count: int


class Shift(NamedTuple):
    """A recorded sample whose time, measured from the first one, isn't the source's."""

    number: int
    """Of the source's unit."""
    by_90k: int


@dataclass(slots=True)
class Comparison:
    """What became of the source in one run of recorded samples."""

    first: int = -1
    """Number of the source's unit that was recorded first; -1 if none was recognised."""
    last: int = -1
    matched: int = 0
    strangers: list[int] = field(default_factory=list)
    """Places in the recording of samples that the source never sent."""
    duplicates: list[int] = field(default_factory=list)
    """Places of samples that were recorded before."""
    disorder: list[int] = field(default_factory=list)
    """Places of samples that the source sent before the sample in front of them."""
    holes: list[Hole] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    wrong_keys: list[int] = field(default_factory=list)
    """Places of samples whose key flag isn't the source's."""

    @property
    def lost(self) -> int:
        """Units missing between the first and the last recorded one."""
        return sum(hole.count for hole in self.holes)

    @property
    def faults(self) -> list[str]:
        """Everything that isn't as it was sent, in words; empty if all is."""
        found = [] if self.matched else ["nothing of the source was recorded"]
        for what, places in (
            ("samples that were never sent", self.strangers),
            ("duplicates", self.duplicates),
            ("samples out of order", self.disorder),
            ("holes", self.holes),
            ("wrong times", self.shifts),
            ("wrong key flags", self.wrong_keys),
        ):
            if places:
                found.append(f"{len(places)} {what}: {places[:5]}")
        return found


def compare(source: Sequence[Unit], recorded: Sequence[Unit], *, slack_90k: int = 1) -> Comparison:
    """Match recorded samples with the source's by digest; both in decoding order.

    `slack_90k` is by how much a recorded time, counted from the first matched sample, may differ from
    the source's: not from frame to frame, so drift shows.
    """
    numbers = {unit.digest: number for number, unit in enumerate(source)}
    result = Comparison()
    seen: set[int] = set()
    matched: list[tuple[int, Unit]] = []
    for place, sample in enumerate(recorded):
        number = numbers.get(sample.digest)
        if number is None:
            result.strangers.append(place)
            continue
        if number in seen:
            result.duplicates.append(place)
            continue
        if matched and number < matched[-1][0]:
            result.disorder.append(place)
        if sample.is_key != source[number].is_key:
            result.wrong_keys.append(place)
        seen.add(number)
        matched.append((number, sample))
    result.matched = len(matched)
    if matched:
        _measure(result, source, matched, slack_90k)
    return result


def _measure(
    result: Comparison, source: Sequence[Unit], matched: list[tuple[int, Unit]], slack_90k: int
) -> None:
    """Holes and times of what was recognised."""
    present = sorted(number for number, _ in matched)
    result.first, result.last = present[0], present[-1]
    result.holes = [Hole(a, b - a - 1) for a, b in pairwise(present) if b > a + 1]
    base = matched[0][1].pts_90k - source[matched[0][0]].pts_90k
    for number, sample in matched:
        by_90k = sample.pts_90k - source[number].pts_90k - base
        if abs(by_90k) > slack_90k:
            result.shifts.append(Shift(number, by_90k))


def best_source(sources: Sequence[Sequence[Unit]], recorded: Sequence[Unit]) -> Sequence[Unit]:
    """The source that the most recorded samples come from."""
    wanted = {sample.digest for sample in recorded}
    return max(sources, key=lambda units: sum(unit.digest in wanted for unit in units))

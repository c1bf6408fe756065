"""What footage to delete, and why: a pure decision. The keeper carries it out.

In order: what is past its camera's maximum goes, whatever is free. If the disk's floor of free space
isn't kept, the footage beyond its guarantee goes, from the camera that has the most beyond. If even the
last reserve is gone, guaranteed footage goes, so that every camera keeps the same share of its promise.
Held footage never goes. See "Retention" in `docs/design/archive.md`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

from khupho.archive.retention.holds import HeldRanges
from khupho.units import US_PER_DAY

LAST_RESERVE_BYTES = 512 << 20
LAST_RESERVE_PERCENT = 1
MAX_DELETIONS = 5_000


class DaysPolicy(NamedTuple):
    """How long a camera's footage is kept."""

    guaranteed_days: int
    maximum_days: int | None
    """None: as long as there is room."""


UNLISTED = DaysPolicy(30, None)
"""For cameras that were taken off the list: their footage goes when the room is needed."""


class Stored(NamedTuple):
    """A closed segment on disk."""

    camera: str
    stream: str
    relative_path: str
    start_utc_us: int
    end_utc_us: int
    size_bytes: int


class Reason(Enum):
    """Why a segment goes; the value stands in the journal."""

    MAXIMUM = "maximum"
    DISK_PRESSURE = "disk pressure"
    GUARANTEE_BROKEN = "guarantee broken"


class Deletion(NamedTuple):
    """One segment to delete."""

    segment: Stored
    reason: Reason
    missing_us: int = 0
    """By how much it goes too early, where a guarantee is broken."""


class BrokenGuarantee(NamedTuple):
    """What a plan takes from one camera's promise."""

    camera: str
    guaranteed_days: int
    kept_us: int
    """Age that footage of this camera reaches now: of the youngest footage that goes."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The archive's disk."""

    total_bytes: int
    free_bytes: int
    free_space_percent: int = 5

    @property
    def floor_bytes(self) -> int:
        """Free space to keep by deleting footage beyond its guarantee."""
        return self.total_bytes * self.free_space_percent // 100

    @property
    def reserve_bytes(self) -> int:
        """Free space without which recording would stop: kept by breaking guarantees.

        Smaller than the floor, so that no promise is broken for mere comfort, nor because another
        program filled the disk for a while.
        """
        one_percent = self.total_bytes * LAST_RESERVE_PERCENT // 100
        return min(self.floor_bytes, max(LAST_RESERVE_BYTES, one_percent))


@dataclass(slots=True)
class RetentionPlan:
    """What to delete, in this order."""

    deletions: list[Deletion] = field(default_factory=list)
    broken: list[BrokenGuarantee] = field(default_factory=list)
    """Cameras whose guarantee the deletions break, by how much."""
    lacking_bytes: int = 0
    """Still missing from the last reserve after all deletions: the rest is held, or not ours."""
    is_whole: bool = True
    """False: so many that the rest is left to the next round."""


@dataclass(slots=True)
class _Queue:
    """One camera's segments, oldest first, without held ones; the iterable is read lazily."""

    camera: str
    policy: DaysPolicy
    rest: Iterator[Stored]
    held: HeldRanges
    head: Stored | None = None

    def advance(self) -> None:
        for segment in self.rest:
            if not self.held.protects(
                segment.camera, segment.stream, segment.start_utc_us, segment.end_utc_us
            ):
                self.head = segment
                return
        self.head = None

    @property
    def guaranteed_us(self) -> int:
        days, maximum = self.policy
        return (days if maximum is None else min(days, maximum)) * US_PER_DAY


def plan(
    segments: Mapping[str, Iterable[Stored]],
    policies: Mapping[str, DaysPolicy],
    held: HeldRanges,
    room: DiskRoom,
    *,
    now_utc_us: int,
    clock_confirmed: bool,
    newest_end_utc_us: int = 0,
    max_deletions: int = MAX_DELETIONS,
) -> RetentionPlan:
    """Decide what to delete.

    `segments` gives each camera's closed segments by ascending end; only as many are read as are
    decided on (and one more). While the clock isn't confirmed nothing goes for its age, and guarantees
    are judged as if it were the newest footage's time (`newest_end_utc_us`), if that is earlier.
    """
    made = RetentionPlan()
    queues = [
        _Queue(camera, policies.get(camera, UNLISTED), iter(rest), held)
        for camera, rest in sorted(segments.items())
    ]
    for queue in queues:
        queue.advance()
    if clock_confirmed:
        for queue in queues:
            _past_maximum(queue, now_utc_us, made, max_deletions)
    freed_bytes = sum(deletion.segment.size_bytes for deletion in made.deletions)
    now_us = now_utc_us
    if not clock_confirmed and newest_end_utc_us:
        now_us = min(now_utc_us, newest_end_utc_us)
    free_bytes = room.free_bytes + freed_bytes
    free_bytes = _beyond_guarantee(
        queues, now_us, room.floor_bytes, free_bytes, made, max_deletions
    )
    free_bytes = _guaranteed(queues, now_us, room.reserve_bytes, free_bytes, made, max_deletions)
    if len(made.deletions) >= max_deletions:
        made.is_whole = False
    else:
        made.lacking_bytes = max(room.reserve_bytes - free_bytes, 0)
    return made


def _past_maximum(queue: _Queue, now_us: int, made: RetentionPlan, max_deletions: int) -> None:
    if queue.policy.maximum_days is None:
        return
    last_us = now_us - queue.policy.maximum_days * US_PER_DAY
    while (head := queue.head) is not None and head.end_utc_us <= last_us:
        if len(made.deletions) >= max_deletions:
            return
        made.deletions.append(Deletion(head, Reason.MAXIMUM))
        queue.advance()


def _beyond_guarantee(
    queues: list[_Queue],
    now_us: int,
    wanted_bytes: int,
    free_bytes: int,
    made: RetentionPlan,
    max_deletions: int,
) -> int:
    """Free `wanted_bytes` from footage past its guarantee; returns what is free then."""
    if free_bytes >= wanted_bytes:
        return free_bytes
    heap: list[tuple[int, int]] = []

    def push(index: int) -> None:
        queue = queues[index]
        if queue.head is not None:
            beyond_us = now_us - queue.head.end_utc_us - queue.guaranteed_us
            if beyond_us >= 0:
                heapq.heappush(heap, (-beyond_us, index))

    for index in range(len(queues)):
        push(index)
    while heap and free_bytes < wanted_bytes and len(made.deletions) < max_deletions:
        _, index = heapq.heappop(heap)
        free_bytes += _take(queues[index], Reason.DISK_PRESSURE, 0, made)
        push(index)
    return free_bytes


def _guaranteed(
    queues: list[_Queue],
    now_us: int,
    wanted_bytes: int,
    free_bytes: int,
    made: RetentionPlan,
    max_deletions: int,
) -> int:
    """Free `wanted_bytes` whatever was promised; returns what is free then."""
    if free_bytes >= wanted_bytes:
        return free_bytes
    heap: list[tuple[Fraction, int]] = []

    def push(index: int) -> None:
        queue = queues[index]
        if queue.head is not None:
            age_us = now_us - queue.head.end_utc_us
            heapq.heappush(heap, (-Fraction(age_us, max(queue.guaranteed_us, 1)), index))

    for index in range(len(queues)):
        push(index)
    broken: dict[int, BrokenGuarantee] = {}
    while heap and free_bytes < wanted_bytes and len(made.deletions) < max_deletions:
        _, index = heapq.heappop(heap)
        queue = queues[index]
        assert queue.head is not None
        kept_us = max(now_us - queue.head.end_utc_us, 0)
        missing_us = queue.guaranteed_us - kept_us
        if missing_us > 0:
            size_bytes = queue.head.size_bytes
            if index in broken:
                size_bytes += broken[index].size_bytes
            days = queue.guaranteed_us // US_PER_DAY
            broken[index] = BrokenGuarantee(queue.camera, days, kept_us, size_bytes)
            free_bytes += _take(queue, Reason.GUARANTEE_BROKEN, missing_us, made)
        else:
            free_bytes += _take(queue, Reason.DISK_PRESSURE, 0, made)
        push(index)
    made.broken = [broken[index] for index in sorted(broken)]
    return free_bytes


def _take(queue: _Queue, reason: Reason, missing_us: int, made: RetentionPlan) -> int:
    """Put the camera's oldest segment into the plan; returns its size."""
    segment = queue.head
    assert segment is not None
    made.deletions.append(Deletion(segment, reason, missing_us))
    queue.advance()
    return segment.size_bytes

"""What crosses from the loop to the keeper: a bounded queue that never makes the loop wait."""

from __future__ import annotations

import contextlib
import os
from collections import deque

from khupho.archive.events import Event, FragmentCommitted, Segment, SegmentOpened

MAX_EVENTS = 200_000
"""80 s of 1,000 cameras; some 150 MB while the keeper hangs in a system call."""


class EventQueue:
    """Called by the writers on the loop's thread, emptied by the keeper's."""

    def __init__(self, limit: int = MAX_EVENTS) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._handles: dict[Segment, int] = {}
        self._dropped: set[Segment] = set()
        self._lost_sight = False
        self._live: set[Segment] = set()

    def __call__(self, event: Event) -> None:
        """Take an event. Where too many wait, fragments are dropped: their segment is read again from
        its file once it is closed. Openings and closings have twice the room; past it the keeper walks
        the directories instead."""
        events = self._events
        kind = type(event)
        if kind is FragmentCommitted:
            if len(events) >= self._limit:
                self._dropped.add(event.segment)
                return
        else:
            if kind is SegmentOpened:
                self._live.add(event.segment)
            else:
                self._live.discard(event.segment)
            if len(events) >= 2 * self._limit:
                self._lost_sight = True
                return
            if kind is SegmentOpened and event.segment.file >= 0:
                # Here and not later, when the writer may have closed it and the number is another file's.
                with contextlib.suppress(OSError):
                    self._handles[event.segment] = os.dup(event.segment.file)
        events.append(event)

    def __len__(self) -> int:
        return len(self._events)

    def take(self, most: int) -> list[Event]:
        """At most so many events, oldest first."""
        events = self._events
        return [events.popleft() for _ in range(min(most, len(events)))]

    def take_handle(self, segment: Segment) -> int:
        """The keeper's own descriptor of a segment that was opened; -1 where it couldn't be had."""
        return self._handles.pop(segment, -1)

    def dropped(self, segment: Segment) -> bool:
        """Whether facts of that segment were dropped."""
        return segment in self._dropped

    def forget(self, segment: Segment) -> None:
        """The segment was read from its file."""
        self._dropped.discard(segment)

    def live(self) -> set[Segment]:
        """Segments that are being written at this moment, whatever was dropped."""
        return self._live.copy()

    def take_lost_sight(self) -> bool:
        """Whether openings or closings were dropped since the last call."""
        lost, self._lost_sight = self._lost_sight, False
        return lost

"""Streams being written, for whoever follows them live: what they are told, and where a stream stands.

Everything that is told was appended before: a follower reads it from the file, which is in the page cache.
"""

from __future__ import annotations

from khupho.archive.events import Event, Listener, Segment, SegmentClosed, SegmentOpened

_Key = tuple[str, str]


class Following:
    """Hands every event to the keeper, and those of a followed stream to its followers too.

    Called where events are told: on the loop's thread or, while the disk is slow, on the spill's.
    """

    def __init__(self, keeper: Listener) -> None:
        self._keeper = keeper
        self._followers: dict[_Key, tuple[Listener, ...]] = {}
        self._being_written: dict[_Key, Segment] = {}

    def __call__(self, event: Event) -> None:
        self._keeper(event)
        kind = type(event)
        if kind is SegmentOpened:
            self._being_written[_key(event.segment)] = event.segment
        elif kind is SegmentClosed:
            key = _key(event.segment)
            if self._being_written.get(key) is event.segment:
                del self._being_written[key]
        if self._followers:
            for follower in self._followers.get(_key(event.segment), ()):
                follower(event)

    def being_written(self, camera: str, stream: str) -> Segment | None:
        """The stream's segment that is open now; None between two, and before the first."""
        return self._being_written.get((camera, stream))

    def follow(self, camera: str, stream: str, follower: Listener) -> None:
        """Tell this one too. It must not block, and must not raise."""
        key = camera, stream
        self._followers[key] = (*self._followers.get(key, ()), follower)

    def leave(self, camera: str, stream: str, follower: Listener) -> None:
        """Tell it nothing more."""
        key = camera, stream
        rest = tuple(one for one in self._followers.get(key, ()) if one != follower)
        if rest:
            self._followers[key] = rest
        else:
            self._followers.pop(key, None)


def _key(segment: Segment) -> _Key:
    return segment.camera, segment.stream

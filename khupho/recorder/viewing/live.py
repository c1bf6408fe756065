"""Live: each fragment that is appended to a watched stream is read back once, and given to its viewers.

What is shown is what is recorded. While somebody watches, the session reads every packet as it comes, so
that a picture becomes a fragment of its own as soon as the next one begins. A viewer who takes too long
loses what waits for him, and goes on at a key frame; nobody else notices.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from khupho.archive.events import Event, FragmentCommitted, Listener, Segment, SegmentOpened
from khupho.media.formats import VideoFormat

MOST_WAITING_BYTES = 4 << 20
MOST_WAITING = 250
"""Fragments; ten seconds of pictures."""
MOST_BEGINNING_BYTES = 16 << 20
"""A group of pictures larger than this isn't sent to who comes in its midst: the next one begins for him."""
MOST_VIEWERS = 1_000

logger = logging.getLogger("khupho.recorder.viewing.live")


class Streams(Protocol):
    """The archive, as far as it is followed: `archive.following.Following`."""

    def being_written(self, camera: str, stream: str) -> Segment | None: ...

    def follow(self, camera: str, stream: str, follower: Listener) -> None: ...

    def leave(self, camera: str, stream: str, follower: Listener) -> None: ...


Watch = Callable[[str, str, bool], None]
"""Camera, stream, and whether somebody watches: then its packets are to be read as they come."""


@dataclass(frozen=True, slots=True)
class SegmentBegins:
    """What follows is of this segment; goes before any of its fragments."""

    codec: str
    """RFC 6381."""
    width: int
    height: int
    start_utc_us: int
    """When its first picture was taken, at presentation time 0 of its track."""
    beginning: bytes
    """`ftyp`, `moov` and the segment facts."""

    @property
    def mime(self) -> str:
        """For `MediaSource.addSourceBuffer`."""
        return f'video/mp4; codecs="{self.codec}"'


@dataclass(frozen=True, slots=True)
class Skipped:
    """The viewer was too slow: pictures are missing before what follows, which is a key frame."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """`prft moof mdat` as it lies in the archive."""

    data: bytes
    is_key: bool


Message = SegmentBegins | Skipped | Fragment


class TooManyViewersError(Exception):
    """No more viewers fit on this recorder."""


class LiveViewer:
    """One who watches one stream. For the loop's thread."""

    def __init__(self, leave: Callable[[LiveViewer], None]) -> None:
        self._leave = leave
        self._messages: deque[Message] = deque()
        self._waiting_bytes = 0
        self._has_some = asyncio.Event()
        self._told: SegmentBegins | None = None
        """The segment of which a fragment was put last."""
        self._needs_key = True
        self._has_skipped = False

    async def next(self, patience_s: float) -> Message | None:
        """What comes next; None if nothing came for so long."""
        if not self._messages:
            self._has_some.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._has_some.wait()
            except TimeoutError:
                return None
        message = self._messages.popleft()
        if isinstance(message, Fragment):
            self._waiting_bytes -= len(message.data)
        return message

    def leave(self) -> None:
        """Watch no longer. May be called again."""
        self._leave(self)

    def put(self, segment: SegmentBegins, fragment: Fragment) -> None:
        """A fragment was recorded."""
        if self._is_full(len(fragment.data)):
            self._messages.clear()
            self._waiting_bytes = 0
            self._told = None
            self._needs_key = self._has_skipped = True
        if self._needs_key and not fragment.is_key:
            return
        if self._has_skipped:
            self._messages.append(Skipped())
        self._needs_key = self._has_skipped = False
        if segment is not self._told:
            self._told = segment
            self._messages.append(segment)
        self._messages.append(fragment)
        self._waiting_bytes += len(fragment.data)
        self._has_some.set()

    def miss(self) -> None:
        """A fragment could not be had."""
        self._needs_key = self._has_skipped = True

    def _is_full(self, more_bytes: int) -> bool:
        waiting = len(self._messages)
        return waiting >= MOST_WAITING or (
            waiting > 0 and self._waiting_bytes + more_bytes > MOST_WAITING_BYTES
        )


class _Channel:
    """One stream that is watched."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.viewers: set[LiveViewer] = set()
        self.segment: SegmentBegins | None = None
        self.of: Segment | None = None
        """Of which segment that is."""
        self.end_offset = 0
        """Up to where fragments of it were handed out."""
        self._loop = loop

    def __call__(self, event: Event) -> None:
        """Told by the archive, on whichever thread wrote; reads back, and hands out on the loop's."""
        if isinstance(event, SegmentOpened):
            begins = _beginning(event.segment)
            self._on_loop(lambda: self._begin(event.segment, begins))
        elif isinstance(event, FragmentCommitted):
            data = _read(event.segment, event.offset, event.size_bytes)
            is_key = event.key_frames > 0
            fragment = Fragment(data, is_key) if data is not None else None
            offset, end = event.offset, event.offset + event.size_bytes
            self._on_loop(lambda: self._hand_out(event.segment, offset, end, fragment))

    def _on_loop(self, action: Callable[[], None]) -> None:
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    def _begin(self, segment: Segment, begins: SegmentBegins | None) -> None:
        self.of, self.segment, self.end_offset = segment, begins, 0

    def _hand_out(self, of: Segment, offset: int, end: int, fragment: Fragment | None) -> None:
        if of is not self.of or offset < self.end_offset or self.segment is None:
            return  # a viewer who came in between has it already
        self.end_offset = end
        for viewer in self.viewers:
            if fragment is None:
                viewer.miss()
            else:
                viewer.put(self.segment, fragment)

    def take_up(self, segment: Segment) -> None:
        """The stream is watched from now on; this is being written."""
        self._begin(segment, _beginning(segment))
        self.end_offset = segment.written_bytes

    def begin_with_group(self, viewer: LiveViewer) -> None:
        """Hand a new viewer the running group of pictures."""
        segment, begins = self.of, self.segment
        if segment is None or begins is None or segment.file < 0:
            return
        offset, end = segment.newest_key_offset, self.end_offset
        if 0 <= offset < end and end - offset <= MOST_BEGINNING_BYTES:
            data = _read(segment, offset, end - offset)
            if data is not None:
                viewer.put(begins, Fragment(data, is_key=True))


class LiveHub:
    """All that is watched. For the loop's thread."""

    def __init__(self, streams: Streams, watch: Watch) -> None:
        self._streams = streams
        self._watch = watch
        self._channels: dict[tuple[str, str], _Channel] = {}
        self.viewers = 0

    def join(self, camera: str, stream: str) -> LiveViewer:
        """Watch a stream, which may be away at the moment. Raises `TooManyViewersError`."""
        if self.viewers >= MOST_VIEWERS:
            raise TooManyViewersError
        key = camera, stream
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(asyncio.get_running_loop())
            self._watch(camera, stream, True)
            # What the session has just read is in the file by now; what comes later is told.
            segment = self._streams.being_written(camera, stream)
            if segment is not None:
                channel.take_up(segment)
            self._streams.follow(camera, stream, channel)
        viewer = LiveViewer(lambda viewer: self._leave(key, viewer))
        channel.viewers.add(viewer)
        self.viewers += 1
        channel.begin_with_group(viewer)
        return viewer

    def _leave(self, key: tuple[str, str], viewer: LiveViewer) -> None:
        channel = self._channels.get(key)
        if channel is None or viewer not in channel.viewers:
            return
        channel.viewers.discard(viewer)
        self.viewers -= 1
        if not channel.viewers:
            del self._channels[key]
            self._streams.leave(*key, channel)
            self._watch(*key, False)


def _beginning(segment: Segment) -> SegmentBegins | None:
    """None for sound, and where it cannot be read."""
    track = segment.format
    if not isinstance(track, VideoFormat):
        return None
    data = _read(segment, 0, segment.head_bytes)
    if data is None:
        return None
    return SegmentBegins(track.rfc6381, track.width_px, track.height_px, segment.start_utc_us, data)


def _read(segment: Segment, offset: int, size_bytes: int) -> bytes | None:
    """Of what was appended; from the page cache, since it was just written."""
    try:
        data = os.pread(segment.file, size_bytes, offset)
    except OSError as error:
        logger.warning("%s cannot be read back: %s", segment.relative_path, error)
        return None
    return data if len(data) == size_bytes else None

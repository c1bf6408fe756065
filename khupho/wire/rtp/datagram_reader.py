"""RTP and RTCP from UDP: packets are put in order within bounds, what doesn't come in time is lost."""

from __future__ import annotations

from collections.abc import Mapping

from khupho.units import US_PER_MS
from khupho.wire.rtp.feed import Feed
from khupho.wire.rtp.interleaved import track_reader
from khupho.wire.rtp.packet import parse_header
from khupho.wire.rtp.reception import Reception
from khupho.wire.rtp.track import TrackReader
from khupho.wire.rtp.track_spec import TrackSpec

MAX_WAITING = 64
"""Packets that came before one that is missing."""
PATIENCE_US = 100 * US_PER_MS
"""So long a missing packet is waited for."""
MAX_CONTROL = 64
"""RTCP packets of one reading; more are a fault or an attack."""


class DatagramReader:
    """Reads the datagrams of one session, already known to come from the camera."""

    def __init__(self, specs: Mapping[int, TrackSpec], rtcp: Mapping[int, int]) -> None:
        """`specs`: indices of RTP sockets and their tracks; `rtcp`: those of RTCP and their RTP ones."""
        self._queues = {index: _Queue(track_reader(spec)) for index, spec in specs.items()}
        self._rtcp = dict(rtcp)
        self._control: list[tuple[int, bytes]] = []

    def put(self, index: int, data: bytes, now_us: int) -> None:
        """Take a datagram that came to socket `index`."""
        queue = self._queues.get(index)
        if queue is not None:
            queue.put(data, now_us)
        elif index in self._rtcp and len(self._control) < MAX_CONTROL:
            self._control.append((self._rtcp[index], data))

    def take(self, now_us: int) -> Feed:
        """What the datagrams since the last call brought."""
        for queue in self._queues.values():
            queue.release(now_us)
        return self._handed(is_over=False)

    def finish(self) -> Feed:
        """What waits, and what is carried and whole. The session is over."""
        for queue in self._queues.values():
            queue.release(None)
        return self._handed(is_over=True)

    def reception(self, channel: int) -> Reception:
        """How an RTP channel was received until now."""
        return self._queues[channel].track.reception()

    def received(self, channel: int) -> int:
        """How many packets of an RTP channel were taken until now."""
        return self._queues[channel].track.sequence.received

    def _handed(self, *, is_over: bool) -> Feed:
        feed = Feed(control=self._control)
        self._control = []
        for index, queue in self._queues.items():
            track = queue.track
            feed.packets += track.packets
            track.packets = 0
            batch = track.finish() if is_over else track.take_batch()
            if batch is not None:
                feed.batches.append((index, batch))
        return feed


class _Queue:
    """Packets of one track that wait for an earlier one."""

    __slots__ = ("_waiting", "track")

    def __init__(self, track: TrackReader) -> None:
        self.track = track
        self._waiting: dict[int, tuple[int, bytes]] = {}
        """By sequence number: when it came, and the packet."""

    def put(self, data: bytes, now_us: int) -> None:
        track = self.track
        view = memoryview(data)
        header = parse_header(view, 0, len(data))
        if header is None or header.payload_type not in track.payload_types:
            return
        following = track.sequence.next
        ahead = 0 if following is None else (header.sequence - following) & 0xFFFF
        is_early = 0 < ahead < 0x8000 and header.ssrc == track.ssrc
        if is_early and ahead <= MAX_WAITING:
            self._waiting.setdefault(header.sequence, (now_us, data))
            return
        if is_early:
            # Too far ahead to wait for what is missing.
            self._make_room(header.sequence, now_us, data)
            return
        track.packet(view, 0, len(data), now_us)
        if self._waiting:
            self._release_ready()

    def _make_room(self, number: int, now_us: int, data: bytes) -> None:
        """Give up holes until this packet is near enough to wait, or is the next one."""
        track = self.track
        while self._waiting:
            ahead = (number - (track.sequence.next or 0)) & 0xFFFF
            if ahead <= MAX_WAITING or ahead >= 0x8000:
                break
            self._pass_hole()
        ahead = (number - (track.sequence.next or 0)) & 0xFFFF
        if 0 < ahead <= MAX_WAITING:
            self._waiting.setdefault(number, (now_us, data))
            return
        track.packet(memoryview(data), 0, len(data), now_us)
        if self._waiting:
            self._release_ready()

    def release(self, now_us: int | None) -> None:
        """Give up missing packets that were waited for too long; with None, all of them.

        Each hole has its own time: one that is given up says nothing of a younger one behind it.
        """
        while self._waiting:
            if now_us is not None:
                oldest_us = min(came_us for came_us, _data in self._waiting.values())
                if now_us - oldest_us < PATIENCE_US:
                    return
            self._pass_hole()

    def _release_ready(self) -> None:
        following = self.track.sequence.next
        while following is not None:
            entry = self._waiting.pop(following & 0xFFFF, None)
            if entry is None:
                return
            self._hand_on(entry)
            following = self.track.sequence.next

    def _pass_hole(self) -> None:
        """Give up the first hole: hand on what waits behind it, up to the next one."""
        following = self.track.sequence.next or 0
        first = min(self._waiting, key=lambda number: (number - following) & 0xFFFF)
        self._hand_on(self._waiting.pop(first))
        self._release_ready()

    def _hand_on(self, entry: tuple[int, bytes]) -> None:
        came_us, data = entry
        self.track.packet(memoryview(data), 0, len(data), came_us)

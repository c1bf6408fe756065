"""RTP and RTCP interleaved in an RTSP connection (RFC 2326 section 10.12), taken apart where it lies.

The caller reads into a scratch buffer that many connections share, behind the bytes that `begin` puts
there: a frame or message that was cut by the end of the last reading.
"""

from __future__ import annotations

from collections.abc import Mapping

from khupho.wire.rtp.audio import AudioReader
from khupho.wire.rtp.feed import Feed
from khupho.wire.rtp.framing import (
    FRAME_BYTES,
    MORE,
    Resync,
    blanks_end,
    may_follow,
    message_end,
)
from khupho.wire.rtp.packet import HEADER_BYTES
from khupho.wire.rtp.quick_path import QuickPath, quickest
from khupho.wire.rtp.reception import Reception
from khupho.wire.rtp.track import TrackReader
from khupho.wire.rtp.track_spec import TrackSpec
from khupho.wire.rtp.video import VideoReader
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.message import MAX_GARBAGE_BYTES, may_begin

_DOLLAR = 0x24
_LONGEST_METHOD = 32
MAX_CONTROL = 4096
"""RTCP packets of one reading; more are an attack on our memory."""


def track_reader(spec: TrackSpec) -> TrackReader:
    """The reader for a track. Raises `KhuphoError` if it is audio without a format."""
    return VideoReader(spec) if spec.kind == "video" else AudioReader(spec)


def _quick_path(
    tracks: Mapping[int, TrackReader], specs: Mapping[int, TrackSpec]
) -> QuickPath | None:
    """That of the first video track, for it has nearly all of the packets."""
    for channel, track in tracks.items():
        if isinstance(track, VideoReader) and not specs[channel].has_decoding_order_numbers:
            return quickest()(track, track.units, specs[channel].codec, channel)
    return None


class InterleavedReader:
    """Reads one connection. `feed` raises `RtspError` where nothing sensible can come any more."""

    __slots__ = (
        "_garbage_bytes", "_in_garbage", "_is_put_off", "_messages", "_quick", "_resync", "_rtcp", "_tail",
        "_tracks", "garbage_total_bytes",
    )  # fmt: skip

    def __init__(self, specs: Mapping[int, TrackSpec], rtcp: Mapping[int, int]) -> None:
        """`specs`: RTP channels and their tracks; `rtcp`: RTCP channels and the RTP ones they report on."""
        self._tracks = {channel: track_reader(spec) for channel, spec in specs.items()}
        self._rtcp = {rtcp: rtp for rtcp, rtp in rtcp.items() if rtcp not in specs}
        self._resync = Resync({c: s.payload_types for c, s in specs.items()}, self._rtcp)
        self._quick = _quick_path(self._tracks, specs)
        self._tail = b""
        self._is_put_off = False
        """The tail is the beginning of a picture, put off until the rest of it is there."""
        self._messages: list[bytes] = []
        self._in_garbage = False
        self._garbage_bytes = 0
        self.garbage_total_bytes = 0
        """Bytes that belonged to nothing, until now (quirk 27)."""

    def begin(self, scratch: memoryview) -> int:
        """Put what was cut at the end of the last reading at the front. Returns where to read to."""
        tail = self._tail
        scratch[: len(tail)] = tail
        return len(tail)

    def feed(self, scratch: memoryview, end: int) -> Feed:
        """Take apart `scratch[:end]`, which begins as `begin` left it."""
        feed = Feed()
        self._take(scratch, end, feed, self._quick)
        return self._handed(feed, is_over=False)

    def finish(self) -> Feed:
        """What is carried and whole. The session is over."""
        feed = Feed()
        if self._is_put_off:
            rest = bytearray(self._tail)
            self._take(memoryview(rest), len(rest), feed, None)
        return self._handed(feed, is_over=True)

    def reception(self, channel: int) -> Reception:
        """How an RTP channel was received until now."""
        return self._tracks[channel].reception()

    def received(self, channel: int) -> int:
        """How many packets of an RTP channel were taken until now."""
        return self._tracks[channel].sequence.received

    def _take(self, scratch: memoryview, end: int, feed: Feed, quick: QuickPath | None) -> None:
        position = 0
        self._is_put_off = False
        while position < end:
            if self._in_garbage:
                following = self._garbage(scratch, position, end)
            else:
                if quick is not None:
                    following = quick.take(scratch, position, end)
                    if following > position:
                        self._garbage_bytes = 0
                        position = following
                    self._is_put_off = quick.puts_off
                    if quick.puts_off or position >= end:
                        break
                following = self._next(scratch, position, end, feed)
            if following == MORE:
                break
            position = following
        self._tail = bytes(scratch[position:end])

    def _handed(self, feed: Feed, *, is_over: bool) -> Feed:
        if self._messages:
            feed.rtsp = b"".join(self._messages)
            self._messages = []
        for channel, track in self._tracks.items():
            feed.packets += track.packets
            track.packets = 0
            batch = track.finish() if is_over else track.take_batch()
            if batch is not None:
                feed.batches.append((channel, batch))
        return feed

    def _next(self, scratch: memoryview, position: int, end: int, feed: Feed) -> int:
        """Take what stands at `position`. Returns where the next begins, or `MORE`."""
        first = scratch[position]
        if first == _DOLLAR:
            return self._frame(scratch, position, end, feed)
        following = blanks_end(scratch, position, end)
        if following > position:
            return following
        if may_begin(bytes(scratch[position : min(end, position + _LONGEST_METHOD)])):
            following = message_end(scratch, position, end)
            if following != MORE:
                self._messages.append(bytes(scratch[position:following]))
            return following
        return self._begin_garbage(position)

    def _frame(self, scratch: memoryview, position: int, end: int, feed: Feed) -> int:
        begin = position + FRAME_BYTES
        if begin >= end:
            return MORE
        channel = scratch[position + 1]
        size_bytes = scratch[position + 2] << 8 | scratch[position + 3]
        following = begin + size_bytes
        track = self._tracks.get(channel)
        is_media = track is not None and size_bytes >= HEADER_BYTES and scratch[begin] >> 6 == 2
        if not is_media and channel not in self._rtcp:
            # A channel of another session, or garbage: what stands behind it tells (quirk 26).
            if following >= end:
                return MORE
            if may_follow(scratch[following]):
                return following
            return self._begin_garbage(position)
        if following > end:
            return MORE
        if track is None:
            if len(feed.control) < MAX_CONTROL:
                feed.control.append((self._rtcp[channel], bytes(scratch[begin:following])))
        else:
            track.packet(scratch, begin, following)
        self._garbage_bytes = 0
        return following

    def _begin_garbage(self, position: int) -> int:
        self._in_garbage = True
        for track in self._tracks.values():
            track.suspect = True
        self._count_garbage(1)
        return position + 1

    def _garbage(self, scratch: memoryview, position: int, end: int) -> int:
        found, is_start = self._resync.next_start(scratch, position, end)
        self._count_garbage(found - position)
        if is_start:
            self._in_garbage = False
        elif found == position:
            return MORE
        return found

    def _count_garbage(self, size_bytes: int) -> None:
        self._garbage_bytes += size_bytes
        self.garbage_total_bytes += size_bytes
        if self._garbage_bytes > MAX_GARBAGE_BYTES:
            raise RtspError(
                "The camera sends bytes that are neither media nor RTSP",
                where=f"{self._garbage_bytes} bytes",
                advice="It is opened again by itself; if it stays so, restart the camera",
            )

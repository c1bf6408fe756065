"""One connection that plays: its socket, its reader, its writers, its timers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

from khupho.archive.events import Arrival, CloseCause
from khupho.clock import Clock
from khupho.errors import Fault, KhuphoError
from khupho.media.samples import SampleBatch
from khupho.recorder.connect import ConnectError, explain
from khupho.recorder.handshake import Connection, leave, shake_hands
from khupho.recorder.measure import SessionMeasures
from khupho.recorder.source import SourceConfig, unexpected
from khupho.recorder.watchdog import Watchdog
from khupho.units import US_PER_MS, US_PER_S
from khupho.wire.rtp.datagram_reader import DatagramReader
from khupho.wire.rtp.feed import Feed
from khupho.wire.rtp.interleaved import InterleavedReader
from khupho.wire.rtp.reception import Reception
from khupho.wire.rtp.reports import TrackReports
from khupho.wire.rtp.track_spec import TrackSpec
from khupho.wire.rtsp.client import RtspClient
from khupho.wire.rtsp.sdp import SessionDescription
from khupho.wire.rtsp.track_setup import SetUpTrack

SCRATCH_BYTES = 4 * 1024 * 1024
QUIET_US = 750 * US_PER_MS
"""A socket that wasn't read for so long is read by the sweep, which comes up to 100 ms later."""
REPORT_INTERVAL_US = 5 * US_PER_S
"""Some cameras end a session without a receiver report every few seconds (quirk 24)."""
_GATHERED_MS = 1_500
"""So much of a stream at its usual rate wakes the loop. The sweep comes before, but for a burst."""
_LEAST_MARK_BYTES = 2 * 1024
_MOST_MARK_BYTES = 1024 * 1024
_MOST_UNSENT_BYTES = 64 * 1024
_MOST_LAST_READS = 16
"""A camera that sends quicker than it is read must not keep its session from ending."""
_FIRST_TICK_US = US_PER_S
_TICK_US = 2 * US_PER_S
"""Between two looks at the watchdog, the timers and the rates; shorter until there is a rate."""


class Writer(Protocol):
    """Where a track's samples go: `archive.segments.stream_writer.StreamWriter`, or a probe's counter."""

    def write(self, batch: SampleBatch, arrival: Arrival) -> None: ...

    def close(self, cause: CloseCause, now: Arrival) -> None: ...


WriterOf = Callable[[str, str], Writer]
"""Camera and stream to their writer. The stream is `main`, `sub` or `audio`."""


class SessionOpener:
    """Opens sessions for the engine; remembers which transport a silent camera had last."""

    def __init__(self, clock: Clock, arrival: Callable[[], Arrival], writer_of: WriterOf) -> None:
        self._clock = clock
        self._arrival = arrival
        self._writer_of = writer_of
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._next_over_udp: dict[tuple[str, str], bool] = {}

    async def __call__(self, config: SourceConfig) -> Session:
        """A session that plays. Raises `KhuphoError`."""
        over_udp = config.transport == "udp" or (
            config.transport == "auto" and self._next_over_udp.get(config.key, False)
        )
        connection = await shake_hands(config, self._clock, over_udp=over_udp)
        session = Session(
            config, connection, self._clock, self._arrival, self._writer_of, self._scratch
        )
        session.ended.add_done_callback(lambda _ended: self._remember(session))
        session.start()
        return session

    def _remember(self, session: Session) -> None:
        """A camera that took a transport and sent nothing is asked for the other one next."""
        key = session.config.key
        over_udp = session.measures.transport == "udp"
        self._next_over_udp[key] = over_udp if session.media_packets else not over_udp


class Session:
    """A connection that plays. The engine sweeps it; it ends by setting `ended`."""

    __slots__ = (
        "_arrival", "_client", "_clock", "_datagram_reader", "_datagrams", "_has_failed", "_mark_bytes",
        "_read", "_read_us", "_reader", "_report_us", "_reports", "_scratch", "_sock", "_tick_us",
        "_tracks", "_unsent", "_video_channel", "_watchdog", "_writers", "config", "ended", "live",
        "measures", "media_packets",
    )  # fmt: skip

    def __init__(
        self,
        config: SourceConfig,
        connection: Connection,
        clock: Clock,
        arrival: Callable[[], Arrival],
        writer_of: WriterOf,
        scratch: memoryview,
    ) -> None:
        self.config = config
        self.ended: asyncio.Future[KhuphoError] = asyncio.get_running_loop().create_future()
        self.measures = SessionMeasures(
            transport=connection.transport, audio_note=connection.client.audio_note
        )
        self.media_packets = 0
        self.live = False
        """Somebody watches: every packet is handed on as it comes."""
        self._clock = clock
        self._arrival = arrival
        self._scratch = scratch
        self._sock: socket.socket = connection.sock
        self._client: RtspClient = connection.client
        self._datagrams = connection.datagrams
        self._read = self._read_media if self._datagrams is None else self._read_control
        tracks = connection.client.tracks
        specs = {track.rtp_channel: _spec(track) for track in tracks}
        rtcp = {track.rtcp_channel: track.rtp_channel for track in tracks}
        self._reader = InterleavedReader(specs, rtcp)
        self._datagram_reader = DatagramReader(specs, rtcp) if self._datagrams else None
        self._reports = {track.rtp_channel: TrackReports(track.media.clock_hz) for track in tracks}
        self._tracks = tracks
        self._video_channel = tracks[0].rtp_channel
        self._writers: dict[int, Writer] = {
            track.rtp_channel: writer_of(
                config.camera, config.stream if track.kind == "video" else "audio"
            )
            for track in tracks
        }
        now_us = clock.mono_us()
        self._read_us = now_us
        self._watchdog = Watchdog(str(connection.client.url), now_us)
        self._tick_us = now_us + _FIRST_TICK_US
        self._report_us = now_us + REPORT_INTERVAL_US
        self._mark_bytes = 1
        self._unsent = bytearray()
        self._has_failed = False

    @property
    def server(self) -> str:
        """What the camera calls itself; may be empty."""
        return self._client.server

    @property
    def sign_in(self) -> str:
        """How it asked for the password; empty if it didn't."""
        return self._client.sign_in

    @property
    def description(self) -> SessionDescription | None:
        """What it says that it can send."""
        return self._client.description

    def reception(self) -> Reception:
        """How the picture was received until now."""
        return (self._datagram_reader or self._reader).reception(self._video_channel)

    def start(self) -> None:
        """Begin to read. What came behind the answer to PLAY is taken first."""
        loop = asyncio.get_running_loop()
        rest = self._client.rest()
        if self._datagrams is None and rest:
            self._take(lambda: self._feed_rest(rest))
        loop.add_reader(self._sock.fileno(), self._readable)
        if self._datagrams is not None:
            for index, sock in enumerate(self._datagrams.sockets):
                loop.add_reader(sock.fileno(), self._datagrams_readable, index)

    # Reading

    def _readable(self) -> None:
        self._read_us = self._clock.mono_us()
        self._take(self._read)

    def _take(self, read: Callable[[], None]) -> None:
        """Run one reading; what ends the session is kept as its end."""
        if self.ended.done():
            return
        try:
            read()
        except (BlockingIOError, InterruptedError):
            return
        except KhuphoError as error:
            self._end(error)
        except OSError as error:
            self._end(explain(error, self._client.url.authority))
        except Exception as error:  # noqa: BLE001 - one camera's bug must disturb no other
            self._has_failed = True
            self._end(unexpected(error, self.config))

    def _read_media(self) -> None:
        scratch = self._scratch
        start = self._reader.begin(scratch)
        received = self._sock.recv_into(scratch[start:])
        if not received:
            raise _closed(self._client)
        self._taken(self._reader.feed(scratch, start + received))

    def _feed_rest(self, rest: bytes) -> None:
        start = self._reader.begin(self._scratch)
        end = start + len(rest)
        self._scratch[start:end] = rest
        self._taken(self._reader.feed(self._scratch, end))

    def _read_control(self) -> None:
        received = self._sock.recv(64 * 1024)
        if not received:
            raise _closed(self._client)
        self._client.receive(received, self._clock.mono_us())
        self._send(self._client.data_to_send())

    def _datagrams_readable(self, index: int) -> None:
        datagrams, reader = self._datagrams, self._datagram_reader
        if datagrams is None or reader is None:
            return

        def read() -> None:
            now_us = self._clock.mono_us()
            datagrams.receive(index, lambda channel, data: reader.put(channel, data, now_us))
            self._taken(reader.take(now_us))

        self._take(read)

    def _taken(self, feed: Feed) -> None:
        """Hand on what one reading brought."""
        arrival = self._arrival()
        if feed.packets:
            self.media_packets += feed.packets
            self._watchdog.media(arrival.mono_us)
        for channel, batch in feed.batches:
            if channel == self._video_channel:
                self.measures.take(batch, arrival.utc_us)
                self._watchdog.picture(arrival.mono_us)
            self._writers[channel].write(batch, arrival)
        if feed.control:
            self._take_control(feed, arrival)
        if feed.rtsp:
            self._client.receive(feed.rtsp, self._clock.mono_us())
            self._send(self._client.data_to_send())

    def _take_control(self, feed: Feed, arrival: Arrival) -> None:
        for channel, packet in feed.control:
            reports = self._reports.get(channel)
            if reports is not None:
                reports.received(packet, arrival.utc_us, arrival.mono_us)
        video = self._reports[self._video_channel]
        self.measures.drift_us = video.drift_us
        self.measures.drift_ppm = video.drift_ppm

    def watch(self, is_watched: bool) -> None:
        """While somebody watches, packets are read as they come; what has come is read at once."""
        self.live = is_watched
        if self.ended.done():
            return
        self._set_mark()
        if is_watched:
            self._readable()

    # Timers

    def sweep(self, mono_us: int) -> int:
        """Read if the socket stayed quiet, and do whatever is due. Returns when it must come again."""
        if mono_us - self._read_us >= QUIET_US:
            self._readable()
        if mono_us >= self._tick_us:
            self._tick(mono_us)
        return self._read_us + QUIET_US

    def _tick(self, mono_us: int) -> None:
        if self.ended.done():
            return
        measures = self.measures
        measures.tick(mono_us)
        self._tick_us = mono_us + (_TICK_US if measures.bits_per_s else _FIRST_TICK_US)
        self._take(lambda: self._run_timers(mono_us))
        self._set_mark()

    def _run_timers(self, mono_us: int) -> None:
        client, reader = self._client, self._datagram_reader or self._reader
        received = reader.received(self._video_channel)
        self._watchdog.look(received, mono_us, forgotten=client.forgotten)
        if self._datagram_reader is not None:
            self._taken(self._datagram_reader.take(mono_us))
        if mono_us >= client.next_timer_us():
            client.on_timer(mono_us)
        self._send(client.data_to_send())
        if mono_us >= self._report_us:
            self._report_us = mono_us + REPORT_INTERVAL_US
            self._report(mono_us)

    def _report(self, mono_us: int) -> None:
        reader = self._datagram_reader or self._reader
        for track in self._tracks:
            reports = self._reports[track.rtp_channel]
            reception = reader.reception(track.rtp_channel)
            packet = reports.make(reception, mono_us)
            if packet is None:
                continue
            if track.rtp_channel == self._video_channel:
                self.measures.jitter_us = reception.jitter_us
            if self._datagrams is None:
                frame = b"$" + bytes((track.rtcp_channel,)) + len(packet).to_bytes(2, "big")
                self._send(frame + packet)
            elif track.reply.server_ports is not None:
                self._datagrams.send(track.rtcp_channel, packet, track.reply.server_ports[1])

    def _set_mark(self) -> None:
        """Let the kernel gather most of a second, or nothing while somebody watches."""
        wanted = 1
        if self._datagrams is None and not self.live and self.measures.bits_per_s:
            gathered_bytes = self.measures.bits_per_s // 8 * _GATHERED_MS // 1000
            wanted = max(_LEAST_MARK_BYTES, min(_MOST_MARK_BYTES, gathered_bytes))
        if abs(wanted - self._mark_bytes) * 8 > self._mark_bytes:
            self._mark(wanted)

    def _mark(self, size_bytes: int) -> None:
        """The kernel wakes the loop once so much has come."""
        self._mark_bytes = size_bytes
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size_bytes)

    # Sending and ending

    def _send(self, data: bytes) -> None:
        """Send what may be sent without waiting; the rest goes with the next tick."""
        if len(self._unsent) + len(data) <= _MOST_UNSENT_BYTES:
            self._unsent += data
        if self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            del self._unsent[:sent]

    def _end(self, error: KhuphoError) -> None:
        if not self.ended.done():
            self._stop_reading()
            self.ended.set_result(error)

    def _stop_reading(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock.fileno())
        if self._datagrams is not None:
            for sock in self._datagrams.sockets:
                loop.remove_reader(sock.fileno())

    async def close(self) -> None:
        """End the session: its footage is closed at once, then the camera gets its TEARDOWN."""
        stopped = not self.ended.done()
        if stopped:
            self._end(ConnectError("Stopped", fault=Fault.USER))
        self._finish_reading(stopped=stopped)
        cause = CloseCause.STOPPED if stopped else CloseCause.CONNECTION
        now = self._arrival()
        for writer in self._writers.values():
            writer.close(cause, now)
        try:
            self._mark(1)  # or the answer to TEARDOWN would wait for media
            await leave(self._sock, self._client, self._clock)
        finally:
            self._sock.close()
            if self._datagrams is not None:
                self._datagrams.close()

    def _finish_reading(self, *, stopped: bool) -> None:
        """Hand on what the kernel has gathered, and the access unit that is whole but was carried over,
        waiting for the next one. After a bug of ours nobody knows what is half done in the reader."""
        if self._has_failed:
            return
        try:
            if stopped and self._datagrams is None:
                for _ in range(_MOST_LAST_READS):
                    self._read_media()
        except (BlockingIOError, InterruptedError):
            pass  # nothing is left there
        except (KhuphoError, OSError):
            pass  # it ended by itself at the same moment
        try:
            self._taken((self._datagram_reader or self._reader).finish())
        except KhuphoError:
            return  # what ended the session stands in the carried bytes too
        except Exception as error:  # noqa: BLE001 - the writers must be closed whatever happens
            unexpected(error, self.config)


def _spec(track: SetUpTrack) -> TrackSpec:
    return TrackSpec.of(track.kind, track.media, track.reply.ssrc)


def _closed(client: RtspClient) -> ConnectError:
    return ConnectError(
        "The camera closed the connection",
        where=client.url.authority,
        advice="It may have restarted; it is called again by itself",
        fault=Fault.CAMERA,
    )

"""A relay between recorder and cameras that spoils what passes: loss, delay, jitter, disorder, doubles,
stalls, resets and half-open connections, over TCP and UDP; and it remembers exactly what it dropped.

It stands where a camera's address is expected, and rewrites the Transport headers of SETUP so that datagrams
pass through it too. Media that goes over the RTSP connection is taken apart into interleaved frames (RFC
2326 section 10.12), so that whole packets can be lost there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

Value = TypeVar("Value")
_PATIENCE_S = 10.0
_MAX_WAITING = 10_000
_CLIENT_PORTS = re.compile(rb"client_port=(\d+)-(\d+)")
_SERVER_PORTS = re.compile(rb"server_port=(\d+)-(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)


@dataclass
class Rules:
    """What happens to media packets that pass from camera to recorder."""

    drop: float = 0.0
    drop_next: int = 0
    double: float = 0.0
    swap: float = 0.0
    """UDP: hold a packet back behind the next one."""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more, anew for each packet; over UDP this brings them out of order."""


@dataclass
class Dropped:
    """By SSRC: sequence numbers that did not pass, unwrapped from the first one seen."""

    numbers: dict[int, list[int]] = field(default_factory=dict)
    _last: dict[int, int] = field(default_factory=dict)

    def unwrap(self, packet: bytes) -> tuple[int, int]:
        """SSRC and unwrapped sequence number of an RTP packet."""
        sequence, ssrc = struct.unpack_from(">H4xI", packet, 2)
        last = self._last.get(ssrc)
        if last is None:
            number = sequence
        else:
            number = last + ((sequence - last + 0x8000) & 0xFFFF) - 0x8000
        self._last[ssrc] = max(number, last if last is not None else number)
        return ssrc, number

    def note(self, ssrc: int, number: int) -> None:
        """That one is lost."""
        self.numbers.setdefault(ssrc, []).append(number)


class Relay:
    """Listens for one target. For its loop's thread alone."""

    def __init__(self, target: tuple[str, int], seed: int = 0) -> None:
        self.rules = Rules()
        self.dropped = Dropped()
        self.passed = 0
        self.port = 0
        self.is_stalled = False
        """Nothing passes, in either direction; nothing is lost over TCP, everything over UDP."""
        self.is_half_open = False
        """As stalled, and no end of a connection is told to the other side."""
        self._target = target
        self._rng = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._flows: set[_Flow] = set()

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        for flow in list(self._flows):
            flow.abort()

    def reset(self) -> int:
        """End all connections with RST, both ways; how many."""
        count = len(self._flows)
        for flow in list(self._flows):
            flow.abort()
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        flow = _Flow(self, (reader, writer), there)
        self._flows.add(flow)
        try:
            await flow.run()
        finally:
            self._flows.discard(flow)
            flow.close()

    def fates(self, packet: bytes) -> list[float]:
        """When the copies of a media packet are to pass, in seconds from now; none for a lost one."""
        rules, rng = self.rules, self._rng
        ssrc, number = self.dropped.unwrap(packet)
        if rules.drop_next > 0 or rng.random() < rules.drop:
            rules.drop_next = max(rules.drop_next - 1, 0)
            self.dropped.note(ssrc, number)
            return []
        self.passed += 1
        delay_s = rules.delay_s + rng.random() * rules.jitter_s
        return [delay_s] * (2 if rng.random() < rules.double else 1)

    def swaps(self) -> bool:
        """Whether the next datagram is held back behind the one after it."""
        return self._rng.random() < self.rules.swap

    async def open_gate(self) -> None:
        """Wait while nothing may pass."""
        while self.is_stalled or self.is_half_open:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.02)

    def lose(self, packet: bytes) -> None:
        """A datagram that met a closed gate."""
        self.dropped.note(*self.dropped.unwrap(packet))


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Flow:
    """One RTSP connection, and the datagrams that it set up."""

    def __init__(self, relay: Relay, recorder: Ends, camera: Ends) -> None:
        self._relay = relay
        self._recorder = recorder
        self._camera = camera
        self._pairs: list[_Pair] = []

    async def run(self) -> None:
        """Until either side ends."""
        up = asyncio.create_task(self._upwards())
        down = asyncio.create_task(self._downwards())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            await self._relay.open_gate()
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _upwards(self) -> None:
        """From the recorder to the camera."""
        reader, writer = self._recorder[0], self._camera[1]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                part = await _next_part(reader)
                await self._relay.open_gate()
                if part[:1] != b"$":
                    found = _CLIENT_PORTS.search(part)
                    if found:
                        pair = await _Pair.open(self._relay, (int(found[1]), int(found[2])))
                        self._pairs.append(pair)
                        ours = b"client_port=%d-%d" % pair.camera_side_ports
                        part = part[: found.start()] + ours + part[found.end() :]
                writer.write(part)
                await writer.drain()

    async def _downwards(self) -> None:
        """From the camera to the recorder: one task reads, so that what is delayed delays no reading."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_WAITING)
        sender = asyncio.create_task(self._send_when_due(waiting))
        loop = asyncio.get_running_loop()
        due_s = 0.0
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    part = await _next_part(self._camera[0])
                    if part[:1] == b"$" and part[1] % 2 == 0:
                        copies = self._relay.fates(part[4:])
                        if not copies:
                            continue
                        # A connection keeps its order: what is delayed delays what follows.
                        due_s = max(due_s, loop.time() + copies[0])
                        part = part * len(copies)
                    elif part[:1] != b"$":
                        part = self._rewrite_reply(part)
                    await waiting.put((due_s, part))
        finally:
            while not waiting.empty() and not sender.done():  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
            sender.cancel()

    async def _send_when_due(self, waiting: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        writer = self._recorder[1]
        with contextlib.suppress(ConnectionError):
            while True:
                due_s, part = await waiting.get()
                if due_s > loop.time() + 0.001:
                    await asyncio.sleep(due_s - loop.time())
                await self._relay.open_gate()
                writer.write(part)
                await writer.drain()

    def _rewrite_reply(self, part: bytes) -> bytes:
        found = _SERVER_PORTS.search(part)
        if not found or not self._pairs:
            return part
        pair = self._pairs[-1]
        pair.camera_ports = (int(found[1]), int(found[2]))
        ours = b"server_port=%d-%d" % pair.recorder_side_ports
        return part[: found.start()] + ours + part[found.end() :]

    def abort(self) -> None:
        """RST to both sides."""
        for _reader, writer in (self._recorder, self._camera):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        """Give everything back."""
        for _reader, writer in (self._recorder, self._camera):
            writer.close()
        for pair in self._pairs:
            pair.close()


async def _next_part(reader: asyncio.StreamReader) -> bytes:
    """One interleaved frame, or one RTSP message with its body."""
    first = await reader.readexactly(1)
    if first == b"$":
        head = await reader.readexactly(3)
        size = int.from_bytes(head[1:], "big")
        return first + head + await reader.readexactly(size)
    message = first + await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(message)
    return message + (await reader.readexactly(int(length[1])) if length else b"")


class _Pair:
    """RTP and RTCP datagrams of one track: two ports towards the camera, two towards the recorder."""

    def __init__(self, relay: Relay, recorder_ports: tuple[int, int]) -> None:
        self._relay = relay
        self.recorder_ports = recorder_ports
        self.camera_ports = (0, 0)
        self.camera_side: list[asyncio.DatagramTransport] = []
        self.recorder_side: list[asyncio.DatagramTransport] = []
        self.camera_side_ports = self.recorder_side_ports = (0, 0)
        self._held: bytes | None = None

    @classmethod
    async def open(cls, relay: Relay, recorder_ports: tuple[int, int]) -> _Pair:
        pair = cls(relay, recorder_ports)
        pair.camera_side, pair.camera_side_ports = await _open_pair(pair.from_camera)
        pair.recorder_side, pair.recorder_side_ports = await _open_pair(pair.from_recorder)
        return pair

    def from_camera(self, index: int, data: bytes) -> None:
        """Camera to recorder."""
        relay = self._relay
        if index == 1 or len(data) < 12:
            if not (relay.is_stalled or relay.is_half_open):
                self._send(index, data)
            return
        if relay.is_stalled or relay.is_half_open:
            relay.lose(data)
            return
        loop = asyncio.get_running_loop()
        copies = relay.fates(data)
        if copies and self._held is None and relay.swaps():
            self._held = data
            return
        for delay_s in copies:
            if delay_s > 0:
                loop.call_later(delay_s, self._send, 0, data)
            else:
                self._send(0, data)
        held, self._held = self._held, None
        if held is not None:
            self._send(0, held)

    def _send(self, index: int, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.recorder_side[index].sendto(data, ("127.0.0.1", self.recorder_ports[index]))

    def from_recorder(self, index: int, data: bytes) -> None:
        """Recorder to camera: receiver reports, and what opens a path through NAT."""
        if self.camera_ports[index] and not (self._relay.is_stalled or self._relay.is_half_open):
            with contextlib.suppress(OSError):
                self.camera_side[index].sendto(data, ("127.0.0.1", self.camera_ports[index]))

    def close(self) -> None:
        for transport in (*self.camera_side, *self.recorder_side):
            transport.close()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, index: int, take: Callable[[int, bytes], None]) -> None:
        self._index = index
        self._take = take

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._take(self._index, data)


async def _open_pair(
    take: Callable[[int, bytes], None],
) -> tuple[list[asyncio.DatagramTransport], tuple[int, int]]:
    """Two datagram sockets on an even port and the next one."""
    loop = asyncio.get_running_loop()
    for _ in range(100):
        first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port % 2:
                raise OSError("an odd port")
            second.bind(("127.0.0.1", port + 1))
        except OSError:
            first.close()
            second.close()
            continue
        made = []
        for index, sock in enumerate((first, second)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.setblocking(False)
            transport, _protocol = await loop.create_datagram_endpoint(
                lambda index=index: _Receiver(index, take), sock=sock
            )
            made.append(transport)
        return made, (port, port + 1)
    raise OSError("no free pair of UDP ports")


class RelayThread:
    """A running relay. Its own methods are called through `call`."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
        self.relay = relay
        self._loop = loop

    def call(self, function: Callable[[Relay], Value]) -> Value:
        """The result of `function(relay)`, run in the relay's thread."""

        async def run() -> Value:
            return function(self.relay)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE_S)

    def rules(self, **rules: float) -> None:
        """Have these rules, and no others, from now on."""
        self.call(lambda relay: setattr(relay, "rules", Rules(**rules)))

    def dropped(self) -> dict[int, list[int]]:
        """By SSRC, what was dropped so far."""
        return self.call(lambda relay: {k: list(v) for k, v in relay.dropped.numbers.items()})

    def url(self, city_url: str) -> str:
        """A camera's address through this relay."""
        return re.sub(r"//[^/]+/", f"//127.0.0.1:{self.relay.port}/", city_url)


@contextmanager
def running_relay(target: tuple[str, int], seed: int = 0) -> Iterator[RelayThread]:
    """A relay in a thread of its own."""
    loop = asyncio.new_event_loop()
    relay = Relay(target, seed)
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(relay.start(), loop).result(_PATIENCE_S)
        yield RelayThread(relay, loop)
        asyncio.run_coroutine_threadsafe(relay.stop(), loop).result(_PATIENCE_S)
        asyncio.run_coroutine_threadsafe(_settle(), loop).result(_PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()


async def _settle() -> None:
    """Let tasks that were ended finish."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

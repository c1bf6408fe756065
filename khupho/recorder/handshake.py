"""From a camera's address to the answer to PLAY: drives `wire.rtsp.client` over a TCP connection."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

from khupho.clock import Clock
from khupho.errors import Fault
from khupho.recorder.connect import ConnectError, connect, explain
from khupho.recorder.datagrams import DatagramSockets
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_S
from khupho.wire.rtsp.client import RtspClient
from khupho.wire.rtsp.errors import (
    CredentialsRefused,
    RtspError,
    SessionRedirected,
    TransportRefused,
)
from khupho.wire.rtsp.states import State
from khupho.wire.rtsp.url import RtspUrl, parse_url

HANDSHAKE_PATIENCE_S = 30.0
_READ_BYTES = 64 * 1024
_MAX_REDIRECTS = 3
_LEAVING_PATIENCE_S = 1.0


@dataclass(slots=True)
class Connection:
    """A session that plays: its control connection, its client, its UDP sockets if it has any."""

    sock: socket.socket
    client: RtspClient
    datagrams: DatagramSockets | None

    @property
    def transport(self) -> str:
        return "udp" if self.datagrams is not None else "tcp"


async def shake_hands(config: SourceConfig, clock: Clock, *, over_udp: bool) -> Connection:
    """Open a session that plays, following redirects within the same device.

    Raises `KhuphoError`; takes at most about 30 s for each address. With `transport="auto"` a refused
    transport is answered by trying the other at once.
    """
    url = parse_url(config.url)
    udp = over_udp
    swapped = False
    for _ in range(_MAX_REDIRECTS + 2):
        try:
            return await _open_once(config, url, clock, udp)
        except SessionRedirected as redirected:
            url = parse_url(redirected.url)
        except TransportRefused:
            if config.transport != "auto" or swapped:
                raise
            udp, swapped = not udp, True
    raise RtspError("The camera sends us from address to address", where=str(url))


async def _open_once(config: SourceConfig, url: RtspUrl, clock: Clock, udp: bool) -> Connection:
    sock = await connect(url.host, url.port)
    datagrams = None
    try:
        if udp:
            datagrams = DatagramSockets.open(sock, pairs=2 if config.audio else 1)
        client = RtspClient(
            url,
            config.user,
            config.password,
            make_cnonce=lambda: secrets.token_hex(8),
            audio=config.audio,
            udp_ports=datagrams.ports if datagrams is not None else (),
        )
        try:
            await _begin_to_play(sock, client, clock)
        except ConnectError:
            if not client.is_signing_in:
                raise
            sock.close()
            sock = await connect(url.host, url.port)
            client = client.on_another_connection()
            await _sign_in_again(sock, client, clock)
    except BaseException:
        sock.close()
        if datagrams is not None:
            datagrams.close()
        raise
    return Connection(sock, client, datagrams)


async def _sign_in_again(sock: socket.socket, client: RtspClient, clock: Clock) -> None:
    """On the connection after the one that ended with a 401. One that ends in the same way says that
    the password is wrong, without a word: tried on, the camera would lock the account (quirk 20)."""
    try:
        await _begin_to_play(sock, client, clock)
    except ConnectError as error:
        if not client.is_signing_in:
            raise
        raise CredentialsRefused(
            "The camera closes the connection whenever this name and password are given",
            where=str(client.url),
            advice="Correct them; until then it is tried rarely, since many cameras lock the account",
        ) from error


async def _begin_to_play(sock: socket.socket, client: RtspClient, clock: Clock) -> None:
    """From OPTIONS to the answer to PLAY. Raises `RtspError` or `ConnectError`."""
    client.start(clock.mono_us())
    try:
        async with asyncio.timeout(HANDSHAKE_PATIENCE_S):
            await _until(sock, client, clock, lambda: client.state is State.PLAYING)
    except TimeoutError as error:
        await leave(sock, client, clock)
        raise RtspError(
            "The camera takes too long to start sending", where=str(client.url)
        ) from error
    except (RtspError, asyncio.CancelledError):
        await leave(sock, client, clock)
        raise
    except OSError as error:
        raise explain(error, client.url.authority) from error


async def _until(
    sock: socket.socket, client: RtspClient, clock: Clock, reached: Callable[[], bool]
) -> None:
    """Exchange bytes until a state is reached. Raises `RtspError`, `ConnectError` or `OSError`."""
    loop = asyncio.get_running_loop()
    while not reached():
        data = client.data_to_send()
        if data:
            await loop.sock_sendall(sock, data)
        wait_us = client.next_timer_us() - clock.mono_us()
        try:
            async with asyncio.timeout(max(0, wait_us) / US_PER_S):
                received = await loop.sock_recv(sock, _READ_BYTES)
        except TimeoutError:
            client.on_timer(clock.mono_us())
            continue
        if not received:
            raise ConnectError(
                "The camera closed the connection during the handshake",
                where=str(client.url),
                advice="It may serve too many viewers, or want another address; it is tried again",
                fault=Fault.CAMERA,
            )
        client.receive(received, clock.mono_us())


async def leave(sock: socket.socket, client: RtspClient, clock: Clock) -> None:
    """Send TEARDOWN and wait up to a second for its answer, so that no camera is left with a dead
    session (quirks 26, 33 and 51). Whatever fails here is of no matter any more."""
    try:
        client.teardown(clock.mono_us())
        async with asyncio.timeout(_LEAVING_PATIENCE_S):
            await _until(sock, client, clock, lambda: client.state is State.CLOSED)
    except (RtspError, ConnectError, OSError, TimeoutError):
        return

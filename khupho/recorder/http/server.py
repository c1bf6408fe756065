"""The HTTP server: uvicorn as a task of the recording's own loop, on a socket that was bound before."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import Iterator

import uvicorn

from khupho.errors import Fault, KhuphoError
from khupho.recorder.http.guard import Application, Guard, is_loopback

_BACKLOG = 64
_MOST_CONNECTIONS = 500
_MOST_HEAD_BYTES = 16 * 1024
_KEEP_ALIVE_S = 15
_LEAVING_S = 1
_TICK_S = 1.0
_PING_S = 20.0
_MOST_SAID_BYTES = 4 * 1024
"""Of one message from a viewer, who has nothing to say."""


class ListenError(KhuphoError):
    """The page's address cannot be had."""

    fault = Fault.USER


class _Server(uvicorn.Server):
    """Without signal handlers: the recorder has its own, and stops this one itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """As in uvicorn, but it wakes once a second and at `stop`, not ten times a second."""
        seconds = 0
        while not await self.on_tick(10 * seconds):
            seconds += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self.stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 is any free one. Raises `ListenError` in plain words."""
    where = f"{host}:{port}"
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(
            "The page's address is not known to this machine",
            where=where,
            advice="Give one of this machine's addresses in numbers with --listen",
        ) from error
    family, kind, protocol, _name, address = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _explain(error, where) from error
    sock.setblocking(False)
    return sock


def _explain(error: OSError, where: str) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        what = "Another program already listens at the page's address"
        advice = "End it, perhaps another recorder, or choose another with --listen HOST:PORT"
    elif error.errno == errno.EADDRNOTAVAIL:
        what = "This machine does not have the page's address"
        advice = "Give one of its own with --listen, or 0.0.0.0 for all of them"
    elif error.errno in (errno.EACCES, errno.EPERM):
        what = "This user may not listen at the page's address"
        advice = "Choose a port of 1024 or more with --listen"
    else:
        what = f"The page's address cannot be had: {error.strerror}"
        advice = "Choose another with --listen HOST:PORT"
    return ListenError(what, where=where, advice=advice)


class PageServer:
    """Serves one application until it is stopped."""

    def __init__(self, application: Application, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        self.token = "" if is_loopback(host) else secrets.token_urlsafe(32)
        """Who has it may see the page; empty where only this machine can call anyway."""
        self._sock = sock
        self._host, self._port = host, port
        name = socket.gethostname()
        names = {name, f"{name.partition('.')[0]}.local"}
        guarded = Guard(application, own_names=names, port=port, token=self.token)
        config = uvicorn.Config(
            guarded,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=_MOST_SAID_BYTES,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            ws_per_message_deflate=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_LEAVING_S,
            h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
        )
        self._server = _Server(config)

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"{self.address}/" + (f"?token={self.token}" if self.token else "")

    @property
    def address(self) -> str:
        """Scheme, host and port, by which a person's browser most likely reaches this machine."""
        host = self._host
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = _own_address()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._port}"

    async def serve(self) -> None:
        """Answer until `stop`."""
        await self._server.serve([self._sock])

    def stop(self) -> None:
        """Take no more, and end within about a second."""
        self._server.should_exit = True
        self._server.stopping.set()

    async def started(self) -> None:
        """Returns once requests are answered."""
        await self._server.ready.wait()


def _own_address() -> str:
    """The address by which other machines most likely know this one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # a documentation address: only the route is asked for
            return str(sock.getsockname()[0])
        except OSError:
            return "127.0.0.1"

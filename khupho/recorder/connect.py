"""Opening the TCP connection to a camera, and saying plainly why it cannot be opened."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

from khupho.errors import Fault, KhuphoError

CONNECT_TIMEOUT_S = 5.0
_RESOLVE_TIMEOUT_S = 5.0

_UNACKNOWLEDGED_MS = 20_000
"""What we sent and nobody acknowledged ends the connection: a half-open one is found by the kernel."""

_ADVICE = {
    errno.ECONNREFUSED: (
        "The device answers, but nothing listens on that port",
        "Switch RTSP on in the camera's settings, or correct the port in its address",
    ),
    errno.EHOSTUNREACH: (
        "There is no way to that address",
        "Check that the camera has power and its cable, and that the address is of this network",
    ),
    errno.ENETUNREACH: (
        "This machine has no network to that address",
        "Check this machine's own cable, Wi-Fi and address",
    ),
    errno.ETIMEDOUT: (
        "Nothing answers at that address",
        "Check that the camera has power and its cable, and that its address hasn't changed",
    ),
    errno.EMFILE: (
        "This recorder has used up its file descriptors",
        "Raise the limit of open files (LimitNOFILE in the service unit, or ulimit -n)",
    ),
}


class ConnectError(KhuphoError):
    """A connection to a camera could not be opened or was lost."""

    fault = Fault.NETWORK


def explain(error: OSError, where: str) -> ConnectError:
    """The operator's words for a socket error."""
    if isinstance(error, TimeoutError):
        what, advice = _ADVICE[errno.ETIMEDOUT]
    elif isinstance(error, socket.gaierror):
        what = "The name of the camera is not known to this network"
        advice = "Use the camera's address in numbers, or check this machine's DNS"
    elif error.errno in _ADVICE:
        what, advice = _ADVICE[error.errno]
    elif error.errno in (errno.ECONNRESET, errno.EPIPE):
        what = "The camera broke the connection off"
        advice = "It may have restarted or serve too many viewers; it is tried again by itself"
    else:
        what = f"The network reports: {error.strerror or error}"
        advice = "It is tried again by itself"
    fault = Fault.KHUPHO if error.errno == errno.EMFILE else Fault.NETWORK
    return ConnectError(what, where=where, advice=advice, fault=fault)


async def connect(host: str, port: int) -> socket.socket:
    """A connected non-blocking TCP socket. Raises `ConnectError`; waits at most about 10 s."""
    loop = asyncio.get_running_loop()
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await _connect_first(loop, infos)
    except OSError as error:
        raise explain(error, where) from error


async def _connect_first(
    loop: asyncio.AbstractEventLoop,
    infos: Sequence[tuple[int, int, int, str, tuple[object, ...]]],
) -> socket.socket:
    failure: OSError = TimeoutError(errno.ETIMEDOUT, "no address to try")
    for family, kind, proto, _name, address in infos:
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure

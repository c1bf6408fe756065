"""What a device's refusal means for whoever looks after it, and after which another try makes sense."""

from __future__ import annotations

from khupho.errors import Fault
from khupho.wire.rtsp.errors import RtspError, TransportRefused
from khupho.wire.rtsp.message import Reply

NO_OTHER_ADDRESS = frozenset({403, 453, 461, 503})
"""Statuses of SETUP that another address for the same track would not change."""
OTHER_PLAY_ADDRESS = frozenset({400, 404, 451, 455, 459, 460})
"""Statuses of PLAY after which the track's own address, or the one first asked for, is tried."""
INVALID_RANGE = 457

_REFUSALS: dict[int, tuple[str, str]] = {
    403: ("The camera forbids this stream to this user", "Give the user the right to watch live"),
    404: ("The camera knows no stream at that address", "Correct the path of its address"),
    451: ("The camera does not understand the request", "Update its firmware"),
    453: (
        "The camera serves too many viewers already",
        "End another viewer, or raise its limit; it is tried again by itself",
    ),
    454: ("The camera has forgotten the session", "It is opened again by itself"),
    500: ("The camera reports a fault of its own", "If it stays so, restart the camera"),
    503: ("The camera is too busy", "If it stays so, end another viewer or restart the camera"),
}


def refusal(reply: Reply, method: str, url: str) -> RtspError:
    """The error that a status other than 2xx stands for."""
    where = f"{method} {url}: {reply.status} {reply.reason[:80]}"
    if reply.is_http:
        return RtspError(
            "The device answers as a web server, not as a camera's RTSP service",
            where=where,
            advice="Correct the port in its address; RTSP's is 554 as a rule",
        )
    if reply.status == 461:
        return TransportRefused("The camera refuses this transport", where=where)
    what, advice = _REFUSALS.get(
        reply.status, (f"The camera refuses {method}", "Look at its own log or settings")
    )
    return RtspError(what, where=where, advice=advice)


def silence(method: str, url: str) -> RtspError:
    """The error that a missing answer stands for."""
    return RtspError(
        f"The camera took the connection but does not answer {method}",
        where=url,
        advice="It may be starting or overloaded; if it stays so, restart it",
        fault=Fault.CAMERA,
    )

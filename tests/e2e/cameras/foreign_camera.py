"""What all foreign cameras have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from film import Film


@dataclass(frozen=True, slots=True)
class ForeignCamera:
    """A camera that runs."""

    url: str
    """Without login."""
    sent: Callable[[], list[Film]]
    """The films it can have sent from; a camera that encodes by itself has one for each session."""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class CameraKind:
    """A camera that can be started, and how it is recorded."""

    name: str
    start: Callable[[int], AbstractContextManager[ForeignCamera]]
    """Takes the seconds for which it must have something to show."""
    transport: str = "tcp"
    """How the recorder shall ask for it: `tcp`, `udp` or `auto`."""
    audio: str = ""
    is_live: bool = False
    """Goes on while nobody watches; the others begin the film anew for each session."""
    pts_slack_90k: int = 1
    """By how much its own arithmetic may move a time: nanoseconds don't divide by 1/90000 s."""

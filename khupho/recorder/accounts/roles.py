"""Who may do what: one table, asked by every route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Role(StrEnum):
    """What an account is for. Roles are disjoint: who maintains cannot watch."""

    OWNER = "owner"
    VIEWER = "viewer"
    MAINTAINER = "maintainer"


class Action(StrEnum):
    """What a route does; each declares exactly one."""

    OPEN = "open"
    """Sign in, words, the page's own files, sign of life."""
    SELF = "self"
    """Own account, own sessions, sign out."""
    STATUS = "status"
    """State of recorder and cameras, no picture."""
    LIVE = "live"
    PLAYBACK = "playback"
    STILL = "still"
    EXPORT = "export"
    CAMERAS = "cameras"
    """Add, change, remove, test cameras."""
    ACCOUNTS = "accounts"
    ACCESS_LOG = "access_log"


class Grant(Enum):
    """One cell of the table."""

    NO = auto()
    YES = auto()
    OWN = auto()
    """Yes; where a camera is named, only one of the account's."""
    OWN_IF_ALLOWED = auto()
    """As `OWN`, and only if the account may take footage away."""


NO, YES, OWN, OWN_IF_ALLOWED = Grant.NO, Grant.YES, Grant.OWN, Grant.OWN_IF_ALLOWED

MATRIX: Mapping[Action, tuple[Grant, Grant, Grant]] = {
    #                  owner  viewer          maintainer
    Action.OPEN:       (YES,  YES,            YES),
    Action.SELF:       (YES,  YES,            YES),
    Action.STATUS:     (YES,  OWN,            YES),
    Action.LIVE:       (YES,  OWN,            NO),
    Action.PLAYBACK:   (YES,  OWN,            NO),
    Action.STILL:      (YES,  OWN,            NO),
    Action.EXPORT:     (YES,  OWN_IF_ALLOWED, NO),
    Action.CAMERAS:    (YES,  NO,             YES),
    Action.ACCOUNTS:   (YES,  NO,             NO),
    Action.ACCESS_LOG: (YES,  NO,             NO),
}  # fmt: skip
"""The matrix of docs/design/viewing.md. `OPEN` is for everybody, known or not."""

CAMERA_BOUND = frozenset({Action.LIVE, Action.PLAYBACK, Action.STILL, Action.EXPORT})
"""These have no meaning without a camera."""

_COLUMN = {Role.OWNER: 0, Role.VIEWER: 1, Role.MAINTAINER: 2}


@dataclass(frozen=True, slots=True)
class Person:
    """Who is behind a session, with the rights of this moment."""

    account_id: int
    name: str
    role: Role
    cameras: frozenset[str] | None
    """Ids of the account's cameras; None for all, also those to come."""
    may_export: bool
    session_id: int
    signed_in_utc_us: int


def allows(person: Person | None, action: Action, camera: str | None) -> bool:
    """Whether `person` (None: nobody known) may do this, with this camera. What isn't granted is denied.

    An action that is bound to a camera is denied without one.
    """
    if action is Action.OPEN:
        return True
    if person is None or (action in CAMERA_BOUND and not camera):
        return False
    match MATRIX[action][_COLUMN[person.role]]:
        case Grant.YES:
            return True
        case Grant.OWN:
            return _is_own(person, camera)
        case Grant.OWN_IF_ALLOWED:
            return person.may_export and _is_own(person, camera)
        case Grant.NO:
            return False


def _is_own(person: Person, camera: str | None) -> bool:
    return camera is None or person.cameras is None or camera in person.cameras

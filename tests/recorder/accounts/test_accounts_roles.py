"""The whole matrix of roles, actions and cameras, against the sentences of the design."""

from __future__ import annotations

from itertools import product

import pytest

from khupho.recorder.accounts.roles import CAMERA_BOUND, Action, Person, Role, allows


def person(role: Role, cameras: frozenset[str] | None, may_export: bool) -> Person:
    return Person(1, "Hoa", role, cameras, may_export, 1, 1)


def wanted(role: Role, has_camera: bool, may_export: bool, action: Action) -> bool:
    """The design's table, told once more in other words."""
    if role is Role.OWNER or action in (Action.OPEN, Action.SELF):
        return True
    if action is Action.STATUS:
        return has_camera or role is Role.MAINTAINER
    if action in (Action.ACCOUNTS, Action.ACCESS_LOG):
        return role is Role.OWNER
    if action is Action.CAMERAS:
        return role is not Role.VIEWER
    if role is Role.MAINTAINER or not has_camera:
        return False
    return action is not Action.EXPORT or role is Role.OWNER or may_export


@pytest.mark.parametrize(
    ("role", "cameras", "may_export", "action"),
    list(product(Role, (None, frozenset({"gate"}), frozenset()), (False, True), Action)),
)
def test_every_case(
    role: Role, cameras: frozenset[str] | None, may_export: bool, action: Action
) -> None:
    who = person(role, cameras, may_export)
    for camera in ("gate", "yard"):
        has_camera = cameras is None or camera in cameras
        assert allows(who, action, camera) is wanted(role, has_camera, may_export, action)
    if action in CAMERA_BOUND:
        assert not allows(who, action, None)
    else:
        assert allows(who, action, None) is wanted(role, True, may_export, action)


@pytest.mark.parametrize("action", Action)
def test_nobody_may_only_what_is_open(action: Action) -> None:
    assert allows(None, action, None) is allows(None, action, "gate") is (action is Action.OPEN)

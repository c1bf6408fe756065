"""The status page's routes as an application of their own, with nobody signed in."""

from __future__ import annotations

from collections.abc import Callable

from khupho.recorder.http.application import make_application
from khupho.recorder.http.door import Door
from khupho.recorder.http.guard import Application
from khupho.recorder.http.pages import page_routes
from khupho.recorder.http.status import StatusView


class Nobody:
    """Accounts that nobody has."""

    def person(self, token: str) -> None:
        return None


def page_application(
    status: Callable[[], StatusView], stills: object, has_camera: Callable[[str], bool]
) -> Application:
    """What a page server serves."""
    door = Door(Nobody(), has_camera, 0)  # type: ignore[arg-type]  # a fake
    return make_application(door, page_routes(status, stills), version="0")  # type: ignore[arg-type]  # a fake

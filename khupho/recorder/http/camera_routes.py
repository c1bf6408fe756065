"""The cameras that a person may know of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler

from khupho.recorder.accounts.roles import Action
from khupho.recorder.camera_store import Camera
from khupho.recorder.http.door import Door
from khupho.recorder.http.problems import FAILURES

_Asked = Request[object, object, State]


class ListedCamera(msgspec.Struct, frozen=True):
    """One camera."""

    id: str
    name: str
    streams: Sequence[str]
    """`main`, and `sub` where there is one."""
    is_enabled: bool


class CameraList(msgspec.Struct, frozen=True):
    """In the order they were added."""

    cameras: Sequence[ListedCamera]


def camera_routes(door: Door, cameras: Callable[[], Iterable[Camera]]) -> list[BaseRouteHandler]:
    """Handlers for Litestar."""

    @get("/api/v1/cameras", opt={"action": Action.STATUS}, responses=FAILURES, sync_to_thread=False)
    def list_cameras(request: _Asked) -> Response[CameraList]:
        """The cameras of this recorder that are shared with who asks."""
        person = door.known(request)
        listed = [
            ListedCamera(
                camera.id, camera.name, [name for name, _ in camera.sources()], camera.enabled
            )
            for camera in cameras()
            if person.cameras is None or camera.id in person.cameras
        ]
        return Response(CameraList(listed), headers={"cache-control": "no-store"})

    return [list_cameras]

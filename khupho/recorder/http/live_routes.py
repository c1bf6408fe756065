"""Live over a WebSocket: who may watch gets the running group of pictures at once, then each as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers.base import BaseRouteHandler

from khupho.recorder.accounts.roles import Action, Person, allows
from khupho.recorder.http.door import Door
from khupho.recorder.http.words import Words
from khupho.recorder.viewing.live import (
    Fragment,
    LiveHub,
    LiveViewer,
    SegmentBegins,
    Skipped,
    TooManyViewersError,
)

_Socket = WebSocket[object, object, State]

NOTHING = Words("", "")
ENDED = 4401
"""Close code: the session ended, or the right was withdrawn."""
TOO_MANY = 4503
_PATIENCE_S = 2.0
"""Without a picture for so long the viewer is told how the stream stands."""


class SegmentMessage(msgspec.Struct, frozen=True, tag_field="kind", tag="segment"):
    """Goes before each segment's beginning."""

    codec: str
    mime: str
    width: int
    height: int
    start_utc_us: int


class SkippedMessage(msgspec.Struct, frozen=True, tag_field="kind", tag="skipped"):
    """The viewer was too slow; a key frame follows."""


class StateMessage(msgspec.Struct, frozen=True, tag_field="kind", tag="state"):
    """No picture comes: how the stream stands."""

    phase: str
    what: Words = NOTHING
    advice: Words = NOTHING


StateOf = Callable[[str, str], StateMessage]
"""Camera and stream to how it stands."""


def live_routes(door: Door, hub: LiveHub, state_of: StateOf) -> list[BaseRouteHandler]:
    """Handlers for Litestar."""

    @websocket("/api/v1/cameras/{camera:str}/{stream:str}/live", opt={"action": Action.LIVE})
    async def live(socket: _Socket) -> None:
        camera, stream = socket.path_params["camera"], socket.path_params["stream"]
        person = door.known(socket)
        await socket.accept()
        log = door.accounts.log
        entry = await log.begin(person, door.caller(socket), "live", camera, stream, None, None, "")
        try:
            viewer = hub.join(camera, stream)
        except TooManyViewersError:
            await log.end(entry)
            await socket.close(TOO_MANY, "Too many people watch this recorder")
            return
        view = _View(socket, camera, viewer, lambda: state_of(camera, stream))
        try:
            await view.run(door, person)
        finally:
            viewer.leave()
            await log.end(entry)

    return [live]


class _View:
    """One open view: sends until the viewer goes, the session ends or the recorder stops."""

    def __init__(
        self,
        socket: _Socket,
        camera: str,
        viewer: LiveViewer,
        state: Callable[[], StateMessage],
    ) -> None:
        self._socket = socket
        self._camera = camera
        self._viewer = viewer
        self._state = state
        self._encode = msgspec.json.Encoder().encode

    async def run(self, door: Door, person: Person) -> None:
        ended = asyncio.Event()
        forget = door.accounts.watch(person.session_id, ended.set)
        if not allows(door.person(self._socket), Action.LIVE, self._camera):
            ended.set()  # the right went while the log was written
        tasks = [
            asyncio.ensure_future(work)
            for work in (self._send_all(), self._until_gone(), ended.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forget()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ended.is_set():
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._socket.close(ENDED, "The session has ended")

    async def _send_all(self) -> None:
        told: StateMessage | None = None
        while True:
            message = await self._viewer.next(_PATIENCE_S)
            if message is None:
                state = self._state()
                if state != told:
                    told = state
                    await self._send_text(state)
            elif isinstance(message, Fragment):
                told = None
                await self._socket.send_bytes(message.data)
            elif isinstance(message, SegmentBegins):
                await self._send_text(
                    SegmentMessage(
                        message.codec,
                        message.mime,
                        message.width,
                        message.height,
                        message.start_utc_us,
                    )
                )
                await self._socket.send_bytes(message.beginning)
            elif isinstance(message, Skipped):
                await self._send_text(SkippedMessage())

    async def _send_text(self, message: msgspec.Struct) -> None:
        await self._socket.send_text(self._encode(message).decode())

    async def _until_gone(self) -> None:
        """What a viewer says isn't listened to; that they go is."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._socket.receive_data("text")

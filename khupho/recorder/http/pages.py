"""The routes: the page and its files, the status, the stills, the sign of life."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers.base import BaseRouteHandler

from khupho.recorder.accounts.roles import Action
from khupho.recorder.http.problems import FAILURES
from khupho.recorder.http.status import StatusView
from khupho.recorder.stills import Stills

Asked = Request[object, object, State]

_TYPES = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "words.json": "application/json",
    "icon.svg": "image/svg+xml",
}

_SHOWN = {"action": Action.STATUS, "trusted": True}
_PICTURE = {"action": Action.STILL, "trusted": True}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page, as it is sent."""

    body: bytes
    media_type: str
    tag: str


def load_page() -> dict[str, PageFile]:
    """The page's files by name, read once."""
    folder = files("khupho.recorder.http").joinpath("page")
    page = {}
    for name, media_type in _TYPES.items():
        body = folder.joinpath(name).read_bytes()
        page[name] = PageFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
    return page


def page_routes(status: Callable[[], StatusView], stills: Stills) -> list[BaseRouteHandler]:
    """Handlers for Litestar. Everything that they are handed answers at once or awaits."""
    page = load_page()

    @get("/", opt=_SHOWN, include_in_schema=False, sync_to_thread=False)
    def index(request: Asked) -> Response[bytes]:
        return _file(request, page["index.html"])

    @get("/page/{name:str}", opt=_SHOWN, include_in_schema=False, sync_to_thread=False)
    def page_file(request: Asked) -> Response[bytes]:
        name = request.path_params["name"]
        if name not in page:
            raise NotFoundException
        return _file(request, page[name])

    @get("/healthz", opt={"action": Action.OPEN}, include_in_schema=False, sync_to_thread=False)
    def healthz() -> Response[bytes]:
        return Response(b"ok\n", media_type="text/plain", headers={"cache-control": "no-store"})

    @get("/api/v1/status", opt=_SHOWN, responses=FAILURES, sync_to_thread=False)
    def status_now() -> Response[StatusView]:
        """How the recorder and its cameras stand; no picture."""
        return Response(status(), headers={"cache-control": "no-store"})

    @get(
        "/api/v1/cameras/{camera:str}/picture.jpg",
        opt=_PICTURE,
        media_type="image/jpeg",
        responses=FAILURES,
    )
    async def picture(request: Asked) -> Response[bytes]:
        camera = request.path_params["camera"]
        still = await stills.newest(camera)
        if still is None:
            return Response(b"", status_code=204, headers={"cache-control": "no-store"})
        tag = f'"{still.taken_utc_us}"'
        headers = {
            "cache-control": "private, no-cache",
            "etag": tag,
            "x-taken-utc-us": str(still.taken_utc_us),
        }
        if request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers=headers)
        return Response(still.jpeg, media_type="image/jpeg", headers=headers)

    return [index, page_file, healthz, status_now, picture]


def _file(request: Asked, file: PageFile) -> Response[bytes]:
    headers = {"cache-control": "no-cache", "etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(b"", status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)

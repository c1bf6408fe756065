"""The browser app, as `web/` was built into the package: read once, and sent from memory."""

from __future__ import annotations

import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers.base import BaseRouteHandler

from khupho.recorder.accounts.roles import Action
from khupho.recorder.http.pages import PageFile

_Asked = Request[object, object, State]
_FOLDER = "web"
_INDEX = "index.html"
_HASHED = "assets/"
"""Files below it have the hash of their content in their names: they never change."""
_NOT_BUILT = (
    "Trang này chưa được dựng: chạy make install.\n"
    "This page was not built into the package: run make install.\n"
)


def load_web() -> dict[str, PageFile]:
    """The app's files by their paths; empty where it was not built."""
    found: dict[str, PageFile] = {}
    folder = files("khupho.recorder.http").joinpath(_FOLDER)
    if folder.is_dir():
        _load(folder, "", found)
    return found


def _load(folder: Traversable, prefix: str, found: dict[str, PageFile]) -> None:
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            _load(entry, path + "/", found)
        else:
            body = entry.read_bytes()
            media_type = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
            found[path] = PageFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:24]}"')


def web_routes() -> list[BaseRouteHandler]:
    """Handlers for Litestar."""
    web = load_web()
    opt = {"action": Action.OPEN}

    @get(["/app", "/app/{path:path}"], opt=opt, include_in_schema=False, sync_to_thread=False)
    def file(request: _Asked) -> Response[bytes]:
        path = str(request.path_params.get("path", "")).strip("/") or _INDEX
        if not web:
            return Response(_NOT_BUILT.encode(), status_code=503, media_type="text/plain")
        found = web.get(path)
        if found is None:
            raise NotFoundException
        is_fixed = path.startswith(_HASHED)
        headers = {
            "cache-control": "public, max-age=31536000, immutable" if is_fixed else "no-cache",
            "etag": found.tag,
        }
        if request.headers.get("if-none-match") == found.tag:
            return Response(b"", status_code=304, headers=headers)
        return Response(found.body, media_type=found.media_type, headers=headers)

    return [file]

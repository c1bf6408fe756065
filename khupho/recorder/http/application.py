"""The ASGI application: every route of the recorder, behind one check, with one form of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from litestar import Litestar, Router
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from khupho.recorder.accounts.roles import Action
from khupho.recorder.http.door import Door
from khupho.recorder.http.guard import Application
from khupho.recorder.http.problems import PROBLEMS

MOST_BODY_BYTES = 64 * 1024
"""No request brings more than a form."""


def make_application(
    door: Door, routes: Sequence[BaseRouteHandler], *, version: str
) -> Application:
    """The application. Each route must say its action (`Door.require`)."""
    made = Litestar(
        route_handlers=list(routes),
        guards=[door.require],
        exception_handlers=PROBLEMS,
        openapi_config=OpenAPIConfig(
            title="Khu Phố recorder",
            version=version,
            description="Watch, review and take away what this recorder keeps.",
            openapi_router=Router(
                "/api/v1", route_handlers=[], opt={"action": Action.OPEN}, include_in_schema=False
            ),
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
        request_max_body_size=MOST_BODY_BYTES,
        logging_config=None,
        debug=False,
    )
    return cast(Application, made)  # ASGI all the same; Litestar's own types are narrower

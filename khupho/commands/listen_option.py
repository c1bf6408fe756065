"""`--listen HOST:PORT`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

DEFAULT_LISTEN = "127.0.0.1:8080"
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def listen_option(command: Decorated) -> Decorated:
    """Where the page is; handed on as host and port."""
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        callback=_address,
        default=DEFAULT_LISTEN,
        show_default=True,
        help="Where the page is to be had. Port 0: any free one.",
    )(command)

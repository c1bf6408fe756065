"""Where a camera's name and password come from on the command line."""

from __future__ import annotations

import os
import sys

import click

from khupho.recorder.secrets import Login

USER_ENV = "KHUPHO_CAMERA_USER"
PASSWORD_ENV = "KHUPHO_CAMERA_PASSWORD"  # noqa: S105 - a variable's name


def with_login(url: str, login: Login) -> tuple[str, Login]:
    """The address's own login, else the environment's, else what a person types."""
    if login.user or login.password:
        return url, login
    user, password = os.environ.get(USER_ENV), os.environ.get(PASSWORD_ENV)
    if user is None and password is None and sys.stdin.isatty() and not login:
        user = click.prompt("User name of the camera (blank: none)", default="", show_default=False)
        if user:
            password = click.prompt(
                "Password", default="", show_default=False, hide_input=True, err=True
            )
    return url, Login(user or "", password or "", login.hidden)

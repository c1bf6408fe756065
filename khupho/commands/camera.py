"""`khupho camera`: add, test, list, enable, disable, remove."""

from __future__ import annotations

from pathlib import Path

import click

from khupho.clock import SystemClock
from khupho.commands.camera_login import with_login
from khupho.commands.camera_test import test_camera
from khupho.commands.terminal import (
    data_option,
    existing_data,
    fail,
    json_option,
    make_data,
    print_json,
    print_table,
)
from khupho.errors import KhuphoError
from khupho.recorder.camera_store import DEFAULT_DAYS, Camera, CameraStore, NewCamera
from khupho.recorder.camera_url import part_url, redact
from khupho.recorder.secrets import load_sealer


@click.group()
def camera() -> None:
    """Add, test, list, switch and remove cameras."""


camera.add_command(test_camera)


@camera.command()
@click.argument("name")
@click.argument("url")
@click.option("--sub", metavar="URL", help="Address of the small (sub) stream.")
@click.option("--id", "camera_id", default="", help="Id in paths and lists; made from NAME.")
@click.option("--audio", is_flag=True, help="Record sound too. Ask those who are heard.")
@click.option(
    "--transport",
    type=click.Choice(["auto", "tcp", "udp"]),
    default="auto",
    show_default=True,
    help="How video comes: auto asks for TCP and falls back to UDP.",
)
@click.option(
    "--days", type=click.IntRange(0, 3660), default=DEFAULT_DAYS, show_default=True,
    help="Days of footage that must exist.",
)  # fmt: skip
@click.option(
    "--max-days", type=click.IntRange(0, 3660), default=None,
    help="Days after which footage is deleted on time. [default: the same as --days]",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Change the camera of that id instead of adding.")
@data_option
@json_option
def add(
    name: str,
    url: str,
    sub: str | None,
    camera_id: str,
    audio: bool,
    transport: str,
    days: int,
    max_days: int | None,
    replace: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Add the camera NAME at URL.

    Name and password may stand in URL, come from KHUPHO_CAMERA_USER and KHUPHO_CAMERA_PASSWORD,
    or are asked for on a terminal (leave blank for none). They are sealed and never shown again.
    A password on the command line stays in the shell's history; the other two ways do not.

    \b
    Examples:
      khupho camera add "Cổng chính" rtsp://192.168.1.20:554/Streaming/Channels/101
      khupho camera add gate rtsp://10.0.0.7/main --sub rtsp://10.0.0.7/sub --days 60
    """
    try:
        main = with_login(*part_url(url))
        small = part_url(sub) if sub else None
        store = CameraStore(make_data(data, as_json), load_sealer(data))
        new = NewCamera(
            name=name,
            main=main,
            sub=small,
            id=camera_id,
            transport="tcp" if transport == "tcp" else "udp" if transport == "udp" else "auto",
            audio=audio,
            guaranteed_days=days,
            maximum_days=max_days,
        )
        added = store.add(new, SystemClock().utc_us(), replace_existing=replace)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(describe(added))
        return
    click.echo(f"Camera {added.id} ({added.name}) is on the list.")


def describe(entry: Camera) -> dict[str, object]:
    """A camera for output: everything but its secrets."""
    return {
        "id": entry.id,
        "name": entry.name,
        "enabled": entry.enabled,
        "main": redact(entry.main.url),
        "sub": redact(entry.sub.url) if entry.sub else None,
        "has_login": bool(entry.main.login),
        "transport": entry.transport,
        "audio": entry.audio,
        "guaranteed_days": entry.guaranteed_days,
        "maximum_days": entry.maximum_days,
        "added_utc": entry.added_utc,
    }


@camera.command(name="list")
@data_option
@json_option
def list_cameras(data: Path, as_json: bool) -> None:
    """List the cameras. Passwords are never shown.

    \b
    Example:
      khupho camera list --json
    """
    try:
        cameras = CameraStore(existing_data(data, as_json), load_sealer(data)).load()
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json([describe(entry) for entry in cameras])
    elif not cameras:
        click.echo("No camera yet. Add one: khupho camera add NAME rtsp://…")
    else:
        print_table(
            ("id", "name", "address", "days", "sound", "state"),
            [
                (
                    entry.id,
                    entry.name,
                    redact(entry.main.url),
                    f"{entry.guaranteed_days}-{entry.maximum_days}",
                    "on" if entry.audio else "off",
                    "on" if entry.enabled else "switched off",
                )
                for entry in cameras
            ],
        )


@camera.command()
@click.argument("wanted", metavar="CAMERA")
@click.option("--yes", is_flag=True, help="Don't ask.")
@data_option
@json_option
def remove(wanted: str, yes: bool, data: Path, as_json: bool) -> None:
    """Take CAMERA off the list. Asks once. Footage already recorded is not touched.

    \b
    Example:
      khupho camera remove gate
    """
    try:
        store = CameraStore(existing_data(data, as_json), load_sealer(data))
        found = store.find(wanted)
        if not yes:
            question = f"Remove {found.id} ({found.name})? Its footage is kept."
            click.confirm(question, abort=True, err=True)
        store.remove(found.id)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json({"removed": found.id})
    else:
        click.echo(f"Camera {found.id} is off the list. Its footage is kept.")


@camera.command()
@click.argument("wanted", metavar="CAMERA")
@data_option
@json_option
def enable(wanted: str, data: Path, as_json: bool) -> None:
    """Switch CAMERA on again.

    \b
    Example:
      khupho camera enable gate
    """
    _switch(wanted, True, data, as_json)


@camera.command()
@click.argument("wanted", metavar="CAMERA")
@data_option
@json_option
def disable(wanted: str, data: Path, as_json: bool) -> None:
    """Switch CAMERA off; it stays on the list with its settings.

    \b
    Example:
      khupho camera disable gate
    """
    _switch(wanted, False, data, as_json)


def _switch(wanted: str, enabled: bool, data: Path, as_json: bool) -> None:
    try:
        store = CameraStore(existing_data(data, as_json), load_sealer(data))
        changed = store.set_enabled(wanted, enabled)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(describe(changed))
    else:
        click.echo(f"Camera {changed.id} is switched {'on' if enabled else 'off'}.")

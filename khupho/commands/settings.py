"""`khupho settings`: show and set the few settings."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

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
from khupho.recorder.settings import MEANINGS, change_setting, load_settings


@click.group()
def settings() -> None:
    """Show and set the recorder's few settings."""


@settings.command()
@data_option
@json_option
def show(data: Path, as_json: bool) -> None:
    """Show the settings and what they mean.

    \b
    Example:
      khupho settings show
    """
    try:
        values = msgspec.structs.asdict(load_settings(existing_data(data, as_json)))
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(values)
        return
    rows = [(name, str(values[name]) or "(default)", MEANINGS[name]) for name in MEANINGS]
    print_table(("setting", "value", "meaning"), rows)


@settings.command(name="set")
@click.argument("name", type=click.Choice(sorted(MEANINGS)))
@click.argument("value")
@data_option
@json_option
def set_one(name: str, value: str, data: Path, as_json: bool) -> None:
    """Set NAME to VALUE.

    \b
    Examples:
      khupho settings set archive /mnt/footage
      khupho settings set flush_interval_s 5
    """
    try:
        changed = change_setting(make_data(data, as_json), name, value)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(msgspec.structs.asdict(changed))
    else:
        click.echo(f"{name} = {value}")
        if name == "archive":
            click.echo("It counts from the recorder's next start; old footage stays where it is.")

"""`khupho recorder`: record, until told to stop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khupho.commands.listen_option import listen_option
from khupho.commands.terminal import EXIT_PROBLEMS, data_option, fail, json_option, make_data
from khupho.errors import KhuphoError

if TYPE_CHECKING:
    from khupho.recorder.app import Ready


@click.command()
@listen_option
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Log lines on stderr: for people, or one JSON object each.",
)  # fmt: skip
@data_option
@json_option
@click.pass_context
def recorder(
    context: click.Context, listen: tuple[str, int], log_format: str, data: Path, as_json: bool
) -> None:
    """Record all cameras of DIR, and show how it goes on a page, until Ctrl-C or SIGTERM.

    Cameras may be added, changed and removed meanwhile (khupho camera …): the others lose no frame.
    SIGHUP reads the files again at once. A second Ctrl-C ends it on the spot.

    On an address that other machines can reach, the page asks for a token, which is made at each
    start and printed with the address. With --json one line tells when it is ready.

    \b
    Examples:
      khupho recorder --data /srv/khupho
      khupho recorder --data /srv/khupho --listen 0.0.0.0:8080 --log-format json
    """
    record(context, data, listen, log_format, as_json)


def record(
    context: click.Context, data: Path, listen: tuple[str, int], log_format: str, as_json: bool
) -> None:
    """Run the recorder; the command ends with it."""
    from khupho.recorder.app import RecorderOptions, run  # heavy: only where it is needed

    host, port = listen
    options = RecorderOptions(
        make_data(data, as_json), host, port, "json" if log_format == "json" else "text"
    )

    def announce(ready: Ready) -> None:
        if as_json:
            line = {"ready": True, "url": ready.url, "pid": os.getpid()}
            line["app_url"] = ready.app_url
            if ready.set_up_url:
                line["set_up_url"] = ready.set_up_url
            click.echo(json.dumps(line))
        else:
            click.echo(first_steps(ready, data))

    try:
        ended_well = run(options, announce)
    except KhuphoError as error:
        fail(error, as_json)
    if not ended_well:
        context.exit(EXIT_PROBLEMS)


def first_steps(ready: Ready, data: Path) -> str:
    """What a person reads first."""
    lines = [
        "",
        *([f"  Set-up    {ready.set_up_url}", ""] if ready.set_up_url else []),
        f"  Watch     {ready.app_url}",
        f"  Page      {ready.url}",
        f"  Footage   {ready.archive}",
        f"  Cameras   {ready.cameras or 'none yet'}",
        "",
    ]
    if not ready.cameras:
        lines += [
            "Add the first one from another terminal; it is recorded at once:",
            f'  khupho camera add "Cổng chính" rtsp://192.168.1.20:554/… --data {data}',
            "To try its address before:",
            "  khupho camera test rtsp://192.168.1.20:554/…",
            "",
        ]
    lines.append("Ctrl-C ends it in good order.")
    return "\n".join(lines)

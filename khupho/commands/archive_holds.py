"""`khupho archive hold`, `holds` and `release`: footage that must not be deleted."""

from __future__ import annotations

import secrets
from pathlib import Path
from time import sleep
from zoneinfo import ZoneInfo

import click

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.journal.entries import HoldPlaced, HoldReleased
from khupho.archive.journal.hold_requests import leave_request
from khupho.archive.place.identity import is_being_written
from khupho.archive.retention.holds import Hold, HoldError
from khupho.clock import SystemClock
from khupho.commands.archive_root import STREAMS, archive_root, find_camera
from khupho.commands.moments import find_zone, parse_moment, show_moment
from khupho.commands.terminal import data_option, fail, json_option, print_json, print_table
from khupho.errors import KhuphoError

_WAIT_S, _LOOK_S = 10.0, 0.1

zone_option = click.option(
    "--zone", "zone_name", default="", metavar="NAME",
    help="Time zone of times without offset, and of what is shown. [default: the machine's]",
)  # fmt: skip


@click.command()
@click.argument("wanted", metavar="CAMERA")
@click.option("--from", "start", metavar="TIME", required=True, help="From here on.")
@click.option(
    "--to", "end", metavar="TIME", required=True, help="Up to here; +2h counts from --from."
)
@click.option("--reason", metavar="TEXT", required=True, help="Which incident it is kept for.")
@click.option("--stream", type=click.Choice(STREAMS), help="Only that stream. [default: all]")
@zone_option
@data_option
@json_option
def hold(
    wanted: str,
    start: str,
    end: str,
    reason: str,
    stream: str | None,
    zone_name: str,
    data: Path,
    as_json: bool,
) -> None:
    """Keep footage of CAMERA from being deleted, until it is released.

    Holds whatever lies in that time now or will: segments that reach into it stay whole. Counts at once,
    whether or not the recorder runs.

    \b
    Example:
      khupho archive hold gate --from '2026-11-24 08:00' --to +2h --reason 'Theft at no. 12, report 311'
    """
    try:
        zone = find_zone(zone_name)
        now_us = SystemClock().utc_us()
        start_us = parse_moment(start, zone, now_utc_us=now_us)
        end_us = parse_moment(end, zone, start_us)
        root = archive_root(data, as_json)
        with ArchiveReader(root) as reader:
            camera = find_camera(wanted, data, (key[0] for key in reader.streams()))
        made = Hold(
            secrets.token_hex(4), camera, start_us, end_us, reason.strip(), stream or "", now_us
        )
        is_taken_up = _ask(root, HoldPlaced.of(made), now_us)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json({**made.to_fields(), "taken_up": is_taken_up})
    else:
        click.echo(f"Hold {made.id}: {camera} is kept from {_span(made, zone)}.")
        _tell_waiting(is_taken_up)


@click.command()
@zone_option
@data_option
@json_option
def holds(zone_name: str, data: Path, as_json: bool) -> None:
    """List the holds: footage that must not be deleted.

    \b
    Example:
      khupho archive holds
    """
    try:
        zone = find_zone(zone_name)
        with ArchiveReader(archive_root(data, as_json)) as reader:
            standing = reader.holds()
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json([one.to_fields() for one in standing])
    elif not standing:
        click.echo("Nothing is held.")
    else:
        print_table(
            ("id", "camera", "stream", "time", "reason"),
            [
                (one.id, one.camera, one.stream or "all", _span(one, zone), one.reason)
                for one in standing
            ],
        )


@click.command()
@click.argument("hold_id", metavar="ID")
@click.option("--reason", metavar="TEXT", default="", help="Why it ends; stands in the journal.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@data_option
@json_option
def release(hold_id: str, reason: str, yes: bool, data: Path, as_json: bool) -> None:
    """End the hold ID. Its footage may be deleted then, if it is old enough at once.

    \b
    Example:
      khupho archive release 3f2a91c4 --reason 'Handed to the police on 2026-12-01'
    """
    try:
        root = archive_root(data, as_json)
        with ArchiveReader(root) as reader:
            found = [one for one in reader.holds() if one.id == hold_id]
        if not found:
            raise HoldError(
                f"There is no hold {hold_id!r}", advice="See them: khupho archive holds"
            )
        if not yes:
            click.confirm(
                f"Release {hold_id} ({found[0].camera}: {found[0].reason})?", abort=True, err=True
            )
        now_us = SystemClock().utc_us()
        is_taken_up = _ask(root, HoldReleased(id=hold_id, reason=reason), now_us)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json({"released": hold_id, "taken_up": is_taken_up})
    else:
        click.echo(f"Hold {hold_id} is released.")
        _tell_waiting(is_taken_up)


def _ask(root: Path, entry: HoldPlaced | HoldReleased, now_us: int) -> bool:
    """Leave the request, and wait a moment for a running recorder; whether it has taken it up."""
    path = leave_request(root, entry, now_us)
    if not is_being_written(root):
        return False
    clock = SystemClock()
    until_us = clock.mono_us() + int(_WAIT_S * 1_000_000)
    while path.exists():
        if clock.mono_us() > until_us:
            return False
        sleep(_LOOK_S)
    return True


def _tell_waiting(is_taken_up: bool) -> None:
    if not is_taken_up:
        click.echo("It is noted; the recorder writes it into its journal when it runs.")


def _span(one: Hold, zone: ZoneInfo) -> str:
    return f"{show_moment(one.start_utc_us, zone)} to {show_moment(one.end_utc_us, zone)}"

"""`khupho city`: simulated cameras for demos, tests and measuring."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import click

from khupho.city.faults import MEANINGS, FaultSpec, parse_fault
from khupho.city.login import LoginScheme
from khupho.errors import KhuphoError

DEFAULT_CONTROL = "127.0.0.1:8555"
_CONTROL_PATIENCE_S = 5.0
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """`HOST:PORT` or `[IPv6]:PORT` as host and port."""
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT", ctx, param)
    return host.strip("[]"), int(port)


def _faults(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[FaultSpec, ...]:
    try:
        return tuple(parse_fault(value) for value in values)
    except KhuphoError as error:
        raise click.BadParameter(str(error), ctx, param) from error


_FAULTS_HELP = "\b\nFaults:\n" + "\n".join(
    f"  {kind.value:<18} {meaning}" for kind, meaning in MEANINGS.items()
)


@click.group()
def city() -> None:
    """Simulated cameras, and faults on demand."""


@city.command(epilog=_FAULTS_HELP)
@click.option(
    "--count", type=click.IntRange(1, 20_000), default=1, show_default=True, help="How many."
)
@click.option(
    "--video", type=_FILE, metavar="FILE",
    help="What they show: any video file. [default: a drawn street]",
)  # fmt: skip
@click.option("--sub/--no-sub", "has_sub", help="A small stream too, at …/camera-0001/sub.")
@click.option("--sub-video", type=_FILE, metavar="FILE", help="What the small stream shows.")
@click.option(
    "--other-video", type=_FILE, metavar="FILE", help="What the fault `change` changes to."
)
@click.option(
    "--listen", metavar="HOST:PORT", callback=_address, default="127.0.0.1:8554", show_default=True,
    help="Where they are to be had. Port 0: any free one.",
)  # fmt: skip
@click.option(
    "--control",
    metavar="HOST:PORT",
    callback=_address,
    default=None,
    help=f"Take faults at that address while running, for example {DEFAULT_CONTROL}.",
)
@click.option("--tcp/--no-tcp", "tcp", default=True, help="RTP over the RTSP connection.")
@click.option("--udp/--no-udp", "udp", default=True, help="RTP as datagrams.")
@click.option(
    "--auth", type=click.Choice([scheme.value for scheme in LoginScheme]), default="none",
    show_default=True, help="How they ask for the login.",
)  # fmt: skip
@click.option("--user", default="admin", show_default=True)
@click.option("--password", default="khupho", show_default=True)
@click.option(
    "--burst-ms", type=click.IntRange(1, 2000), default=40, show_default=True,
    help="Pictures of so long leave at once; more is cheaper.",
)  # fmt: skip
@click.option(
    "--slow-readers", type=click.Choice(["drop", "wait"]), default="drop", show_default=True,
    help="Lose pictures for them, as cameras do, or wait for them.",
)  # fmt: skip
@click.option(
    "--session-timeout", type=click.IntRange(2, 3600), default=60, show_default=True,
    help="Seconds of silence after which a session ends.",
)  # fmt: skip
@click.option(
    "--fault", "faults", metavar="CAMERAS:KIND[=VALUE][@SECONDS]", callback=_faults,
    multiple=True, help="A fault; may be repeated.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True,
    help="Print JSON lines on stdout: the addresses once, then how it goes every minute.",
)  # fmt: skip
def cameras(
    count: int,
    video: Path | None,
    has_sub: bool,
    sub_video: Path | None,
    other_video: Path | None,
    listen: tuple[str, int],
    control: tuple[str, int] | None,
    tcp: bool,
    udp: bool,
    auth: str,
    user: str,
    password: str,
    burst_ms: int,
    slow_readers: str,
    session_timeout: int,
    faults: tuple[FaultSpec, ...],
    as_json: bool,
) -> None:
    """Be so many cameras, at rtsp://127.0.0.1:8554/camera-0001 and so on, until Ctrl-C.

    \b
    Examples:
      khupho city cameras --count 10
      khupho city cameras --count 1000 --video street.mp4 --burst-ms 200
      khupho city cameras --auth digest --user admin --password secret
      khupho city cameras --count 3 --fault camera-0002:drop=0.01 --fault camera-0003:reboot=20@60
    """
    from khupho.city.app import CitySettings, run  # PyAV and uvloop only where they are needed

    if not (tcp or udp):
        raise click.UsageError("Without TCP and UDP nothing can be sent")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = CitySettings(
        count=count,
        video=video,
        sub_video=sub_video,
        other_video=other_video,
        has_sub=has_sub,
        host=listen[0],
        port=listen[1],
        control=control,
        burst_ms=burst_ms,
        transports=frozenset(["tcp"] * tcp + ["udp"] * udp),
        login=LoginScheme(auth),
        user=user,
        password=password,
        drops_for_slow_readers=slow_readers == "drop",
        session_timeout_s=session_timeout,
        faults=faults,
        as_json=as_json,
    )
    try:
        run(settings)
    except KhuphoError as error:
        raise click.ClickException(str(error)) from error


@city.command(epilog=_FAULTS_HELP)
@click.argument("line", metavar="FAULT")
@click.option(
    "--control", metavar="HOST:PORT", callback=_address, default=DEFAULT_CONTROL, show_default=True,
    help="The running city's --control.",
)  # fmt: skip
@click.option("--json", "_as_json", is_flag=True, help="Print JSON, as is done in any case.")
def fault(line: str, control: tuple[str, int], _as_json: bool) -> None:
    """Let cameras of a running city have FAULT now. Prints JSON: which ones.

    \b
    Examples:
      khupho city fault camera-0003:stall=12
      khupho city fault 'camera-*:clear'
    """
    try:
        parse_fault(line)
        with socket.create_connection(control, _CONTROL_PATIENCE_S) as connection:
            connection.sendall(f"fault {line}\n".encode())
            reply = connection.makefile(encoding="utf-8").readline().strip()
    except KhuphoError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"No city answers at {control[0]}:{control[1]} ({error}). Start it with --control"
        ) from error
    click.echo(reply)
    if '"error"' in reply:
        raise click.exceptions.Exit(1)

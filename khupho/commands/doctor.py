"""`khupho doctor`: what is missing or weak on this machine."""

from __future__ import annotations

import resource
from pathlib import Path

import click

from khupho.archive.clock.kernel import kernel_synchronised
from khupho.clock import SystemClock
from khupho.commands import machine_checks
from khupho.commands.machine_checks import Finding, Level
from khupho.commands.terminal import EXIT_PROBLEMS, data_option, json_option, print_json
from khupho.errors import KhuphoError

DEFAULT_LISTEN = "127.0.0.1:8080"
_COLOURS = {Level.OK: "green", Level.WEAK: "yellow", Level.PREVENTS: "red"}


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN, show_default=True,
    help="Where the recorder's page shall be.",
)  # fmt: skip
@data_option
@json_option
@click.pass_context
def doctor(context: click.Context, listen: str, data: Path, as_json: bool) -> None:
    """Look for what is missing or weak on this machine, and say what to do about it.

    Changes nothing. Exit code 1 if something prevents recording.

    \b
    Examples:
      khupho doctor
      khupho doctor --data /srv/khupho --json
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    findings = examine(data, host.strip("[]"), int(port))
    prevented = any(finding.level is Level.PREVENTS for finding in findings)
    if as_json:
        print_json({"ready": not prevented, "findings": [_fields(one) for one in findings]})
    else:
        _show(findings, prevented)
    if prevented:
        context.exit(EXIT_PROBLEMS)


def examine(data: Path, host: str, port: int) -> list[Finding]:
    """All findings, most basic first."""
    found = [machine_checks.this_python(), *machine_checks.packages()]
    if any(finding.level is Level.PREVENTS for finding in found):
        # Without its packages the recorder's own settings can't be read either.
        return [*found, *_machine(data, 5, 0), machine_checks.listening(host, port)]
    import apsw

    from khupho.wire.rtp.quick_path import COMPILED

    found.append(machine_checks.sqlite_version(apsw.sqlite_lib_version()))
    found.append(machine_checks.packet_loop(COMPILED is not None))
    archive, percent, cameras, trouble = _configuration(data)
    found += trouble
    found += [machine_checks.writable(data, "Data directory"), *machine_checks.private(data)]
    if archive != data and data not in archive.parents:
        found.append(machine_checks.writable(archive, "Archive"))
    return [*found, *_machine(archive, percent, cameras), machine_checks.listening(host, port)]


def _configuration(data: Path) -> tuple[Path, int, int, list[Finding]]:
    """Archive, free space in percent, number of cameras, and what is wrong with the files."""
    from khupho.recorder.camera_store import CAMERAS_NAME, load_cameras
    from khupho.recorder.settings import Settings, load_settings

    trouble = []
    settings, cameras = Settings(), 0
    try:
        settings = load_settings(data)
    except KhuphoError as error:
        trouble.append(
            Finding("Settings", Level.PREVENTS, f"{error.what} ({error.where})", error.advice)
        )
    try:
        cameras = len(load_cameras(data / CAMERAS_NAME))
    except KhuphoError as error:
        trouble.append(
            Finding("Cameras", Level.PREVENTS, f"{error.what} ({error.where})", error.advice)
        )
    return settings.archive_path(data), settings.free_space_percent, cameras, trouble


def _machine(archive: Path, free_space_percent: int, cameras: int) -> list[Finding]:
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    rmem_max = machine_checks.read_number(Path("/proc/sys/net/core/rmem_max"))
    return [
        *machine_checks.disk_findings(archive, free_space_percent),
        machine_checks.clock(SystemClock().utc_us(), kernel_synchronised()),
        machine_checks.descriptors(hard_limit, cameras),
        machine_checks.receive_buffer(rmem_max),
        *machine_checks.memory(machine_checks.available_memory_bytes(), cameras),
        machine_checks.datagrams(),
    ]


def _fields(finding: Finding) -> dict[str, str]:
    return {
        "subject": finding.subject,
        "level": finding.level.value,
        "what": finding.what,
        "advice": finding.advice,
    }


def _show(findings: list[Finding], prevented: bool) -> None:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = (
            "ok" if finding.level is Level.OK else "weak" if finding.level is Level.WEAK else "NO"
        )
        click.secho(f"{mark:<4} ", fg=_COLOURS[finding.level], nl=False)
        click.echo(f" {finding.subject.ljust(width)}  {finding.what}")
        if finding.advice:
            click.echo(f"      {' ' * width}  → {finding.advice}")
    click.echo()
    if prevented:
        click.echo("This machine cannot record yet: mend what is marked NO.")
    elif any(finding.level is Level.WEAK for finding in findings):
        click.echo("This machine can record; what is marked weak is worth mending.")
    else:
        click.echo("This machine is ready to record.")

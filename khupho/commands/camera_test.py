"""`khupho camera test`: would this camera be recorded, and what is worth mending."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khupho.clock import SystemClock
from khupho.commands.camera_login import with_login
from khupho.commands.progress_line import ProgressLine
from khupho.commands.terminal import (
    EXIT_PROBLEMS,
    data_option,
    existing_data,
    fail,
    json_option,
    print_json,
)
from khupho.errors import KhuphoError
from khupho.recorder.camera_store import CameraStore
from khupho.recorder.camera_url import part_url, redact, whole_url
from khupho.recorder.secrets import load_sealer
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_S

if TYPE_CHECKING:
    from khupho.recorder.probe import ProbeFacts
    from khupho.recorder.probe_judgement import ProbeFinding

_COLOURS = {"prevents recording": "red", "weak": "yellow", "note": None}


@click.command(name="test")
@click.argument("target", metavar="URL|CAMERA")
@click.option(
    "--seconds", type=click.IntRange(2, 600), default=8, show_default=True, help="How long."
)
@click.option("--sub", is_flag=True, help="The small stream of a CAMERA on the list.")
@click.option(
    "--transport", type=click.Choice(["auto", "tcp", "udp"]), default=None,
    help="How video comes. [default: as the list says, else auto]",
)  # fmt: skip
@data_option
@json_option
@click.pass_context
def test_camera(
    context: click.Context,
    target: str,
    seconds: int,
    sub: bool,
    transport: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """Play a camera for some seconds and tell what comes, and what is wrong, in plain words.

    Nothing is recorded and no sound is fetched. Name and password of a URL are given as for
    `khupho camera add`. Exit code 1 if it would not be recorded.

    \b
    Examples:
      khupho camera test rtsp://192.168.1.20:554/Streaming/Channels/101
      khupho camera test "Cổng chính" --seconds 30 --json
    """
    # Heavy, so only here.
    from khupho.recorder.probe import probe
    from khupho.recorder.probe_judgement import judge_probe, would_record

    try:
        config = _config(target, sub, transport, data, as_json)
        with ProgressLine("Testing", quiet=as_json) as line:
            facts = asyncio.run(probe(config, SystemClock(), seconds * US_PER_S, line.tell))
    except KhuphoError as error:
        fail(_without_secrets(error), as_json)
    findings = judge_probe(facts, seconds * US_PER_S)
    records = would_record(findings)
    if as_json:
        print_json({"records": records, **_fields(facts), "findings": _listed(findings)})
    else:
        _show(facts, findings, records)
    if not records:
        context.exit(EXIT_PROBLEMS)


def _config(
    target: str, sub: bool, transport: str | None, data: Path, as_json: bool
) -> SourceConfig:
    if "://" in target:
        if sub:
            raise click.UsageError("--sub is for a camera on the list; give the small stream's URL")
        url, login = with_login(*part_url(target))
        return SourceConfig(
            "test", "main", whole_url(url, login), login.user, login.password, transport or "auto"
        )
    store = CameraStore(existing_data(data, as_json), load_sealer(data))
    camera = store.find(target)
    url, login = store.address(camera, "sub" if sub else "main")
    return SourceConfig(
        camera.id, "main", url, login.user, login.password, transport or camera.transport
    )


def _without_secrets(error: KhuphoError) -> KhuphoError:
    return KhuphoError(
        redact(error.what), where=redact(error.where), advice=error.advice, fault=error.fault
    )


def _fields(facts: ProbeFacts) -> dict[str, object]:
    return {
        "transport": facts.transport,
        "server": facts.server,
        "sign_in": facts.sign_in,
        "codec": facts.codec,
        "rfc6381": facts.rfc6381,
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "declared_fps": facts.declared_fps,
        "fps": round(facts.fps, 2),
        "bits_per_s": facts.bits_per_s,
        "key_interval_us": facts.key_interval_us,
        "has_b_frames": facts.has_b_frames,
        "sound": facts.sound,
        "frames": facts.frames,
        "damaged_frames": facts.damaged_frames,
        "packets": facts.packets,
        "lost_packets": facts.lost_packets,
        "jitter_us": facts.jitter_us,
        "drift_us": facts.drift_us,
        "drift_ppm": facts.drift_ppm,
        "first_picture_us": facts.first_picture_us,
        "lasted_us": facts.lasted_us,
    }


def _listed(findings: list[ProbeFinding]) -> list[dict[str, str]]:
    return [
        {"weight": finding.weight.value, "what": finding.what, "advice": finding.advice}
        for finding in findings
    ]


def _show(facts: ProbeFacts, findings: list[ProbeFinding], records: bool) -> None:
    for name, value in _lines(facts):
        click.echo(f"{name:<14}{value}")
    click.echo()
    for finding in findings:
        click.secho(f"{finding.weight.value}: ", fg=_COLOURS[finding.weight.value], nl=False)
        click.echo(finding.what)
        if finding.advice:
            click.echo(f"   → {finding.advice}")
    if findings:
        click.echo()
    click.secho(
        "It would be recorded." if records else "It would NOT be recorded.",
        fg="green" if records else "red",
    )


def _lines(facts: ProbeFacts) -> list[tuple[str, str]]:
    lines = []
    if facts.codec:
        size = f"{facts.width_px} x {facts.height_px}"
        lines.append(("Picture", f"{facts.codec.upper()} ({facts.rfc6381}), {size}"))
        declared = f", declared {facts.declared_fps:g}" if facts.declared_fps else ""
        lines.append(("Frames", f"{facts.fps:.2f} a second{declared}"))
        lines.append(("Bit rate", f"{facts.bits_per_s / 1e6:.2f} Mbit/s"))
    if facts.key_interval_us is not None:
        lines.append(("Key frames", f"every {facts.key_interval_us / US_PER_S:.2f} s"))
    if facts.codec:
        lines.append(("B-frames", "yes" if facts.has_b_frames else "no"))
    lines.append(("Sound", facts.sound or "none offered"))
    way = facts.transport.upper()
    lines.append(("Way", f"{way}, {facts.packets} packets, {facts.lost_packets} lost"))
    if facts.transport == "udp":
        lines.append(("Jitter", f"{facts.jitter_us / 1000:.1f} ms"))
    if facts.drift_us is not None:
        lines.append(("Clock", f"{facts.drift_us / US_PER_S:+.3f} s against this machine's"))
    lines.append(("Sign-in", facts.sign_in or "none"))
    lines.append(("Device", facts.server or "doesn't say"))
    if facts.first_picture_us is not None:
        lines.append(("First picture", f"after {facts.first_picture_us / US_PER_S:.2f} s"))
    return lines

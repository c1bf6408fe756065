"""`khupho archive`: check, rebuild, list, export, verify, hold, holds, release."""

from __future__ import annotations

from pathlib import Path

import click

from khupho.archive.check.check import CheckReport, check_archive
from khupho.archive.check.findings import INVARIANTS, Finding
from khupho.archive.check.rebuild import rebuild_catalog
from khupho.archive.clips.stored_report import read_report
from khupho.archive.clips.verdict import ClipVerdict
from khupho.archive.clips.verify import verify_clip
from khupho.archive.proof.signed_note import NoteError, VerifierKey
from khupho.commands.archive_footage import export, list_footage
from khupho.commands.archive_holds import hold, holds, release
from khupho.commands.archive_root import archive_root
from khupho.commands.moments import show_size
from khupho.commands.progress_line import ProgressLine
from khupho.commands.terminal import (
    EXIT_PROBLEMS,
    data_option,
    fail,
    json_option,
    print_json,
)
from khupho.errors import KhuphoError


@click.group()
def archive() -> None:
    """Footage: what there is, whether it is whole, clips of it, and what may not be deleted."""


archive.add_command(list_footage)
archive.add_command(export)
archive.add_command(hold)
archive.add_command(holds)
archive.add_command(release)


@archive.command()
@click.option("--deep", is_flag=True, help="Read the footage itself too, and compare its hashes.")
@data_option
@json_option
@click.pass_context
def check(context: click.Context, deep: bool, data: Path, as_json: bool) -> None:
    """Look whether the archive is whole and true, beside a running recorder too.

    Verifies the thirteen numbered invariants of docs/design/archive.md. Changes nothing. Exit code 1
    if one doesn't hold.

    \b
    Examples:
      khupho archive check
      khupho archive check --deep --data /srv/khupho --json
    """
    try:
        root = archive_root(data, as_json)
        with ProgressLine("Reading footage" if deep else "Reading", quiet=as_json) as line:
            report = check_archive(root, deep=deep, progress=line.tell)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(_report_fields(report))
    else:
        _show_report(report)
    if not report.is_well:
        context.exit(EXIT_PROBLEMS)


def _report_fields(report: CheckReport) -> dict[str, object]:
    return {
        "well": report.is_well,
        "deep": report.is_deep,
        "recorder_runs": report.is_being_written,
        "segments": report.segments,
        "fragments": report.fragments,
        "footage_bytes": report.footage_bytes,
        "leaves": report.leaves,
        "checkpoints": report.checkpoints,
        "journal_lines": report.journal_lines,
        "findings": [finding.fields() for finding in report.findings],
    }


def _show_report(report: CheckReport) -> None:
    by_number: dict[int, list[Finding]] = {}
    for finding in report.findings:
        by_number.setdefault(finding.invariant, []).append(finding)
    for number, (rule, advice) in INVARIANTS.items():
        wrong = by_number.get(number, ())
        if number in (6, 7) and not report.is_deep:
            continue
        click.secho("NO   " if wrong else "ok   ", fg="red" if wrong else "green", nl=False)
        click.echo(f"{number:>2}  {rule}")
        for finding in wrong:
            where = (
                finding.file if finding.offset is None else f"{finding.file}, byte {finding.offset}"
            )
            click.echo(f"         {where}: {finding.what}")
        if wrong:
            click.echo(f"         → {advice}")
    click.echo(
        f"\n{report.segments:,} segments, {report.fragments:,} fragments, "
        f"{show_size(report.footage_bytes)}; {report.leaves:,} leaves, {report.checkpoints:,} "
        f"checkpoints; {report.journal_lines:,} lines of the journal."
    )
    if report.is_well and not report.is_deep:
        click.echo("All is well, as far as headers tell. --deep reads the footage itself too.")
    elif report.is_well:
        click.echo("All is well.")
    else:
        click.echo(f"{len(report.findings)} places where the archive isn't as it should be.")


@archive.command()
@data_option
@json_option
def rebuild(data: Path, as_json: bool) -> None:
    """Make the catalog anew from the footage and the journal, while no recorder runs.

    A recorder does that by itself, if the catalog is missing or damaged when it starts.

    \b
    Example:
      khupho archive rebuild
    """
    try:
        root = archive_root(data, as_json)
        with ProgressLine("Reading segments", quiet=as_json) as line:
            report = rebuild_catalog(root, line.tell)
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(
            {
                "segments": report.segments,
                "left_out": report.left_out,
                "streams_without_number": report.without_number,
            }
        )
        return
    click.echo(f"The catalog is made anew: {report.segments:,} segments.")
    for path in report.left_out:
        click.echo(f"Left out, since it cannot be read as what its name says: {path}")
    if report.left_out:
        click.echo("khupho archive check tells more.")


@archive.command()
@click.argument("clip", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--report", "report_path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="The clip's report. [default: its name with .json]",
)  # fmt: skip
@click.option(
    "--key", metavar="KEY",
    help="The recorder's verifier key, got from its owner or the centre: name+id+key.",
)  # fmt: skip
@json_option
@click.pass_context
def verify(
    context: click.Context, clip: Path, report_path: Path | None, key: str | None, as_json: bool
) -> None:
    """Look whether an exported CLIP is what the recorder recorded and signed.

    Needs neither the archive nor the recorder: only the clip, its report, and the recorder's key for
    certainty about who signed. Exit code 1 if it isn't proven.

    \b
    Examples:
      khupho archive verify gate.mp4
      khupho archive verify gate.mp4 --key 'khupho/archive/5f…+1c2d3e4f+AQ…'
    """
    try:
        report = read_report(report_path or clip.with_suffix(".json"))
        verdict = verify_clip(clip, report, VerifierKey.parse(key) if key else None)
    except NoteError as error:
        raise click.BadParameter(error.what, param_hint="--key") from error
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(verdict.fields())
    else:
        _show_verdict(verdict)
    if not verdict.is_proven:
        context.exit(EXIT_PROBLEMS)


def _show_verdict(verdict: ClipVerdict) -> None:
    for mark, colour, lines in (
        ("NO", "red", verdict.problems),
        ("ok", "green", verdict.proven),
        ("??", "yellow", verdict.unproven),
    ):
        for line in lines:
            click.secho(f"{mark}  ", fg=colour, nl=False)
            click.echo(line)
    click.echo()
    if verdict.problems:
        click.echo("This clip or its report was changed: don't rely on it.")
    elif not verdict.is_proven:
        click.echo("Nothing speaks against this clip, and it isn't proven.")
    elif verdict.key_was_given:
        click.echo("This clip is what the owner of that key recorded and signed.")
    else:
        click.echo("Clip and report agree. Who signed is certain only with the recorder's --key.")

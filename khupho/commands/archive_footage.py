"""`khupho archive list` and `khupho archive export`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.catalog.coverage import Coverage, DayCoverage, by_day
from khupho.archive.clips.export import ClipRequest, ExportedClip, export_clip
from khupho.clock import SystemClock
from khupho.commands.archive_root import STREAMS, archive_root, find_camera
from khupho.commands.moments import (
    find_zone,
    local_time,
    parse_moment,
    show_length,
    show_moment,
    show_size,
)
from khupho.commands.progress_line import ProgressLine
from khupho.commands.terminal import data_option, fail, json_option, print_json
from khupho.errors import KhuphoError
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MS, US_PER_S, format_utc

_FULL_PERCENT = 99
_GAPS_SHOWN = 20

zone_option = click.option(
    "--zone", "zone_name", default="", metavar="NAME",
    help="Time zone of times without offset, and of what is shown. [default: the machine's]",
)  # fmt: skip
stream_option = click.option(
    "--stream", type=click.Choice(STREAMS), default="main", show_default=True
)


# List


@click.command(name="list")
@click.argument("wanted", metavar="[CAMERA]", required=False)
@click.option("--stream", type=click.Choice(STREAMS), help="Only that stream. [default: all]")
@click.option("--from", "start", metavar="TIME", help="From here on. [default: the oldest footage]")
@click.option(
    "--to", "end", metavar="TIME", help="Up to here; +2h counts from --from. [default: now]"
)
@click.option("--gaps", is_flag=True, help="Tell every gap, not only the longest of a camera.")
@zone_option
@data_option
@json_option
def list_footage(
    wanted: str | None,
    stream: str | None,
    start: str | None,
    end: str | None,
    gaps: bool,
    zone_name: str,
    data: Path,
    as_json: bool,
) -> None:
    """Show what footage there is, of CAMERA or of all: each day with a bar of its 24 hours, and gaps.

    A full block is an hour without a gap, a light one an hour with some footage, a dot one without any.

    \b
    Examples:
      khupho archive list
      khupho archive list gate --from '2026-11-24 00:00' --to +1d --gaps
    """
    try:
        zone = find_zone(zone_name)
        now_us = SystemClock().utc_us()
        start_us = parse_moment(start, zone, now_utc_us=now_us) if start else 0
        end_us = (
            parse_moment(end, zone, start_us if start else None, now_us)
            if end
            else now_us + US_PER_DAY
        )
        with ArchiveReader(archive_root(data, as_json)) as reader:
            streams = [key for key in reader.streams() if stream in (None, key[1])]
            if wanted:
                camera = find_camera(wanted, data, (key[0] for key in reader.streams()))
                streams = [key for key in streams if key[0] == camera]
            found = [
                (*key, coverage)
                for key in streams
                if (coverage := reader.coverage(*key, start_us, end_us)) is not None
            ]
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json([_stream_fields(*one, zone) for one in found])
    elif not found:
        click.echo("There is no footage of that.")
    for camera, name, coverage in () if as_json else found:
        _show_stream(camera, name, coverage, zone, every_gap=gaps)


def _days(coverage: Coverage, zone: ZoneInfo) -> list[DayCoverage]:
    return by_day(coverage, _day_starts(coverage.start_utc_us, coverage.end_utc_us, zone))


def _day_starts(start_us: int, end_us: int, zone: ZoneInfo) -> list[int]:
    """Local midnights from the day of the start to the one after the end."""
    day = local_time(start_us, zone).date()
    starts = []
    while True:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        starts.append(int(midnight.timestamp()) * US_PER_S)
        if starts[-1] >= end_us:
            return starts
        day += timedelta(days=1)


def _bar(coverage: Coverage, day: DayCoverage) -> str:
    """A character for each hour of a day (23 to 25 of them where clocks are changed)."""
    hours = list(range(day.start_utc_us, day.end_utc_us, US_PER_HOUR))
    marks = []
    for hour in by_day(coverage, [*hours, day.end_utc_us]):
        percent = 100 * hour.covered_us // (hour.end_utc_us - hour.start_utc_us)
        marks.append(
            "█" if percent >= _FULL_PERCENT
            else "▓" if percent >= 50
            else "░" if hour.covered_us
            else "·"
        )  # fmt: skip
    return "".join(marks)


def _show_stream(
    camera: str, stream: str, coverage: Coverage, zone: ZoneInfo, *, every_gap: bool
) -> None:
    span_us = coverage.end_utc_us - coverage.start_utc_us
    percent = 100 * coverage.covered_us / span_us if span_us else 100
    click.secho(f"{camera}/{stream}", bold=True)
    click.echo(
        f"  {show_moment(coverage.start_utc_us, zone)} to {show_moment(coverage.end_utc_us, zone)}, "
        f"{percent:.2f} % covered, {show_size(coverage.size_bytes)} in {coverage.segments:,} segments"
    )
    for day in _days(coverage, zone):
        date = local_time(day.start_utc_us, zone).date().isoformat()
        gaps = f"{day.gaps} gaps" if day.gaps != 1 else "1 gap"
        click.echo(
            f"  {date}  {_bar(coverage, day)}  {show_length(day.covered_us):>13}"
            + (f"  {gaps}" if day.gaps else "")
        )
    longest = sorted(coverage.gaps, key=lambda gap: gap.start_utc_us - gap.end_utc_us)
    shown = coverage.gaps if every_gap else sorted(longest[:_GAPS_SHOWN])
    for gap in shown:
        length = show_length(gap.end_utc_us - gap.start_utc_us)
        click.echo(f"  gap {show_moment(gap.start_utc_us, zone)}, {length}: {gap.cause}")
    if len(shown) < len(coverage.gaps):
        click.echo(f"  … and {len(coverage.gaps) - len(shown)} shorter gaps; --gaps tells all")
    click.echo()


def _stream_fields(
    camera: str, stream: str, coverage: Coverage, zone: ZoneInfo
) -> dict[str, object]:
    return {
        "camera": camera,
        "stream": stream,
        "start": format_utc(coverage.start_utc_us),
        "end": format_utc(coverage.end_utc_us),
        "covered_ms": coverage.covered_us // US_PER_MS,
        "size_bytes": coverage.size_bytes,
        "segments": coverage.segments,
        "days": [
            {
                "date": local_time(day.start_utc_us, zone).date().isoformat(),
                "zone": zone.key,
                "covered_ms": day.covered_us // US_PER_MS,
                "gaps": day.gaps,
            }
            for day in _days(coverage, zone)
        ],
        "gaps": [gap.fields() for gap in coverage.gaps],
    }


# Export


@click.command()
@click.argument("wanted", metavar="CAMERA")
@click.option("--from", "start", metavar="TIME", required=True, help="When the clip begins.")
@click.option(
    "--to", "end", metavar="TIME", required=True, help="When it ends; +10m counts from --from."
)
@click.option(
    "--out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Where to. [default: CAMERA and the time, in this directory]",
)  # fmt: skip
@stream_option
@click.option(
    "--joined",
    is_flag=True,
    help="One file in spite of gaps: pictures stand still in them.",
)
@click.option(
    "--whole-fragments", is_flag=True,
    help="Copy footage as it lies, a file for each segment: the form that proves itself wholly.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files of that name.")
@zone_option
@data_option
@json_option
def export(
    wanted: str,
    start: str,
    end: str,
    out: Path | None,
    stream: str,
    joined: bool,
    whole_fragments: bool,
    force: bool,
    zone_name: str,
    data: Path,
    as_json: bool,
) -> None:
    """Export footage of CAMERA as MP4 files that play anywhere, with a report beside each (.json).

    Begins and ends exactly at the pictures of those times. Footage with gaps becomes several files. The
    report tells what is there, what is missing and why, and proves it. Ctrl-C leaves nothing behind.

    \b
    Examples:
      khupho archive export gate --from '2026-11-24 08:00' --to +10m
      khupho archive export gate --from 22:30 --to 01:00
      khupho archive export gate --from 2026-11-24T08:00:00+07:00 --to 2026-11-24T09:00:00+07:00 \\
        --out /media/usb/gate.mp4 --joined
    """
    try:
        zone = find_zone(zone_name)
        start_us = parse_moment(start, zone, now_utc_us=SystemClock().utc_us())
        end_us = parse_moment(end, zone, start_us)
        with ArchiveReader(archive_root(data, as_json)) as reader:
            camera = find_camera(wanted, data, (key[0] for key in reader.streams()))
            request = ClipRequest(
                camera, stream, start_us, end_us, out or _default_name(camera, stream, start_us, zone),
                joined=joined, whole_fragments=whole_fragments, replace_existing=force,
            )  # fmt: skip
            prover = reader.prover()
            try:
                with ProgressLine("Exporting", quiet=as_json) as line:
                    made = export_clip(
                        reader,
                        request,
                        made_utc_us=SystemClock().utc_us(),
                        prover=prover,
                        progress=line.tell,
                    )
            finally:
                prover.close()
    except KhuphoError as error:
        fail(error, as_json)
    if as_json:
        print_json(_clip_fields(made))
    else:
        _show_clip(made, zone, prover.why_not)


def _default_name(camera: str, stream: str, start_us: int, zone: ZoneInfo) -> Path:
    moment = local_time(start_us, zone).strftime("%Y-%m-%d_%H%M%S")
    return Path(f"{camera}-{moment}.mp4" if stream == "main" else f"{camera}-{stream}-{moment}.mp4")


def _clip_fields(made: ExportedClip) -> dict[str, object]:
    return {
        "files": [
            {
                "file": str(part.path),
                "report": str(part.report),
                "start": format_utc(part.start_utc_us),
                "end": format_utc(part.end_utc_us),
                "size_bytes": part.size_bytes,
                "frames": part.frames,
                "lost_packets": part.blemishes.lost_packets,
                "missing_frames_ms": part.blemishes.jumped_us // US_PER_MS,
                "damaged_ms": part.blemishes.damaged_us // US_PER_MS,
                "changed_since_recorded": len(part.blemishes.bad_hashes),
                "proven": part.is_proven,
            }
            for part in made.parts
        ],
        "gaps": [gap.fields() for gap in made.gaps],
    }


def _show_clip(made: ExportedClip, zone: ZoneInfo, why_not: str) -> None:
    for part in made.parts:
        length = show_length(part.end_utc_us - part.start_utc_us)
        click.secho(str(part.path), bold=True)
        click.echo(
            f"  {show_moment(part.start_utc_us, zone)}, {length}, {part.frames:,} pictures, "
            f"{part.size_bytes / 1e6:,.1f} MB"
        )
        for line in _blemish_lines(part.blemishes.lost_packets, part.blemishes.jumped_us):
            click.echo(f"  {line}")
        if part.blemishes.bad_hashes:
            click.secho(
                f"  {len(part.blemishes.bad_hashes)} fragments are not as they were recorded",
                fg="red",
            )
        if not part.is_proven:
            click.echo(f"  not proven: {why_not or 'the proof log is not at hand'}")
    for gap in made.gaps:
        length = show_length(gap.end_utc_us - gap.start_utc_us)
        click.echo(f"missing {show_moment(gap.start_utc_us, zone)}, {length}: {gap.cause}")


def _blemish_lines(lost_packets: int, jumped_us: int) -> Sequence[str]:
    lines = []
    if lost_packets:
        lines.append(f"{lost_packets:,} packets were lost on the way from the camera")
    if jumped_us:
        lines.append(f"{show_length(jumped_us)} of pictures are missing inside")
    return lines

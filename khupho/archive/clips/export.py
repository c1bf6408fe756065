"""Clips for people outside: one stream between two moments, as files that play anywhere.

A clip begins exactly at the picture that stands at the asked start (decoding begins at the key frame
before it; an edit list hides what lies between) and ends at the asked end. Footage with gaps becomes one
file for each unbroken run, or with `joined` one file in which the last picture before a gap stands until
footage goes on, so that time stays true. A change of format begins another file in any case. Beside each
file a report tells what it holds and lacks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from khupho.archive.clips.cut import SegmentCut, data_ranges, runs_of
from khupho.archive.clips.files import (
    ExportCancelledError,
    ExportError,
    NewFiles,
    Progress,
    check_room,
    part_paths,
)
from khupho.archive.clips.plan import cut_segments
from khupho.archive.clips.report import REPORT_VERSION, Blemishes, format_fields, gaps_of
from khupho.archive.clips.writing import (
    ClipSource,
    CopiedFragment,
    WrittenPart,
    write_fragments,
    write_progressive,
)
from khupho.archive.segments.gaps import GAP_US, Gap
from khupho.units import US_PER_MS, format_utc

__all__ = [
    "ClipRequest", "ClipSource", "ExportCancelledError", "ExportError", "ExportedClip", "Prover",
    "export_clip",
]  # fmt: skip
MAX_CLIP_US = 7 * 24 * 3_600_000_000


class Prover(Protocol):
    """The proof log as an export sees it."""

    def prove(
        self, camera: str, stream: str, fragments: Sequence[CopiedFragment]
    ) -> dict[str, object] | None:
        """The report's `proof`: leaf numbers, hashes of the tree and a signed checkpoint; None where
        the log doesn't hold these fragments."""
        ...


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """What is wanted."""

    camera: str
    stream: str
    start_utc_us: int
    end_utc_us: int
    out: Path
    """The file; several parts are numbered."""
    joined: bool = False
    whole_fragments: bool = False
    """Copy fragments as they lie, a file for each segment: the form that proves itself wholly."""
    replace_existing: bool = False


@dataclass(frozen=True, slots=True)
class ExportedPart:
    """One file and its report."""

    path: Path
    report: Path
    start_utc_us: int
    end_utc_us: int
    size_bytes: int
    frames: int
    blemishes: Blemishes
    is_proven: bool
    """Each of its fragments has its place in the signed log."""


@dataclass(slots=True)
class ExportedClip:
    """What was made."""

    parts: list[ExportedPart] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def export_clip(
    source: ClipSource,
    request: ClipRequest,
    *,
    made_utc_us: int,
    prover: Prover | None = None,
    progress: Progress = lambda _done, _total: None,
) -> ExportedClip:
    """Make the clip's files and reports: all of them or none.

    Raises `ExportError` where there is no footage, no room, or a file of that name; other `KhuphoError`
    where the footage cannot be read; `ExportCancelledError` if `progress` does.
    """
    _check(request)
    cuts, total_bytes = _survey(source, request)
    if not cuts:
        raise ExportError(
            "There is no footage of that time",
            where=f"{request.camera}/{request.stream}, {format_utc(request.start_utc_us)} to "
            f"{format_utc(request.end_utc_us)}",
            advice="See what there is: khupho archive list " + request.camera,
        )
    made = ExportedClip(gaps=gaps_of(cuts, request.start_utc_us, request.end_utc_us, GAP_US))
    if request.whole_fragments:
        groups = [[cut] for cut in cuts]
    else:
        groups = runs_of(cuts, joined=request.joined)
    check_room(request.out.parent, total_bytes)
    done_bytes = 0

    def copied(size_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += size_bytes
        progress(done_bytes, total_bytes)

    progress(0, total_bytes)
    with NewFiles(replace_existing=request.replace_existing) as files:
        paths = part_paths(request.out, len(groups))
        for number, (path, group) in enumerate(zip(paths, groups, strict=True), 1):
            report_path = path.with_suffix(".json")
            file, report = files.begin(path), files.begin(report_path)
            if request.whole_fragments:
                part = write_fragments(source, group[0], file, copied)
            else:
                part = write_progressive(source, group, file, copied)
            proof = None
            if prover is not None and part.fragments and part.fragments[-1].header:
                proof = prover.prove(request.camera, request.stream, part.fragments)
            fields = _report(source, request, part, made.gaps)
            fields |= {"made": format_utc(made_utc_us), "part": number, "parts": len(groups)}
            fields["proof"] = proof
            report.append(json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n")
            made.parts.append(
                ExportedPart(
                    path,
                    report_path,
                    part.start_utc_us,
                    part.end_utc_us,
                    file.size_bytes,
                    part.frames,
                    part.blemishes,
                    proof is not None and None not in _list(proof.get("leaves")),
                )
            )
    return made


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _check(request: ClipRequest) -> None:
    length_us = request.end_utc_us - request.start_utc_us
    if length_us <= 0:
        raise ExportError("A clip must end after it begins")
    if length_us > MAX_CLIP_US:
        raise ExportError(
            "A clip may be seven days long at most", advice="Export it in several pieces"
        )
    if request.out.suffix.lower() != ".mp4":
        raise ExportError(
            "A clip's file must end in .mp4", where=str(request.out), advice="Name it with --out"
        )
    if request.joined and request.whole_fragments:
        raise ExportError(
            "Whole fragments cannot be joined: they are copied as they lie, segment by segment",
            advice="Leave out --joined or --whole-fragments",
        )


def _survey(source: ClipSource, request: ClipRequest) -> tuple[list[SegmentCut], int]:
    """The cuts, oldest first, and the bytes of footage in them."""
    cuts: list[SegmentCut] = []
    total_bytes = 0
    start_utc_us, end_utc_us = request.start_utc_us, request.end_utc_us
    paths = source.segments(request.camera, request.stream, start_utc_us, end_utc_us)
    for segment, cut in cut_segments(paths, source.read, start_utc_us, end_utc_us):
        cuts.append(cut)
        if request.whole_fragments:
            chosen = segment.fragments[cut.first_fragment : cut.stop_fragment]
            total_bytes += sum(fragment.header.data_size for fragment in chosen)
        else:
            total_bytes += sum(chosen.size_bytes for chosen in data_ranges(segment, cut))
    cuts.sort(key=lambda cut: cut.start_utc_us)
    return cuts, total_bytes


def _report(
    source: ClipSource, request: ClipRequest, part: WrittenPart, gaps: Sequence[Gap]
) -> dict[str, object]:
    asked_us = request.end_utc_us - request.start_utc_us
    gap_us = sum(gap.end_utc_us - gap.start_utc_us for gap in gaps)
    return {
        "khupho_clip": REPORT_VERSION,
        "file": part.file.path.name,
        "form": "fragments" if request.whole_fragments else "progressive",
        "size_bytes": part.file.size_bytes,
        "sha256": part.file.sha256,
        "archive": source.archive_id,
        "camera": request.camera,
        "stream": request.stream,
        "asked": {
            "start": format_utc(request.start_utc_us),
            "end": format_utc(request.end_utc_us),
            "ms": asked_us // US_PER_MS,
            "covered_ms": (asked_us - gap_us) // US_PER_MS,
        },
        "start": format_utc(part.start_utc_us),
        "end": format_utc(part.end_utc_us),
        "frames": part.frames,
        **format_fields(part.cuts[0].format),
        "segments": [
            {
                "path": cut.relative_path,
                "start": format_utc(cut.start_utc_us),
                "end": format_utc(cut.end_utc_us),
                "beginning": base64.b64encode(beginning).decode(),
            }
            for cut, beginning in zip(part.cuts, part.beginnings, strict=True)
        ],
        "gaps": [gap.fields() for gap in gaps],
        **part.blemishes.fields(),
        "fragments": [fragment.fields() for fragment in part.fragments],
    }

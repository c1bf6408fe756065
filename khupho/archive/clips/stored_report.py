"""A clip's report read back, as far as a proof needs it; written by `export` and `prover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from khupho.archive.clips.report import REPORT_VERSION
from khupho.errors import Fault, KhuphoError

MAX_REPORT_BYTES = 256 << 20
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class ClipReportError(KhuphoError):
    """The clip or its report cannot be read."""

    fault = Fault.USER


class ReportSegment(msgspec.Struct, frozen=True):
    """A segment that a clip was made from."""

    beginning: str
    """All before its first fragment, in base64."""


class ReportFragment(msgspec.Struct, frozen=True):
    """A fragment as the report names it; see `writing.CopiedFragment.fields`."""

    segment: _Size
    """Index into the report's segments."""
    offset: _Size
    size: _Size
    sha256: str
    part_only: bool = False
    header: str = ""


class ReportProof(msgspec.Struct, frozen=True):
    """The report's `proof`; see `prover.LogProver.prove`."""

    version: int
    tree_size: int
    leaves: list[int | None]
    nodes: list[str]
    checkpoint: str
    key: str | None = None


class Report(msgspec.Struct, frozen=True):
    """What is needed of a clip's report."""

    khupho_clip: int
    form: Literal["fragments", "progressive"]
    size_bytes: _Size
    sha256: str
    archive: str
    camera: str
    stream: str
    start: str
    end: str
    segments: list[ReportSegment] = msgspec.field(default_factory=list)
    fragments: list[ReportFragment] = msgspec.field(default_factory=list)
    proof: ReportProof | None = None


def read_report(path: Path) -> Report:
    """The report beside a clip. Raises `ClipReportError`."""
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise ValueError("it is too long")
        data = path.read_bytes()
        report = msgspec.json.decode(data, type=Report)
    except OSError as error:
        raise ClipReportError(
            f"The clip's report cannot be read: {error.strerror}",
            where=str(path),
            advice="It lies beside the clip under the same name with .json; name another with --report",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ClipReportError(f"That is no clip's report: {error}", where=str(path)) from error
    if report.khupho_clip != REPORT_VERSION:
        raise ClipReportError(
            f"The report has version {report.khupho_clip}, and this program knows {REPORT_VERSION}",
            where=str(path),
            advice="Use a newer khupho",
        )
    return report

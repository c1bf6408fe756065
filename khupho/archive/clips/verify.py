"""Whether a clip and its report prove themselves, looked at by somebody who has neither archive nor recorder.

What is proven of a fragment: that the recorder filed it in its log with these bytes, this time and this
camera, before it signed the log's checkpoint. See "Proof" in `docs/design/archive.md` for what that leaves
open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from khupho.archive.clips.order import PlacedFragment, format_problems, order_problems
from khupho.archive.clips.prover import PROOF_VERSION
from khupho.archive.clips.stored_report import ClipReportError, Report, ReportFragment, ReportProof
from khupho.archive.clips.verdict import ClipVerdict
from khupho.archive.place.append_file import read_at
from khupho.archive.proof.bundle import ProofBundleError, bundle_root
from khupho.archive.proof.checkpoint import is_origin_of
from khupho.archive.proof.leaf_record import entry_hash, fragment_entry
from khupho.archive.proof.signed_note import (
    NoteError,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    verify_note,
)
from khupho.archive.segments.facts import (
    SEGMENT_FACTS_BYTES,
    FragmentFacts,
    parse_fragment_facts,
    parse_segment_facts,
)
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import InitSegment, parse_fragment, parse_init
from khupho.units import US_PER_MS, US_PER_S, format_utc, parse_utc

SILENT_JUMP_US = 250 * US_PER_MS
"""So much time between two neighbouring fragments is told."""
_MAX_JUMPS_TOLD = 20
_CHUNK_BYTES = 1 << 20


class _Beginning(NamedTuple):
    """What stands before the first fragment of a segment: `ftyp`, `moov`, segment facts."""

    data: bytes
    init: InitSegment


class _Fragment(NamedTuple):
    """One of the clip's fragments, its header read."""

    placed: PlacedFragment
    facts: FragmentFacts
    header: bytes
    segment: int
    end_utc_us: int
    leaf: bytes


def verify_clip(clip: Path, report: Report, key: VerifierKey | None = None) -> ClipVerdict:
    """Hold a clip against its report, and the report against its proof.

    `key` is the recorder's, got by another way than the report. Raises `ClipReportError` where the clip
    cannot be read.
    """
    verdict = ClipVerdict(fragments=len(report.fragments), key_was_given=key is not None)
    fragments: list[_Fragment] = []
    try:
        file = os.open(clip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _file_itself(file, report, verdict)
            if report.fragments and not all(one.header for one in report.fragments):
                verdict.unproven.append("The clip is too long to be proven in one piece")
                return verdict
            beginnings = _beginnings(report, verdict)
            if not verdict.problems:
                fragments = _fragments(report, beginnings, verdict)
            if not verdict.problems:
                _payloads(file, fragments, verdict)
                if report.form == "fragments":
                    _copied_layout(file, report, beginnings, fragments, verdict)
                else:
                    _progressive_layout(file, clip, beginnings, fragments, verdict)
        finally:
            os.close(file)
    except OSError as error:
        raise ClipReportError(
            f"The clip cannot be read: {error.strerror}", where=str(clip)
        ) from error
    if report.proof is None:
        verdict.unproven.append(
            "The report has no proof: the footage was not in the signed log yet"
        )
    elif not verdict.problems:
        _log(report, report.proof, fragments, key, verdict)
    if fragments:
        _times(report, fragments, verdict)
    return verdict


def _file_itself(file: int, report: Report, verdict: ClipVerdict) -> None:
    digest = hashlib.sha256()
    size = 0
    while chunk := os.pread(file, _CHUNK_BYTES, size):
        digest.update(chunk)
        size += len(chunk)
    if size != report.size_bytes:
        verdict.problems.append(
            f"The clip has {size} bytes, and its report says {report.size_bytes}"
        )
    elif digest.hexdigest() != report.sha256:
        verdict.problems.append("The clip's bytes are not those that its report was made for")


def _beginnings(report: Report, verdict: ClipVerdict) -> list[_Beginning]:
    """The segments' beginnings, each of this camera and archive."""
    made = []
    for number, segment in enumerate(report.segments):
        try:
            data = base64.b64decode(segment.beginning, validate=True)
            facts = parse_segment_facts(data, len(data) - SEGMENT_FACTS_BYTES)
            init = parse_init(data)
            if init.size_bytes != len(data) - SEGMENT_FACTS_BYTES:
                raise ValueError("it has another size")
            if (facts.camera, facts.stream) != (report.camera, report.stream):
                raise ValueError(f"it is of {facts.camera}/{facts.stream}")
            if facts.archive_id.hex() != report.archive:
                raise ValueError("it is of another archive")
        except (BoxError, ValueError) as error:
            verdict.problems.append(
                f"The beginning of segment {number} is not one of ours: {error}"
            )
            return []
        made.append(_Beginning(data, init))
    return made


def _fragments(
    report: Report, beginnings: Sequence[_Beginning], verdict: ClipVerdict
) -> list[_Fragment]:
    """The fragments with their headers; what doesn't agree goes to the verdict."""
    made = []
    for number, one in enumerate(report.fragments):
        try:
            made.append(_fragment(report, beginnings, one))
        except (BoxError, ValueError, IndexError) as error:
            verdict.problems.append(f"The report's fragment {number} is not one of ours: {error}")
            return []
    if not made:
        verdict.problems.append("The report names no fragments")
    return made


def _fragment(report: Report, beginnings: Sequence[_Beginning], one: ReportFragment) -> _Fragment:
    """Raises `BoxError`, `ValueError`, `IndexError`."""
    data = base64.b64decode(one.header, validate=True)
    header = parse_fragment(data)
    facts = parse_fragment_facts(header, data)
    if header.header_size != len(data) or sum(header.sizes) != header.data_size:
        raise ValueError("its header has another size")
    if facts.payload_sha256.hex() != one.sha256:
        raise ValueError("its header tells another hash")
    if header.data_size < one.size or (header.data_size != one.size and not one.part_only):
        raise ValueError("its header tells another size")
    is_whole = header.data_size == one.size
    placed = PlacedFragment(one.offset, one.size, facts.start_utc_us, header, is_whole)
    beginning, init = beginnings[one.segment]
    entry = fragment_entry(report.camera, report.stream, hashlib.sha256(beginning).digest(), data)
    end_us = facts.start_utc_us + header.duration_90k * US_PER_S // init.timescale
    return _Fragment(placed, facts, data, one.segment, end_us, entry_hash(entry))


def _payloads(file: int, fragments: Sequence[_Fragment], verdict: ClipVerdict) -> None:
    """Whether the whole fragments' bytes have the hashes that their headers tell."""
    end = 0
    verdict.whole_fragments = sum(one.placed.is_whole for one in fragments)
    for number, (placed, facts, *_) in enumerate(fragments):
        if placed.offset < end:
            verdict.problems.append(f"Fragment {number} lies over the one before it")
            return
        end = placed.offset + placed.size_bytes
        if placed.is_whole:
            if _sha256(file, placed.offset, placed.size_bytes) != facts.payload_sha256:
                verdict.problems.append(
                    f"The pictures from {format_utc(placed.start_utc_us)} on were changed since they were "
                    "recorded"
                )
        elif _is_inside(fragments, number):
            verdict.problems.append(
                f"In the middle of the clip, at {format_utc(placed.start_utc_us)}, bytes are missing"
            )
        else:
            verdict.unproven.append(
                f"{placed.size_bytes} bytes of the fragment from {format_utc(placed.start_utc_us)} on: a "
                "part cannot be proven without the whole (export with --whole-fragments)"
            )


def _is_inside(fragments: Sequence[_Fragment], number: int) -> bool:
    """Its neighbours are those that it was recorded between: a cut has no reason to take only a part."""
    if not 0 < number < len(fragments) - 1:
        return False
    before, at, after = (
        (one.segment, one.facts.sequence) for one in fragments[number - 1 : number + 2]
    )
    return before == (at[0], at[1] - 1) and after == (at[0], at[1] + 1)


def _sha256(file: int, offset: int, size: int) -> bytes:
    digest = hashlib.sha256()
    while size and (chunk := os.pread(file, min(size, _CHUNK_BYTES), offset)):
        digest.update(chunk)
        offset += len(chunk)
        size -= len(chunk)
    return digest.digest() if not size else b""


def _copied_layout(
    file: int,
    report: Report,
    beginnings: Sequence[_Beginning],
    fragments: Sequence[_Fragment],
    verdict: ClipVerdict,
) -> None:
    """The segment's beginning, then nothing but the fragments, header and payload."""
    beginning = beginnings[fragments[0].segment].data
    if read_at(file, 0, len(beginning)) != beginning:
        verdict.problems.append("The clip's beginning is not as it was recorded")
        return
    at = len(beginning)
    for placed, _, header, segment, _, _ in fragments:
        is_here = placed.offset - len(header) == at and segment == fragments[0].segment
        if not is_here or read_at(file, at, len(header)) != header:
            verdict.problems.append(
                f"Before the pictures of {format_utc(placed.start_utc_us)} the clip isn't as it was recorded"
            )
            return
        at = placed.offset + placed.size_bytes
    if at != report.size_bytes:
        verdict.problems.append("The clip goes on after its last fragment")


def _progressive_layout(
    file: int,
    clip: Path,
    beginnings: Sequence[_Beginning],
    fragments: Sequence[_Fragment],
    verdict: ClipVerdict,
) -> None:
    """The index, made at export, held against the headers and beginnings."""
    first = beginnings[fragments[0].segment].init
    others = {(one.init.timescale, one.init.format.sample_entry) for one in beginnings}
    if others != {(first.timescale, first.format.sample_entry)}:
        verdict.problems.append("The clip joins segments of several formats")
        return
    placed = [one.placed for one in fragments]
    try:
        for one in beginnings:
            verdict.problems += format_problems(file, one.data[: one.init.size_bytes])
    except BoxError as error:
        verdict.problems.append(f"The clip's index cannot be read: {error}")
        return
    verdict.problems += order_problems(clip, placed, first.timescale)
    verdict.unproven.append("How long the clip's first and last picture are shown")


def _log(
    report: Report,
    proof: ReportProof,
    fragments: Sequence[_Fragment],
    key: VerifierKey | None,
    verdict: ClipVerdict,
) -> None:
    """Whether the fragments are leaves of the log that was signed."""
    if proof.version != PROOF_VERSION:
        verdict.problems.append(f"The proof has version {proof.version}; use a newer khupho")
        return
    try:
        if key is None:
            key = VerifierKey.parse(proof.key or "")
        note = parse_note(proof.checkpoint.encode())
        verify_note(note, [key])
        checkpoint = parse_checkpoint(note.text)
        if not is_origin_of(checkpoint.origin, report.archive):
            raise NoteError("The checkpoint is of another archive")
        if len(proof.leaves) != len(fragments) or proof.tree_size != checkpoint.size:
            raise ProofBundleError("The proof and the report don't belong together")
        leaves: dict[int, bytes] = {}
        for place, one in zip(proof.leaves, fragments, strict=True):
            if place is not None and leaves.setdefault(place, one.leaf) != one.leaf:
                raise ProofBundleError("Two fragments have one place in the log")
        nodes = [base64.b64decode(node, validate=True) for node in proof.nodes]
        if bundle_root(leaves, checkpoint.size, nodes) != checkpoint.root:
            raise ProofBundleError(
                "The fragments are not in the log that was signed: they, or the camera's name, were changed"
            )
    except (NoteError, ProofBundleError) as error:
        verdict.problems.append(error.what)
        return
    except (binascii.Error, ValueError) as error:
        verdict.problems.append(f"The proof cannot be read: {error}")
        return
    verdict.signed_by = str(key)
    _tell_proven(proof, fragments, verdict)


def _tell_proven(proof: ReportProof, fragments: Sequence[_Fragment], verdict: ClipVerdict) -> None:
    places = zip(proof.leaves, fragments, strict=True)
    proven = [one.placed for place, one in places if place is not None and one.placed.is_whole]
    verdict.proven_fragments = len(proven)
    if proven:
        size = sum(one.size_bytes for one in proven)
        verdict.proven.append(
            f"{len(proven)} of {len(fragments)} fragments with {size} bytes of footage, from "
            f"{format_utc(proven[0].start_utc_us)} on, are as the recorder filed them in its log"
        )
    missing = proof.leaves.count(None)
    if missing:
        verdict.unproven.append(f"{missing} fragments were not in the signed log yet")
    if not verdict.key_was_given:
        verdict.unproven.append(
            "Whose signature it is: the key comes with the report. Compare it with the recorder's"
        )
    verdict.unproven.append(
        "When the recorder's log was signed, and that the recorder's clock was right: only who keeps "
        "older checkpoints of this log can tell that it wasn't made later"
    )


def _times(report: Report, fragments: Sequence[_Fragment], verdict: ClipVerdict) -> None:
    """Whether the report's times are the fragments', and where time is left out between them."""
    first_us, last_us = fragments[0].placed.start_utc_us, fragments[-1].end_utc_us
    try:
        start_us, end_us = parse_utc(report.start), parse_utc(report.end)
    except (ValueError, OverflowError):
        verdict.problems.append("The report's times cannot be read")
        return
    if not first_us - SILENT_JUMP_US <= start_us < end_us <= last_us + SILENT_JUMP_US:
        verdict.problems.append("The report's times are not those of its fragments")
    jumps = 0
    for one, following in pairwise(fragments):
        begins_us = following.placed.start_utc_us
        jump_us = begins_us - one.end_utc_us
        if jump_us < -SILENT_JUMP_US:
            verdict.problems.append(f"The fragments are not in order at {format_utc(begins_us)}")
        elif jump_us >= SILENT_JUMP_US:
            jumps += 1
            if jumps <= _MAX_JUMPS_TOLD:
                verdict.unproven.append(
                    f"What was between {format_utc(one.end_utc_us)} and {format_utc(begins_us)} "
                    f"({jump_us / US_PER_S:.1f} s): not in this clip"
                )
    if jumps > _MAX_JUMPS_TOLD:
        verdict.unproven.append(f"And {jumps - _MAX_JUMPS_TOLD} more such gaps")

"""After a power cut: the archive opens, recovers, is clean, and lacks no more than it may."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khupho.archive.archive import Archive, ArchiveOptions
from khupho.archive.check.check import check_archive
from khupho.archive.place.identity import RUNNING_NAME
from khupho.archive.retention.plan import DiskRoom
from khupho.archive.segments.reader import SegmentError, WalkedSegment, walk_segment
from khupho.clock import ManualClock
from khupho.units import US_PER_MS, US_PER_S

_ROOM = DiskRoom(1 << 40, 1 << 39)


@dataclass
class Judgement:
    """What all cuts came to."""

    cuts: int = 0
    longest_loss_us: int = 0
    kept_fragments: int = 0
    """Of which the disk had promised to keep them, and they were looked for."""
    losses_us: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        ordered = sorted(self.losses_us) or [0]
        return (
            f"{self.cuts} power cuts, {self.kept_fragments} synced fragments found again; lost per cut and "
            f"stream: median {ordered[len(ordered) // 2] / 1e6:.2f} s, most {ordered[-1] / 1e6:.2f} s"
        )


def walk_all(root: Path) -> dict[str, WalkedSegment]:
    """Every segment below a root that has a whole beginning."""
    found = {}
    for path in sorted(root.glob("*/*/*/*.mp4")):
        with contextlib.suppress(SegmentError):
            name = str(path.relative_to(root))
            found[name] = walk_segment(root, name)
    return found


Footage = dict[tuple[str, str], list[tuple[int, int]]]
"""Of each stream, beginning and end of each fragment."""


def footage_of(walked: dict[str, WalkedSegment]) -> Footage:
    """All that there is."""
    found: Footage = {}
    for one in walked.values():
        segment = one.segment
        spans = found.setdefault((segment.camera, segment.stream), [])
        for fragment in segment.fragments:
            length_us = fragment.header.duration_90k * US_PER_S // segment.timescale
            spans.append((fragment.start_utc_us, fragment.start_utc_us + length_us))
    return found


def other_boot(root: Path) -> None:
    """Let the archive believe that the machine has started anew since."""
    path = root / RUNNING_NAME
    with contextlib.suppress(OSError, ValueError):
        fields = json.loads(path.read_bytes())
        path.write_text(json.dumps(fields | {"boot": "another"}))


def recover(root: Path, key: Ed25519PrivateKey, now_utc_us: int) -> None:
    """Open the archive as a recorder does, let all recovery be done, and end in order."""
    clock = ManualClock(now_utc_us, 1_000_000)
    archive = Archive.open(
        root, key=key, clock=clock,
        options=ArchiveOptions(
            has_thread=False, room=lambda _fd, _percent: _ROOM, synchronised=lambda: True
        ),
    )  # fmt: skip
    try:
        for _ in range(60):
            clock.advance(250 * US_PER_MS)
            archive.keeper.round()
    finally:
        closed = archive.close()
    assert closed


def judge(
    root: Path, promised: Path, written: Path, key: Ed25519PrivateKey, now_utc_us: int,
    judgement: Judgement, *, where: str,
) -> None:  # fmt: skip
    """`root` is what a power cut left; `promised` what was synced; `written` all that was written.

    Raises `AssertionError` unless it recovers clean with all that was promised in place.
    """
    kept = walk_all(promised)
    had = footage_of(walk_all(written))
    other_boot(root)
    recover(root, key, now_utc_us + 20 * US_PER_S)
    report = check_archive(root, deep=True)
    assert report.is_well, (where, [finding.fields() for finding in report.findings[:10]])
    for name, one in kept.items():
        target = root / name
        if not one.segment.fragments:
            continue
        assert target.exists(), (where, f"{name} was synced, and is gone")
        data = (promised / name).read_bytes()[: one.good_bytes]
        assert target.read_bytes()[: one.good_bytes] == data, (where, f"{name} was changed")
        judgement.kept_fragments += len(one.segment.fragments)
    has = footage_of(walk_all(root))
    for stream, spans in had.items():
        last_us = max((end for _begin, end in has.get(stream, ())), default=0)
        # Footage, not time: there is none between two sessions.
        loss_us = sum(max(end - max(begin, last_us), 0) for begin, end in spans)
        judgement.losses_us.append(loss_us)
        judgement.longest_loss_us = max(judgement.longest_loss_us, loss_us)
    judgement.cuts += 1

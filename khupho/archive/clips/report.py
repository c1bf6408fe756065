"""What is said beside an exported clip: what it holds, what it lacks, and why (JSON)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from khupho.archive.clips.cut import MediaJump, SegmentCut, jumps_of
from khupho.archive.segments.gaps import Gap, cause_text
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.media.formats import TrackFormat, VideoFormat
from khupho.units import US_PER_MS, format_utc

REPORT_VERSION = 1
MAX_LISTED = 10_000
"""Of each kind of blemish; their number is told in any case."""


class Loss(NamedTuple):
    """Packets that never came, before this moment."""

    utc_us: int
    packets: int


@dataclass(slots=True)
class Blemishes:
    """What is wrong with the footage of a clip. Lists are cut at `MAX_LISTED`, counts are not."""

    losses: list[Loss] = field(default_factory=list)
    lost_packets: int = 0
    jumps: list[MediaJump] = field(default_factory=list)
    jumped_us: int = 0
    damaged: list[MediaJump] = field(default_factory=list)
    damaged_us: int = 0
    clock_wrong: list[MediaJump] = field(default_factory=list)
    bad_hashes: list[tuple[str, int]] = field(default_factory=list)
    """Segment and offset of fragments whose bytes don't have the hash they were recorded with."""

    def take(self, segment: StoredSegment, cut: SegmentCut) -> None:
        """Add what lies within a cut."""
        chosen = segment.fragments[cut.first_fragment : cut.stop_fragment]
        for fragment in chosen:
            span = _span(segment, fragment)
            if fragment.lost_packets:
                self.lost_packets += fragment.lost_packets
                if len(self.losses) < MAX_LISTED:
                    self.losses.append(Loss(fragment.start_utc_us, fragment.lost_packets))
            if fragment.damaged:
                self.damaged_us += span.end_utc_us - span.start_utc_us
                _append_span(self.damaged, span)
            if fragment.clock_wrong:
                _append_span(self.clock_wrong, span)
        for jump in jumps_of(segment):
            start_us = max(jump.start_utc_us, cut.start_utc_us)
            end_us = min(jump.end_utc_us, cut.end_utc_us)
            if start_us < end_us:
                self.jumped_us += end_us - start_us
                if len(self.jumps) < MAX_LISTED:
                    self.jumps.append(MediaJump(start_us, end_us))

    def fields(self) -> dict[str, object]:
        return {
            "lost_packets": self.lost_packets,
            "losses": [{"at": format_utc(at), "packets": count} for at, count in self.losses],
            "missing_frames_ms": self.jumped_us // US_PER_MS,
            "missing_frames": _spans(self.jumps),
            "damaged_ms": self.damaged_us // US_PER_MS,
            "damaged": _spans(self.damaged),
            "clock_wrong": _spans(self.clock_wrong),
            "changed_since_recorded": [
                {"segment": path, "byte": offset} for path, offset in self.bad_hashes
            ],
        }


def _span(segment: StoredSegment, fragment: StoredFragment) -> MediaJump:
    length_us = fragment.header.duration_90k * 1_000_000 // segment.timescale
    return MediaJump(fragment.start_utc_us, fragment.start_utc_us + length_us)


def _append_span(spans: list[MediaJump], span: MediaJump) -> None:
    """Add a span, joined to the last one where they meet."""
    if spans and span.start_utc_us - spans[-1].end_utc_us <= US_PER_MS:
        spans[-1] = MediaJump(spans[-1].start_utc_us, span.end_utc_us)
    elif len(spans) < MAX_LISTED:
        spans.append(span)


def _spans(spans: Iterable[MediaJump]) -> list[dict[str, str]]:
    return [{"start": format_utc(start), "end": format_utc(end)} for start, end in spans]


def gaps_of(
    cuts: Sequence[SegmentCut], start_utc_us: int, end_utc_us: int, least_us: int
) -> list[Gap]:
    """The parts of a time that no cut covers, with the cause as the segment before it tells."""
    gaps: list[Gap] = []
    now_us = start_utc_us
    cause = "nothing was recorded, or it was deleted"
    for cut in cuts:
        if cut.start_utc_us - now_us > least_us:
            gaps.append(Gap(now_us, cut.start_utc_us, cause))
        now_us = max(now_us, cut.end_utc_us)
        cause = cause_text(cut.cause)
    if end_utc_us - now_us > least_us:
        gaps.append(Gap(now_us, end_utc_us, cause))
    return gaps


def format_fields(track: TrackFormat) -> dict[str, object]:
    """Codec and picture size, or sound."""
    if isinstance(track, VideoFormat):
        return {
            "codec": track.rfc6381,
            "width_px": track.width_px,
            "height_px": track.height_px,
        }
    return {"codec": track.rfc6381, "clock_hz": track.clock_hz, "channels": track.channels}

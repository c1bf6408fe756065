"""Every player's judgement of one file: a list of faults in words, empty if all is well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import player_ffmpeg
import player_vlc
from browsers import RATE, Browser, Seen
from film import nal_type, nal_units

SLACK_S = 0.002
"""Browsers count microseconds, and round."""
BRIDGED_S = 0.13
"""A browser plays across so short a gap, and may not tell of it."""

_RASL = {8, 9}

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a player must make of a file."""

    frames: int
    """Pictures that can be decoded; 0 for sound."""
    ranges: list[Range]
    """What the samples' times cover. A stream with B-frames that was cut off lacks a picture or two before
    its last one."""
    decoding_s: float
    """All samples' durations together: as long as the ranges, except where a picture is lacking."""
    width: int
    height: int
    mime: str
    codec: str

    @property
    def end_s(self) -> float:
        """Of the last picture shown; the first one is mostly shown at 0."""
        return self.ranges[-1][1]


def ranges_of(spans: Iterable[Range]) -> list[Range]:
    """Beginnings and ends put together where they touch."""
    joined: list[Range] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1] + SLACK_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def expected_of(path: Path, rfc6381: str) -> Expected:
    """From the file's own tables, as ffmpeg's demuxer reads them."""
    with av.open(str(path)) as container:
        stream = container.streams[0]
        base = float(stream.time_base or 0)
        packets = [packet for packet in container.demux(stream) if packet.size]
        begins = [(packet.pts or 0) * base for packet in packets]
        ends = [at + (p.duration or 0) * base for at, p in zip(begins, packets, strict=True)]
        is_video = stream.type == "video"
        return Expected(
            len(packets) - _leading_pictures(packets) if is_video else 0,
            ranges_of(zip(begins, ends, strict=True)),
            sum(packet.duration or 0 for packet in packets) * base,
            stream.codec_context.width if is_video else 0,
            stream.codec_context.height if is_video else 0,
            f'{"video" if is_video else "audio"}/mp4; codecs="{rfc6381}"',
            stream.codec_context.name,
        )


def _leading_pictures(packets: list[av.Packet]) -> int:
    """Pictures after a first CRA picture that need what was before it (RASL, ITU-T H.265 section 3)."""
    if packets[0].stream.codec_context.name != "hevc":
        return 0
    for number, packet in enumerate(packets[1:]):
        if {nal_type(nal, "h265") for nal in nal_units(bytes(packet))}.isdisjoint(_RASL):
            return number
    return len(packets) - 1


def faults_in_ffmpeg(path: Path, expected: Expected) -> list[str]:
    """It must be silent, and give each picture."""
    faults = [f"ffmpeg says: {line}" for line in player_ffmpeg.complaints(path)[:5]]
    if expected.frames:
        pictures = player_ffmpeg.shown_pictures(path)
        if pictures != expected.frames:
            faults.append(f"ffmpeg decodes {pictures} pictures of {expected.frames}")
    return faults


def faults_in_vlc(path: Path, least: int, most: int) -> list[str]:
    """It must show each of so many pictures; the one in hand when its output opens it may lose."""
    faults: list[str] = []
    for rate in player_vlc.RATES:
        shown = player_vlc.show(path, rate)
        faults = [f"VLC says: {line}" for line in shown.complaints[:5]]
        if least - 1 <= shown.pictures <= most:
            break
        # What comes too late it drops, which is the machine's fault.
        faults.append(f"VLC shows {shown.pictures} pictures of {least} to {most}")
    return faults


def ways_of(browser: str, expected: Expected) -> tuple[str, ...]:
    """By which ways that browser plays the codec at all: `mse` in one append, `src` as a plain address."""
    if expected.codec in ("pcm_mulaw", "pcm_alaw"):
        return ("src",) if browser == "chromium" else ()
    if expected.codec == "hevc" and browser == "chromium":
        return ()
    return ("mse", "src")


def faults_in_browser(
    browser: Browser, files: Sequence[tuple[Path, Expected]], *, rate: float = RATE
) -> list[str]:
    """Each file by each way that the browser has for its codec."""
    asked = [
        (path, wanted, way, browser.ask(path, way, wanted.mime, bool(wanted.frames), rate))
        for path, wanted in files
        for way in ways_of(browser.name, wanted)
    ]
    return [
        f"{browser.name}, {way}, {path.name}: {fault}"
        for path, wanted, way, future in asked
        for fault in faults_seen(browser.seen(future), wanted)
    ]


def faults_seen(seen: Seen, expected: Expected) -> list[str]:
    """What a browser saw, held against what it should have seen.

    Of a plain address only the length is judged, not the ranges: Firefox reckons them from what lies in its
    cache, and to Chromium a fragmented file's length is rather its samples' durations.
    """
    is_mse = seen.appended is not None
    faults = [seen.error] if seen.error else []
    for name, ranges in (("buffered", seen.buffered), ("appended", seen.appended)):
        if is_mse and not _is_covered(ranges or [], expected.ranges):
            faults.append(f"{name} {ranges} instead of {expected.ranges}")
    begin_s, most_s = expected.ranges[0][0], expected.end_s
    least_s = most_s if is_mse else min(most_s - begin_s, expected.decoding_s)
    if seen.duration_s is None or not _is_between(seen.duration_s, least_s, most_s):
        faults.append(f"duration {seen.duration_s} instead of {most_s:.3f} s")
    if not seen.ended or not _is_between(seen.current_s, least_s, most_s):
        faults.append(f"stopped at {seen.current_s} s of {most_s:.3f}")
    if sorted(seen.times) != seen.times or len(set(seen.times)) < 2:
        faults.append(f"the time doesn't advance: {seen.times}")
    if (seen.width, seen.height) != (expected.width, expected.height):
        faults.append(f"{seen.width}x{seen.height} instead of {expected.width}x{expected.height}")
    if seen.frames != expected.frames or seen.corrupted:
        faults.append(f"{seen.frames} pictures, {seen.corrupted} corrupted, of {expected.frames}")
    return faults


def _is_between(seen_s: float, least_s: float, most_s: float) -> bool:
    return least_s - SLACK_S <= seen_s <= most_s + SLACK_S


def _is_covered(seen: Sequence[Sequence[float]], wanted: Sequence[Range]) -> bool:
    """Whether a browser has exactly what there is, except that it may bridge a short gap."""
    # Firefox tells overlapping ranges where a file begins with a CRA picture.
    seen_edges = [edge for one in ranges_of((one[0], one[1]) for one in seen) for edge in one]
    edges = [edge for one in wanted for edge in one]
    for end, begin in zip(edges[1:-1:2], edges[2::2], strict=True):
        is_told = any(abs(edge - end) <= SLACK_S for edge in seen_edges)
        if not is_told and begin - end <= BRIDGED_S:
            edges = [edge for edge in edges if edge not in (end, begin)]
    return len(seen_edges) == len(edges) and all(
        abs(a - b) <= SLACK_S for a, b in zip(seen_edges, edges, strict=True)
    )

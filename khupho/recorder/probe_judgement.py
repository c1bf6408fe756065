"""What a camera's test means: would it be recorded, and what is worth mending. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from khupho.recorder.probe import ProbeFacts
from khupho.units import US_PER_MS, US_PER_S

_RATE_OFF = 0.1
_LONG_KEY_INTERVAL_US = 5 * US_PER_S
_SLOW_FPS = 5
_HIGH_BITS_PER_S = 12_000_000
_LOW_BITS_PER_S_AND_PIXEL = 0.2
_JITTERY_US = 60 * US_PER_MS
_CLOCK_OFF_US = 2 * US_PER_S
_DRIFTING_PPM = 200
_LATE_PICTURE_US = 6 * US_PER_S


class Weight(Enum):
    """How much a finding matters."""

    PREVENTS = "prevents recording"
    WEAK = "weak"
    NOTE = "note"


class ProbeFinding(NamedTuple):
    """One thing worth saying."""

    weight: Weight
    what: str
    advice: str


def judge_probe(facts: ProbeFacts, asked_us: int) -> list[ProbeFinding]:
    """Most grave first. A camera would be recorded unless one of them prevents it."""
    found = [*_preventing(facts, asked_us), *_of_the_way(facts), *_of_the_clock(facts)]
    if facts.frames:
        found += [*_of_the_stream(facts), *_of_keys(facts)]
    found += _of_the_password(facts)
    order = list(Weight)
    return sorted(found, key=lambda finding: order.index(finding.weight))


def would_record(findings: list[ProbeFinding]) -> bool:
    """Whether nothing prevents it."""
    return all(finding.weight is not Weight.PREVENTS for finding in findings)


def _preventing(facts: ProbeFacts, asked_us: int) -> list[ProbeFinding]:
    found = []
    if facts.ended is not None:
        seconds = facts.lasted_us / US_PER_S
        text = f"The session ended by itself after {seconds:.1f} s: {facts.ended.what}"
        weight = Weight.WEAK if facts.frames else Weight.PREVENTS
        found.append(ProbeFinding(weight, text, facts.ended.advice))
    if facts.frames or facts.ended is not None:
        return found
    if facts.packets:
        what = f"{facts.packets} packets came, but no whole picture in {asked_us // US_PER_S} s"
        advice = "Its key frames may be far apart: test longer (--seconds 60), or set them closer"
    else:
        what = "The camera plays, but sends nothing"
        advice = "Look whether its channel has a source; try --transport udp, or restart it"
    return [ProbeFinding(Weight.PREVENTS, what, advice)]


def _of_the_stream(facts: ProbeFacts) -> list[ProbeFinding]:
    found = []
    declared = facts.declared_fps
    if declared and facts.fps and abs(declared - facts.fps) > _RATE_OFF * declared:
        found.append(
            ProbeFinding(
                Weight.NOTE,
                f"It declares {declared:g} frames a second and sends {facts.fps:.1f}",
                "No matter for recording, which counts by the camera's clock; "
                "in poor light many cameras slow down",
            )
        )
    if 0 < facts.fps < _SLOW_FPS:
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"Only {facts.fps:.1f} frames a second",
                "Set 10 to 25: quick movements are lost between the pictures",
            )
        )
    if facts.bits_per_s > _HIGH_BITS_PER_S:
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"{facts.bits_per_s / 1e6:.1f} Mbit/s fill {facts.bits_per_s / 8e9 * 86_400:.0f} GB a day",
                "Lower its bit rate, or use H.265; 4 Mbit/s suffice for 1080p",
            )
        )
    pixels = facts.width_px * facts.height_px
    if pixels and facts.bits_per_s < _LOW_BITS_PER_S_AND_PIXEL * pixels:
        found.append(
            ProbeFinding(
                Weight.NOTE,
                f"{facts.bits_per_s / 1e3:.0f} kbit/s are little for {facts.width_px} x {facts.height_px}",
                "Look at the picture when something moves; if it blurs, raise the bit rate",
            )
        )
    if facts.has_b_frames:
        found.append(
            ProbeFinding(
                Weight.NOTE,
                "It uses B-frames",
                "They save little here and delay the live view; switch them off if you can",
            )
        )
    return found


def _of_keys(facts: ProbeFacts) -> list[ProbeFinding]:
    found = []
    interval_us = facts.key_interval_us
    if interval_us is None and facts.lasted_us > 2 * _LONG_KEY_INTERVAL_US:
        interval_us = facts.lasted_us
    if interval_us is not None and interval_us > _LONG_KEY_INTERVAL_US:
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"A key frame comes only every {interval_us / US_PER_S:.0f} s or more",
                "Set the I-frame interval to 2 s (twice the frame rate) and switch smart codecs off "
                "(H.264+, Smart H.265): after a loss the picture stays broken until the next one",
            )
        )
    if facts.first_picture_us is not None and facts.first_picture_us > _LATE_PICTURE_US:
        found.append(
            ProbeFinding(
                Weight.NOTE,
                f"The first picture took {facts.first_picture_us / US_PER_S:.1f} s",
                "So much is lost at each reconnect",
            )
        )
    return found


def _of_the_way(facts: ProbeFacts) -> list[ProbeFinding]:
    found = []
    if facts.lost_packets:
        share = 100 * facts.lost_packets / (facts.packets + facts.lost_packets)
        over_udp = facts.transport == "udp"
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"{facts.lost_packets} packets were lost ({share:.2f} %)",
                "Use --transport tcp if the camera can; look at cable and Wi-Fi"
                if over_udp
                else "The camera drops them itself: lower its bit rate, or end other viewers",
            )
        )
    if facts.transport == "udp" and facts.jitter_us > _JITTERY_US:
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"Packets arrive unevenly, by {facts.jitter_us // US_PER_MS} ms",
                "The network is busy or wireless; use a cable",
            )
        )
    return found


def _of_the_clock(facts: ProbeFacts) -> list[ProbeFinding]:
    found = []
    if facts.drift_us is not None and abs(facts.drift_us) > _CLOCK_OFF_US:
        side = "ahead of" if facts.drift_us > 0 else "behind"
        found.append(
            ProbeFinding(
                Weight.WEAK,
                f"Its clock is {_span(abs(facts.drift_us))} {side} this machine's",
                "Footage is dated by the recorder, so that is right; but the time shown in the picture "
                "is not. Give the camera a time server (NTP)",
            )
        )
    if facts.drift_ppm is not None and abs(facts.drift_ppm) > _DRIFTING_PPM:
        found.append(
            ProbeFinding(
                Weight.NOTE,
                f"Its media clock runs wrong by {facts.drift_ppm:.0f} ppm",
                "The recorder evens that out",
            )
        )
    return found


def _of_the_password(facts: ProbeFacts) -> list[ProbeFinding]:
    if not facts.sign_in:
        return [
            ProbeFinding(
                Weight.WEAK,
                "It shows its picture to anybody, without a password",
                "Set one in the camera, then: khupho camera add … --replace",
            )
        ]
    if facts.sign_in.lower().startswith("basic"):
        return [
            ProbeFinding(
                Weight.NOTE,
                "Its password goes over the network readable (Basic)",
                "Set its RTSP sign-in to Digest",
            )
        ]
    return []


def _span(us: int) -> str:
    seconds = us // US_PER_S
    if seconds < 120:
        return f"{us / US_PER_S:.1f} s"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600} h {seconds // 60 % 60} min"
    return f"{seconds // 86_400} days"

"""What the simulated cameras sent against what lies in the archive, frame by frame.

Every picture of the test clip has other bytes, so each recorded sample tells which picture it is; and a
camera's pictures are numbered from when it was switched on, through all sessions.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from khupho.archive.segments.reader import walk_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.city.clip import Clip
from khupho.city.truth import SessionTruth
from khupho.media import h264
from khupho.units import US_PER_S

MOST_WRONG_US = 1_500_000
"""By how much footage time and the camera's own may disagree within a session."""
SLICES = (h264.NAL_SLICE, h264.NAL_IDR)
NOTHING: Mapping[int, Collection[int]] = {}


class Expected(NamedTuple):
    """One picture that a camera sent in a session."""

    number: int
    digest: bytes
    pts_90k: int
    is_key: bool
    lost: tuple[int, ...]
    """Sequence numbers of its packets that never arrived."""
    loses_picture: bool
    """A packet with a part of the picture is among them, not only parameter sets."""


class Recorded(NamedTuple):
    """One sample that lies in the archive."""

    path: str
    fragment: int
    digest: bytes
    start_utc_us: int
    duration_us: int
    is_key: bool
    starts_fragment: bool
    lost_before: int
    """Lost packets that its fragment declares, where it is the fragment's first sample."""
    damaged: bool


class Missing(NamedTuple):
    """Consecutive pictures that are not in the archive."""

    first_number: int
    pictures: int
    whole: int
    """Of these should have been kept: see `kept_of`."""


@dataclass
class Comparison:
    """A session's pictures against the archive's."""

    sent: int
    recorded: int
    missing: list[Missing] = field(default_factory=list)
    """Between the first and the last recorded picture."""
    head: int = 0
    """Whole pictures before the first recorded one."""
    tail: int = 0
    """Pictures after the last recorded one."""
    lost_packets: int = 0
    """Never arrived, between the first and the last recorded picture."""
    declared_lost: int = 0
    """What the fragments' facts say of that."""
    first: Expected | None = None
    last: Expected | None = None

    @property
    def whole_missing(self) -> int:
        """Pictures that arrived whole and were not recorded, though later ones were."""
        return sum(gap.whole for gap in self.missing)

    def tail_us(self, frame_us: int = 40_000) -> int:
        """How much footage is missing at the end."""
        return self.tail * frame_us


class Digests:
    """The bytes of each of a clip's pictures as they must lie in the archive."""

    def __init__(self, clip: Clip) -> None:
        self.by_unit: list[bytes] = []
        for unit in clip.units:
            hasher = sha256()
            for nal in unit.nals:
                # A lost packet of SEI would leave a picture that is whole, and has other bytes.
                assert nal[0] & 0x1F in SLICES, "the clip has more than slices"
                hasher.update(len(nal).to_bytes(4, "big") + nal)
            self.by_unit.append(hasher.digest())
        assert len(set(self.by_unit)) == len(self.by_unit), "the clip shows a picture twice"


def expected_of(
    truth: SessionTruth, digests: Digests, dropped: Mapping[int, Collection[int]] = NOTHING
) -> list[Expected]:
    """What a session sent. `dropped`: by SSRC, unwrapped sequence numbers lost on the way."""
    gone = set(dropped.get(truth.ssrc, ()))
    made = []
    tracks = {id(run.track): run.track for run in truth.runs}
    assert len(tracks) <= 1, "one clip a session"
    track = next(iter(tracks.values()), None)
    for unit in truth.units():
        numbers = range(unit.first_sequence, unit.first_sequence + unit.packets)
        lost = tuple(sorted({*unit.lost, *(n for n in numbers if n in gone)}))
        assert track is not None
        sets = unit.first_sequence + track.parameter_set_packets[unit.clip_unit]
        made.append(
            Expected(
                unit.number, digests.by_unit[unit.clip_unit], unit.pts_90k, unit.is_key, lost,
                any(number >= sets for number in lost),
            )
        )  # fmt: skip
    return made


def stored_segments(root: Path, camera: str, stream: str = "main") -> list[StoredSegment]:
    """All segments of a stream, in order."""
    directory = root / camera / stream
    paths = sorted(path for path in directory.glob("*/*.mp4")) if directory.is_dir() else []
    return [walk_segment(root, str(path.relative_to(root))).segment for path in paths]


def recorded_in(root: Path, segments: Iterable[StoredSegment]) -> list[Recorded]:
    """Every sample of these segments."""
    found: list[Recorded] = []
    for segment in segments:
        file = os.open(root / segment.relative_path, os.O_RDONLY)
        try:
            for n, fragment in enumerate(segment.fragments):
                header = fragment.header
                data = os.pread(file, header.data_size, fragment.offset + header.data_offset)
                at = elapsed = 0
                for k, (size, duration) in enumerate(
                    zip(header.sizes, header.durations, strict=True)
                ):
                    found.append(
                        Recorded(
                            segment.relative_path, n, sha256(data[at : at + size]).digest(),
                            fragment.start_utc_us + elapsed * US_PER_S // segment.timescale,
                            duration * US_PER_S // segment.timescale,
                            header.is_key[k], k == 0, 0 if k else fragment.lost_packets,
                            fragment.damaged,
                        )
                    )  # fmt: skip
                    at += size
                    elapsed += duration
        finally:
            os.close(file)
    return found


def kept_of(expected: list[Expected]) -> list[bool]:
    """Which pictures are to be kept: after a loss all up to the next key frame are dropped (quirk 28), since
    no decoder could show them. (Unless no key frame comes for 10 s, which no test here lets happen.)"""
    kept = []
    is_waiting = False
    for one in expected:
        if one.lost:
            is_waiting = True
        if one.is_key and not one.loses_picture:
            is_waiting = False
        kept.append(not is_waiting)
    return kept


def compare(expected: list[Expected], recorded: list[Recorded]) -> Comparison:
    """Lay the recorded pictures along the sent ones. Raises `AssertionError` for a picture that was
    not sent, stands in the wrong place, should have been dropped, or was recorded twice."""
    result = Comparison(len(expected), len(recorded))
    kept = kept_of(expected)
    places: dict[bytes, list[int]] = {}
    for place, one in enumerate(expected):
        places.setdefault(one.digest, []).append(place)
    at = -1
    begin_us = 0
    for one in recorded:
        later = [place for place in places.get(one.digest, ()) if place > at]
        assert later, (
            f"{one.path} fragment {one.fragment}: a picture that was not sent, or not then"
        )
        if at < 0:
            place = later[0]
            begin_us = one.start_utc_us - expected[place].pts_90k * 100 // 9
        else:
            # The clip goes round: which round it is, the time tells.
            own_us = one.start_utc_us - begin_us
            place = min(later, key=lambda n: abs(expected[n].pts_90k * 100 // 9 - own_us))
            wrong_us = abs(expected[place].pts_90k * 100 // 9 - own_us)
            assert wrong_us < MOST_WRONG_US, (
                f"{one.path}: a picture {wrong_us / 1e6:.1f} s off its time"
            )
        assert expected[place].is_key == one.is_key, one
        assert kept[place], f"{one.path} fragment {one.fragment}: a picture to be dropped"
        if at < 0:
            result.head = sum(kept[:place])
            result.first = expected[place]
        else:
            result.declared_lost += one.lost_before
            if place > at + 1:
                whole = sum(kept[at + 1 : place])
                first_number = expected[at + 1].number
                result.missing.append(Missing(first_number, place - at - 1, whole))
            result.lost_packets += sum(len(e.lost) for e in expected[at + 1 : place])
            result.lost_packets += len(expected[place].lost)
        at = place
    if at >= 0:
        result.last = expected[at]
    result.tail = len(expected) - at - 1
    return result


def segments_of_session(
    segments: list[StoredSegment], truths: list[SessionTruth], n: int
) -> list[StoredSegment]:
    """Those that began in session `n`: from its PLAY to that of the next."""
    begin_us = truths[n].started_utc_us
    end_us = truths[n + 1].started_utc_us if n + 1 < len(truths) else 1 << 62
    return [segment for segment in segments if begin_us <= segment.start_utc_us < end_us]

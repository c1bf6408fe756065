"""Cameras that nobody here wrote, recorded through a kill of the recorder: nothing is lost but what the
kill may cost, nothing is invented, and every segment plays everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from cameras.foreign_camera import CameraKind
from cameras.street import KINDS
from comparison import Comparison, compare
from evening import Evening
from film import FRAME_90K, Film
from footage import RecordedSegment, read_segment_file, segment_paths
from players import expected_of
from verdicts import PLAYERS, Verdicts, files_of

from khupho.archive.events import CloseCause
from khupho.archive.segments.reader import read_segment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

KILL_COSTS_S = 1.0
"""What a kill of the process may cost (docs/design/archive.md, promise 2)."""
STOP_COSTS_S = 0.5
"""At a stop in order only what was on the wire."""
FLOWS_AGAIN_S = 6.0
"""After a start: the call, and the wait for a key frame."""
every_camera = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def main_segments(evening: Evening, kind: CameraKind) -> list[RecordedSegment]:
    return [read_segment_file(path) for path in segment_paths(evening.archive, kind.name, "main")]


def source_of(evening: Evening, kind: CameraKind, segment: RecordedSegment) -> Film:
    """The film that a segment's pictures come from."""
    wanted = {unit.digest for unit in segment.units}
    return max(
        evening.sent[kind.name],
        key=lambda film: sum(unit.digest in wanted for unit in film.units),
    )


def compared(evening: Evening, kind: CameraKind, segment: RecordedSegment) -> Comparison:
    source = source_of(evening, kind, segment)
    return compare(source.units, segment.units, slack_90k=kind.pts_slack_90k)


def end_utc_s(path: Path, segment: RecordedSegment) -> float:
    return segment.start_utc_s + expected_of(path, "").decoding_s


@every_camera
def test_pictures_are_those_that_were_sent(evening: Evening, kind: CameraKind):
    segments = main_segments(evening, kind)
    assert len(segments) == 2, "one before the kill, one after"
    for segment in segments:
        result = compared(evening, kind, segment)
        assert result.faults == []
        assert segment.units[0].is_key
        assert segment.parameter_sets == source_of(evening, kind, segment).parameter_sets


@every_camera
def test_kill_and_stop_cost_no_more_than_promised(evening: Evening, kind: CameraKind):
    first, second = main_segments(evening, kind)
    until_kill, until_stop = end_utc_s(first.path, first), end_utc_s(second.path, second)
    assert first.start_utc_s - evening.started_s < FLOWS_AGAIN_S
    assert -0.15 < evening.killed_s - until_kill <= KILL_COSTS_S
    assert second.start_utc_s - evening.restarted_s < FLOWS_AGAIN_S
    # Until the signal reaches it, it goes on.
    assert -1.0 < evening.stopped_s - until_stop <= STOP_COSTS_S


@every_camera
def test_the_time_told_is_the_time_that_passed(evening: Evening, kind: CameraKind):
    """A live camera's film went on during the kill: its pictures are a clock that nobody here set."""
    if not kind.is_live:
        pytest.skip("begins its film anew for each session")
    first, second = main_segments(evening, kind)
    before, after = compared(evening, kind, first), compared(evening, kind, second)
    passed_s = second.start_utc_s - end_utc_s(first.path, first)
    shown_s = (after.first - before.last - 1) * FRAME_90K / 90_000
    assert passed_s == pytest.approx(shown_s, abs=0.15)


@every_camera
def test_sound_is_that_which_was_sent(evening: Evening, kind: CameraKind):
    paths = segment_paths(evening.archive, kind.name, "audio")
    assert len(paths) == (2 if kind.audio else 0)
    [film] = evening.sent[kind.name][:1]
    for path, video in zip(paths, main_segments(evening, kind), strict=False):
        segment = read_segment_file(path)
        if kind.audio == "aac":
            result = compare(film.audio, segment.units, slack_90k=kind.pts_slack_90k + 1)
            assert result.faults == []
        else:
            assert len(segment.sound) > 8_000
            assert segment.sound in film.audio_bytes
        ends_s = end_utc_s(path, segment), end_utc_s(video.path, video)
        assert ends_s[0] == pytest.approx(ends_s[1], abs=KILL_COSTS_S)


@every_camera
def test_segments_tell_why_they_ended(evening: Evening, kind: CameraKind):
    for stream in ("main", "audio"):
        paths = segment_paths(evening.archive, kind.name, stream)
        stored = [
            read_segment(evening.archive, str(path.relative_to(evening.archive))) for path in paths
        ]
        assert [segment.cause for segment in stored] == [
            CloseCause.RECOVERED, CloseCause.STOPPED,
        ][: len(stored)]  # fmt: skip
        lost = [part.lost_packets for segment in stored for part in segment.fragments]
        assert sum(lost) == 0


@every_camera
def test_segments_begin_at_zero(evening: Evening, kind: CameraKind):
    """The edit list hides the lead of reordered pictures."""
    assert {expected.ranges[0][0] for _, expected in files_of(evening, kind)} == {0.0}


@every_camera
@pytest.mark.parametrize("player", PLAYERS)
def test_every_segment_plays_in(player: str, kind: CameraKind, verdicts: Verdicts):
    assert verdicts.faults(player, kind) == []


def test_the_archive_is_whole(evening: Evening):
    assert evening.exit_code == 0, evening.recorder.said()[-3000:]
    code, found, complaint = evening.recorder.run("archive", "check", "--deep")
    assert code == 0, (found, complaint)

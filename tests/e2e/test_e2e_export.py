"""Clips across the recorder's kill: taken from footage of foreign cameras, played by everybody, proven."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import player_vlc
import pytest
from browsers import Browser, Seen
from cameras.foreign_camera import CameraKind
from cameras.street import KINDS
from comparison import best_source, compare
from evening import Evening
from film import FRAME_90K
from footage import read_clip, segment_paths
from player_ffmpeg import complaints, shown_pictures
from players import expected_of, faults_in_browser, faults_in_ffmpeg, faults_in_vlc, ways_of

from khupho.media.fmp4 import parse_init

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BEFORE_KILL_S, AFTER_START_S = 4.0, 3.0
FRAME_S = FRAME_90K / 90_000
every_camera = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
some_cameras = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if kind.name.split("-")[0] != "aio"][1::2],
    ids=lambda kind: kind.name,
)


def moment(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat()


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def export(evening: Evening, kind: CameraKind, directory: Path, *options: str) -> dict[str, Any]:
    """What the command tells of a clip from before the kill to after the start."""
    second = evening.starts_s[kind.name][1]
    code, told, complaint = evening.recorder.run(
        "archive", "export", kind.name, "--from", moment(evening.killed_s - BEFORE_KILL_S),
        "--to", moment(second + AFTER_START_S), "--out", str(directory / "clip.mp4"), *options,
    )  # fmt: skip
    assert code == 0, complaint
    assert [gap["cause"] for gap in told["gaps"]] == ["the recorder was killed or lost power"]
    [gap] = told["gaps"]
    assert evening.killed_s - 1.0 <= seconds(gap["start"]) <= evening.killed_s + 0.1
    assert seconds(gap["end"]) == pytest.approx(second, abs=0.002)
    assert all(part["proven"] for part in told["files"])
    result: dict[str, Any] = told
    return result


def faults_of_clip(seen: Seen, least: int, most: int, length_s: float) -> list[str]:
    """A browser may play from the key frame on, before the clip's first picture; never less than that."""
    faults = [seen.error] if seen.error else []
    if not least <= seen.frames <= most or seen.corrupted:
        faults.append(f"{seen.frames} pictures, {seen.corrupted} corrupted, of {least} to {most}")
    if not seen.ended or not length_s - FRAME_S <= seen.current_s:
        faults.append(f"stopped at {seen.current_s} of {length_s}")
    return faults


@every_camera
def test_two_files_around_the_kill(
    evening: Evening, kind: CameraKind, tmp_path: Path, browser_of: Callable[[str], Browser]
):
    told = export(evening, kind, tmp_path)
    assert len(told["files"]) == 2
    sources = [film.units for film in evening.sent[kind.name]]
    for part in told["files"]:
        path = Path(part["file"])
        assert part["frames"] >= 0.9 * AFTER_START_S / FRAME_S
        assert (part["lost_packets"], part["changed_since_recorded"]) == (0, 0)
        clip = read_clip(path)
        result = compare(best_source(sources, clip.units), clip.units, slack_90k=kind.pts_slack_90k)
        assert result.faults == []
        assert clip.parameter_sets == evening.sent[kind.name][0].parameter_sets
        assert complaints(path) == []
        assert shown_pictures(path) == part["frames"]
        if player_vlc.is_here():
            # It shows pictures that an edit list leaves out, too.
            assert faults_in_vlc(path, part["frames"], len(clip.units)) == []
        expected = expected_of(path, "")
        length_s = seconds(part["end"]) - seconds(part["start"])
        for name in ("chromium", "firefox"):
            if "src" in ways_of(name, expected):
                seen = browser_of(name).play(path, "src", expected.mime)
                assert faults_of_clip(seen, part["frames"], len(clip.units), length_s) == [], name


@some_cameras
def test_one_file_over_the_kill(
    evening: Evening, kind: CameraKind, tmp_path: Path, browser_of: Callable[[str], Browser]
):
    told = export(evening, kind, tmp_path, "--joined")
    [part] = told["files"]
    path = Path(part["file"])
    assert complaints(path) == []
    # Before the gap a picture or two are shown whose predecessors were lost with the kill.
    assert 0 <= shown_pictures(path) - part["frames"] <= (2 if "-b-" in kind.name else 0)
    expected = expected_of(path, "")
    length_s = seconds(part["end"]) - seconds(part["start"])
    for name in ("chromium", "firefox"):
        if "src" in ways_of(name, expected):
            seen = browser_of(name).play(path, "src", expected.mime)
            assert faults_of_clip(seen, part["frames"], expected.frames, length_s) == [], name


@pytest.mark.torture
@some_cameras
def test_whole_fragments_play_like_segments(
    evening: Evening, kind: CameraKind, tmp_path: Path, browser_of: Callable[[str], Browser]
):
    told = export(evening, kind, tmp_path, "--whole-fragments")
    paths = [Path(part["file"]) for part in told["files"]]
    assert len(paths) == len(segment_paths(evening.archive, kind.name, "main"))
    files = [
        (path, expected_of(path, parse_init(path.read_bytes()).format.rfc6381)) for path in paths
    ]
    for (path, expected), part in zip(files, told["files"], strict=True):
        assert 0 <= part["frames"] - expected.frames <= (3 if "h265-b" in kind.name else 0)
        assert faults_in_ffmpeg(path, expected) == []
    for name in ("chromium", "firefox"):
        assert faults_in_browser(browser_of(name), files) == []


@some_cameras
def test_clips_prove_themselves(evening: Evening, kind: CameraKind, tmp_path: Path):
    told = export(evening, kind, tmp_path)
    for part in told["files"]:
        path = Path(part["file"])
        code, found, complaint = evening.recorder.run_plain("archive", "verify", str(path))
        assert (code, found["proven"]) == (0, True), complaint
        data = bytearray(path.read_bytes())
        data[-500] ^= 1
        path.write_bytes(data)
        code, found, _ = evening.recorder.run_plain("archive", "verify", str(path))
        assert (code, found["proven"]) == (1, False)

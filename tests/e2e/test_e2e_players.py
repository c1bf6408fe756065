"""The players themselves: they are content with a good file, and each tells what it can of a broken one."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import player_vlc
import pytest
from browsers import Browser, Seen
from film import film
from players import (
    Expected,
    expected_of,
    faults_in_browser,
    faults_in_ffmpeg,
    faults_in_vlc,
    faults_seen,
)

pytestmark = pytest.mark.e2e

FRAMES = 150
RFC6381 = {"h264-b": "avc1.640016", "h265-b": "hvc1.1.6.L63.90"}
needs_vlc = pytest.mark.skipif(not player_vlc.is_here(), reason="VLC is not installed")


@pytest.fixture(scope="module", params=list(RFC6381))
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fragments of two seconds, by ffmpeg's own muxer."""
    path = tmp_path_factory.mktemp("good") / f"{request.param}.mp4"
    source = film(request.param, seconds=8).path
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(source), "-frames:v", str(FRAMES), "-c", "copy", "-movflags",
         "+frag_keyframe+delay_moov+default_base_moof", str(path)],
        check=True, timeout=60,
    )  # fmt: skip
    return path


def expected(path: Path) -> Expected:
    return expected_of(path, RFC6381[path.stem])


def fragments(data: bytes) -> list[tuple[int, int]]:
    """Begin and end of each `moof mdat`."""
    found, offset, begin = [], 0, 0
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        if kind == b"moof":
            begin = offset
        elif kind == b"mdat":
            found.append((begin, offset + size))
        offset += size
    return found


def spoil(
    path: Path, directory: Path, how: Callable[[bytearray, list[tuple[int, int]]], None]
) -> Path:
    data = bytearray(path.read_bytes())
    how(data, fragments(data))
    spoiled = directory / path.name
    spoiled.write_bytes(data)
    return spoiled


def without_the_second(data: bytearray, parts: list[tuple[int, int]]) -> None:
    del data[parts[1][0] : parts[1][1]]


def second_slice_spoiled(data: bytearray, parts: list[tuple[int, int]]) -> None:
    at = data.index(b"mdat", parts[1][0]) + 1_000
    data[at : at + 400] = b"\xa5" * 400


def second_decode_time_back(data: bytearray, parts: list[tuple[int, int]]) -> None:
    at = data.index(b"tfdt", parts[1][0]) + 8
    data[at : at + 8] = bytes(8)


@pytest.mark.parametrize(
    ("seen", "is_covered"),
    [
        ([[0, 5.9], [6, 6.1]], True),
        ([[0, 6.1]], True),
        ([[0, 6.1], [8, 9]], False),
        ([[0, 5.9]], False),
        ([[0.04, 6.1]], False),
        ([[0, 3], [3.04, 6.1]], False),
        ([[0, 6.14]], False),
        ([], False),
    ],
)
def test_what_a_browser_has_is_held_against_what_there_is(
    seen: list[list[float]], is_covered: bool
):
    wanted = Expected(150, [(0, 5.9), (6, 6.1)], 6.0, 640, 360, "", "h264")
    looked = Seen("", seen, seen, 6.1, 6.1, True, [1.0, 6.1], 640, 360, 150, dropped=0, corrupted=0)
    assert (faults_seen(looked, wanted) == []) == is_covered


def test_every_player_is_content(good: Path, browser_of: Callable[[str], Browser]):
    wanted = expected(good)
    assert (wanted.frames, wanted.width) == (FRAMES, 640)
    assert faults_in_ffmpeg(good, wanted) == []
    assert faults_in_browser(browser_of("firefox"), [(good, wanted)]) == []
    assert faults_in_browser(browser_of("chromium"), [(good, wanted)]) == []


@needs_vlc
def test_vlc_is_content(good: Path):
    assert faults_in_vlc(good, FRAMES, FRAMES) == []


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_browsers_see_a_gap(
    name: str, good: Path, tmp_path: Path, browser_of: Callable[[str], Browser]
):
    if name == "chromium" and "h265" in good.name:
        pytest.skip("Chromium plays no H.265 here")
    gappy = spoil(good, tmp_path, without_the_second)
    seen = browser_of(name).play(gappy, "mse", expected(good).mime)
    assert seen.appended is not None
    assert len(seen.appended) == 2, "ranges of what is there, not one over all"
    assert faults_seen(seen, expected(good))


@needs_vlc
def test_vlc_shows_what_is_left(good: Path, tmp_path: Path):
    gappy = spoil(good, tmp_path, without_the_second)
    assert player_vlc.show(gappy).pictures <= expected(good).frames - 48


def test_ffmpeg_tells_spoiled_slices(good: Path, tmp_path: Path):
    assert faults_in_ffmpeg(spoil(good, tmp_path, second_slice_spoiled), expected(good))


def test_ffmpeg_tells_times_that_go_back(good: Path, tmp_path: Path):
    faults = faults_in_ffmpeg(spoil(good, tmp_path, second_decode_time_back), expected(good))
    assert any("monoton" in fault for fault in faults)

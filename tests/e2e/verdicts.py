"""Every player's verdict on every segment of an evening."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from browsers import Browser
from cameras.foreign_camera import CameraKind
from evening import Evening
from footage import segment_paths
from players import Expected, expected_of, faults_in_browser, faults_in_ffmpeg, faults_in_vlc

from khupho.media.fmp4 import parse_init

PLAYERS = ("ffmpeg", "vlc", "chromium", "firefox")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Asked for once, told one by one."""

    evening: Evening
    browsers: dict[str, Browser]
    futures: dict[tuple[str, str], Future[list[str]]]
    """By player and camera."""

    def begin(self, executor: Executor) -> None:
        for kind in self.evening.kinds:
            for player in PLAYERS:
                look = partial(self._look, player, kind)
                self.futures[player, kind.name] = executor.submit(look)

    def faults(self, player: str, kind: CameraKind) -> list[str]:
        """What that player found wrong with that camera's segments."""
        return self.futures[player, kind.name].result()

    def _look(self, player: str, kind: CameraKind) -> list[str]:
        files = files_of(self.evening, kind)
        if player in self.browsers:
            return faults_in_browser(self.browsers[player], files)
        return [
            f"{path}: {fault}"
            for path, expected in files
            for fault in _faults_of_program(player, path, expected)
        ]


def _faults_of_program(player: str, path: Path, expected: Expected) -> list[str]:
    if player == "ffmpeg":
        return faults_in_ffmpeg(path, expected)
    if not expected.frames:
        return []
    return faults_in_vlc(path, expected.frames, expected.frames)


def files_of(evening: Evening, kind: CameraKind) -> list[tuple[Path, Expected]]:
    """A camera's segments, of pictures and sound."""
    paths = [
        path
        for stream in ("main", "audio")
        for path in segment_paths(evening.archive, kind.name, stream)
    ]
    return [
        (path, expected_of(path, parse_init(path.read_bytes()).format.rfc6381)) for path in paths
    ]

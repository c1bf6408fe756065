"""One evening on the street: every foreign camera is recorded, the recorder is killed in the midst and
started again, and stopped in order at the end."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cameras.foreign_camera import CameraKind, ForeignCamera
from evening_recorder import RecorderProcess
from film import Film
from footage import segment_paths, start_utc_s

FILM_SLACK_S = 60
"""Films are longer than the evening: programs take a while to start."""


@dataclass(slots=True)
class Evening:
    """What was done, and when (seconds since the epoch)."""

    recorder: RecorderProcess
    kinds: tuple[CameraKind, ...]
    started_s: float = 0.0
    killed_s: float = 0.0
    restarted_s: float = 0.0
    stopped_s: float = 0.0
    exit_code: int = -1
    sent: dict[str, list[Film]] = field(default_factory=dict)
    """By camera."""

    @property
    def archive(self) -> Path:
        return self.recorder.archive

    @property
    def starts_s(self) -> dict[str, list[float]]:
        """When each segment of a camera's main stream begins."""
        return {
            kind.name: [
                start_utc_s(path) for path in segment_paths(self.archive, kind.name, "main")
            ]
            for kind in self.kinds
        }


def spend_evening(kinds: tuple[CameraKind, ...], data: Path, seconds: int) -> Evening:
    """Half of `seconds` before the kill, half after it, each from when all pictures flow."""
    recorder = RecorderProcess(data)
    evening = Evening(recorder, kinds)
    with ExitStack() as street:
        cameras: dict[str, ForeignCamera] = {}
        for kind in kinds:
            camera = cameras[kind.name] = street.enter_context(kind.start(seconds + FILM_SLACK_S))
            recorder.add(kind, camera)
        try:
            evening.started_s = time.time()
            recorder.start()
            recorder.until_all_flow(len(kinds))
            time.sleep(seconds / 2)
            evening.killed_s = recorder.kill()
            evening.restarted_s = time.time()
            recorder.start()
            recorder.until_all_flow(len(kinds))
            time.sleep(seconds / 2)
            evening.stopped_s = time.time()
        finally:
            evening.exit_code = recorder.stop()
        evening.sent = {name: camera.sent() for name, camera in cameras.items()}
    return evening

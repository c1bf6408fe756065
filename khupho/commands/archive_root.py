"""Where a recorder's footage lies, and which camera is meant: what all archive commands need."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from khupho.commands.terminal import existing_data
from khupho.errors import Fault, KhuphoError
from khupho.recorder.camera_store import CAMERAS_NAME, load_cameras
from khupho.recorder.settings import load_settings

STREAMS = ("main", "sub", "audio")


class NoSuchCameraError(KhuphoError):
    """Nobody knows that camera."""

    fault = Fault.USER


def archive_root(data: Path, as_json: bool) -> Path:
    """The archive's directory of a data directory. Raises `SettingsError`."""
    existing = existing_data(data, as_json)
    return load_settings(existing).archive_path(existing)


def find_camera(wanted: str, data: Path, with_footage: Iterable[str]) -> str:
    """The id of a camera by its id or display name. One off the list counts as long as it has footage.

    Raises `NoSuchCameraError`, `CameraStoreError`.
    """
    known = set(with_footage)
    listed = load_cameras(data / CAMERAS_NAME)
    ids = {camera.id for camera in listed} | known
    if wanted in ids:
        return wanted
    named = [camera.id for camera in listed if camera.name == wanted]
    if len(named) == 1:
        return named[0]
    raise NoSuchCameraError(
        f"There is no camera {wanted!r}, and no footage of one",
        advice="Known: " + ", ".join(sorted(ids)[:20]) if ids else "Nothing was recorded yet",
    )

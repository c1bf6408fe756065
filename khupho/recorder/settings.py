"""The recorder's few settings: `settings.json` in the data directory.

What can be measured or derived is not a setting. Version 1 is one flat object; a key that is left out
has its default, an unknown one is refused rather than lost on the next write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from khupho.durable_file import replace_file
from khupho.errors import Fault, KhuphoError

SETTINGS_NAME = "settings.json"
VERSION = 1
_MAX_FILE_BYTES = 1 << 20

MEANINGS: dict[str, str] = {
    "archive": "Where footage lies; empty: the directory `archive` beside the settings. "
    "May be another disk. Taken up at the next start",
    "flush_interval_s": "Seconds of footage that a power cut may cost, 1 to 60; "
    "shorter wears a small disk more",
    "free_space_percent": "Part of the archive's disk that is kept free, 1 to 50",
}
"""What each setting means: shown by `khupho settings show` and in the reference."""


class SettingsError(KhuphoError):
    """The settings cannot be read, or a value is not possible."""

    fault = Fault.USER


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings with their defaults."""

    version: int = VERSION
    archive: str = ""
    flush_interval_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    free_space_percent: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5

    def archive_path(self, data: Path) -> Path:
        """Where footage lies. A relative path counts from the data directory."""
        return data / (self.archive or "archive")


class _Version(msgspec.Struct):
    version: int = VERSION


def load_settings(data: Path) -> Settings:
    """Read the settings of a data directory; none yet means the defaults. Raises `SettingsError`."""
    path = data / SETTINGS_NAME
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError("The settings are too large to be settings", where=str(path))
        raw = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise _disk_error(error, path) from error
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        if version != VERSION:
            raise SettingsError(
                f"The settings have version {version}; this program knows {VERSION}",
                where=str(path),
                advice="Run the newer khupho that wrote them",
            )
        return msgspec.json.decode(raw, type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The settings cannot be read: {error}",
            where=str(path),
            advice="Mend the file by hand, or remove it to have the defaults back",
        ) from error


def change_setting(data: Path, name: str, value: str) -> Settings:
    """Set one setting from its text. Raises `SettingsError` for an unknown one or a bad value."""
    if name not in MEANINGS:
        raise SettingsError(f"There is no setting {name!r}", advice="Known: " + ", ".join(MEANINGS))
    wanted = msgspec.structs.asdict(load_settings(data))
    wanted[name] = value
    try:
        settings = msgspec.convert(wanted, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{value!r} is not possible for {name}: {error}", advice=MEANINGS[name]
        ) from error
    write_settings(data, settings)
    return settings


def write_settings(data: Path, settings: Settings) -> None:
    """Put the settings in place, whole. Raises `SettingsError`."""
    text = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    path = data / SETTINGS_NAME
    try:
        replace_file(path, text)
    except OSError as error:
        raise _disk_error(error, path) from error


def _disk_error(error: OSError, path: Path) -> SettingsError:
    return SettingsError(
        f"The settings cannot be used: {error.strerror}",
        where=str(path),
        advice="Check the data directory, its owner and the disk",
        fault=Fault.DISK,
    )

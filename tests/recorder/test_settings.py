"""The few settings: defaults, changes, refusals."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from khupho.recorder.settings import (
    MEANINGS,
    Settings,
    SettingsError,
    change_setting,
    load_settings,
)


def test_defaults_and_where_footage_lies(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings == Settings()
    assert settings.archive_path(tmp_path) == tmp_path / "archive"


def test_change_is_kept_and_private(tmp_path: Path) -> None:
    change_setting(tmp_path, "flush_interval_s", "5")
    change_setting(tmp_path, "archive", "/mnt/footage")
    settings = load_settings(tmp_path)
    assert settings.flush_interval_s == 5
    assert settings.archive_path(tmp_path) == Path("/mnt/footage")
    assert (tmp_path / "settings.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "value"),
    [("flush_interval_s", "0"), ("flush_interval_s", "soon"), ("free_space_percent", "51"),
     ("version", "1"), ("colour", "red")],
)  # fmt: skip
def test_impossible_changes_write_nothing(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        change_setting(tmp_path, name, value)
    assert not (tmp_path / "settings.json").exists()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"version": 9}', b'{"colour": 1}', b"\xff"])
def test_spoiled_files_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(raw)
    with pytest.raises(SettingsError):
        load_settings(tmp_path)


def test_every_setting_has_its_meaning() -> None:
    assert set(MEANINGS) | {"version"} == set(msgspec.structs.asdict(Settings()))

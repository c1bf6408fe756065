"""The command line, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from khupho.cli import cli


def test_a_camera_is_added_listed_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KHUPHO_CAMERA_USER", "chief")
    monkeypatch.setenv("KHUPHO_CAMERA_PASSWORD", "s3cret-word")
    run = CliRunner().invoke
    data = ["--data", str(tmp_path)]
    added = run(cli, ["camera", "add", "gate", "rtsp://127.0.0.1/a", *data])
    assert added.exit_code == 0, added.output
    listed = run(cli, ["camera", "list", "--json", *data])
    [camera] = json.loads(listed.output)
    assert (camera["id"], camera["main"], camera["has_login"]) == (
        "gate",
        "rtsp://127.0.0.1/a",
        True,
    )
    assert "s3cret-word" not in added.output + listed.output
    assert run(cli, ["camera", "remove", "gate", "--yes", *data]).exit_code == 0
    assert json.loads(run(cli, ["camera", "list", "--json", *data]).output) == []


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(cli, ["nonsense"]).exit_code == 2

"""What every command promises: help, JSON, exit codes, no password shown, a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from khupho.cli import cli, main

URL = "rtsp://admin:hunter2@10.0.0.9:554/Streaming/Channels/101"


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KHUPHO_DATA", str(tmp_path / "d"))
    for name in ("KHUPHO_CAMERA_USER", "KHUPHO_CAMERA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "d"


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = (*path, name)
        found += every_command(command, here) if isinstance(command, click.Group) else [here]
    return found


@pytest.mark.parametrize("path", every_command(cli), ids=" ".join)
def test_help_has_an_example_and_json(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*path, "--help") == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert "--json" in text


def test_the_password_is_never_shown(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "add", "Cổng chính", URL, "--days", "60") == 0
    assert run("camera", "list") == 0
    assert run("camera", "list", "--json") == 0
    assert run("camera", "add", "Cổng chính", URL) == 1
    output = capsys.readouterr()
    assert "cong-chinh" in output.out
    assert "hunter2" not in output.out + output.err
    assert "hunter2" not in (data / "cameras.json").read_text()
    assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("data")
def test_days_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run("camera", "add", "gate", URL, "--days", "7", "--max-days", "14")
    capsys.readouterr()
    run("camera", "list", "--json")
    (camera,) = json.loads(capsys.readouterr().out)
    assert (camera["guaranteed_days"], camera["maximum_days"]) == (7, 14)
    assert camera["audio"] is False


@pytest.mark.usefixtures("data")
def test_problems_exit_with_1_and_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "list") == 1
    assert "khupho camera add" in capsys.readouterr().err
    assert run("camera", "add", "x", "http://10.0.0.9/") == 1
    run("camera", "add", "x", "rtsp://10.0.0.9/")
    capsys.readouterr()
    assert run("camera", "add", "x", "rtsp://10.0.0.9/", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["fault"] == "user"


@pytest.mark.usefixtures("data")
def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("camera", "add", "x") == 2
    assert run("kamera") == 2
    assert "Known: archive, camera" in capsys.readouterr().err
    assert run("settings", "set", "colour", "red") == 2


def test_cancelling_exits_with_130_and_removes_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("camera", "add", "gate", URL)

    def interrupted(*_args: object, **_kwargs: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(click, "confirm", interrupted)
    assert run("camera", "remove", "gate") == 130
    assert "gate" in (data / "cameras.json").read_text()


@pytest.mark.usefixtures("data")
def test_disable_enable_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    run("camera", "add", "gate", URL)
    assert run("camera", "disable", "gate") == 0
    run("camera", "list")
    assert "switched off" in capsys.readouterr().out
    assert run("camera", "enable", "gate") == 0
    run("camera", "list")
    assert "switched off" not in capsys.readouterr().out
    assert run("settings", "set", "flush_interval_s", "5") == 0
    capsys.readouterr()
    assert run("settings", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["flush_interval_s"] == 5


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom khupho.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'av', 'apsw', 'cryptography', 'litestar', 'msgspec', 'uvicorn'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"

"""`khupho camera test`, as a person types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from khupho.city.city import CityPlan
from khupho.city.encoding import clip_of_file
from khupho.city.in_thread import CityThread, running_city
from khupho.city.login import LoginScheme
from khupho.cli import cli


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CityThread]:

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    command = [
        "ffmpeg", "-v", "error", "-f", "lavfi", "-t", "2", "-i", "testsrc2=size=320x240:rate=25",
        "-pix_fmt", "yuv420p", "-g", "12", "-bf", "0", "-c:v", "libx264", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    plan = CityPlan(
        clip_of_file(path), 2, port=0, login=LoginScheme.DIGEST, user="admin", password="s3cret"
    )
    with running_city(plan) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KHUPHO_DATA", str(tmp_path / "data"))
    for name in ("KHUPHO_CAMERA_USER", "KHUPHO_CAMERA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def with_login(city: CityThread, login: str) -> str:
    return city.url().replace("rtsp://", f"rtsp://{login}@")


def test_a_good_camera_in_words_and_json(city: CityThread) -> None:
    url = with_login(city, "admin:s3cret")
    done = CliRunner().invoke(cli, ["camera", "test", url, "--seconds", "2"])
    assert done.exit_code == 0, done.output
    assert "H264" in done.output
    assert "320 x 240" in done.output
    assert "It would be recorded." in done.output
    as_json = CliRunner().invoke(cli, ["camera", "test", url, "--seconds", "2", "--json"])
    told = json.loads(as_json.output)
    assert told["records"] is True
    assert told["sign_in"] == "Digest MD5"
    assert "s3cret" not in done.output + as_json.output


def test_the_password_may_come_from_the_environment_or_the_list(
    city: CityThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KHUPHO_CAMERA_USER", "admin")
    monkeypatch.setenv("KHUPHO_CAMERA_PASSWORD", "s3cret")
    run = CliRunner().invoke
    assert run(cli, ["camera", "test", city.url(), "--seconds", "2"]).exit_code == 0
    assert run(cli, ["camera", "add", "gate", city.url()]).exit_code == 0
    monkeypatch.delenv("KHUPHO_CAMERA_USER")
    monkeypatch.delenv("KHUPHO_CAMERA_PASSWORD")
    done = run(cli, ["camera", "test", "gate", "--seconds", "2", "--transport", "udp", "--json"])
    assert json.loads(done.output)["transport"] == "udp"


def test_what_would_not_be_recorded_exits_with_1(city: CityThread) -> None:
    wrong = with_login(city, "admin:wr0ng")
    refused = CliRunner().invoke(cli, ["camera", "test", wrong, "--seconds", "2", "--json"])
    assert refused.exit_code == 1
    assert json.loads(refused.output)["error"]["fault"] == "credentials"
    assert "wr0ng" not in refused.output
    nobody = CliRunner().invoke(cli, ["camera", "test", "rtsp://127.0.0.1:1/x"])
    assert nobody.exit_code == 1
    assert "nothing listens" in nobody.output
    city.fault("camera-0002:stall=0")
    silent = city.url(2).replace("rtsp://", "rtsp://admin:s3cret@")
    done = CliRunner().invoke(cli, ["camera", "test", silent, "--seconds", "2"])
    assert done.exit_code == 1
    assert "sends nothing" in done.output
    assert "NOT" in done.output


def test_wrong_usage(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(cli, ["camera", "test"]).exit_code == 2
    assert run(cli, ["camera", "test", "rtsp://127.0.0.1/x", "--sub"]).exit_code == 2
    assert run(cli, ["camera", "test", "http://127.0.0.1/x"]).exit_code == 1
    assert run(cli, ["camera", "test", "nobody"]).exit_code == 1

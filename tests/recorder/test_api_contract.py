"""The published contract, tried with made-up requests by a program that nobody here wrote (schemathesis)."""

from __future__ import annotations

import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from recorder_api import Person
from recorder_process import recorder
from recorder_street import street

from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.secrets import load_sealer

SETTINGS = """
[parameters]
"path.camera" = "c1"
"path.stream" = "main"
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDS_THE_SESSION = "sign-out|sessions|accounts/|me/password"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("is_signed_in", [True, False], ids=["the owner", "a stranger"])
def test_whatever_is_asked_is_answered_as_documented(
    clip_file,  # type: ignore[no-untyped-def]  # a function
    tmp_path: Path,
    is_signed_in: bool,
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    with street(clip_file(), "--count", "1") as city:
        store = CameraStore(data, load_sealer(data))
        store.add(NewCamera("Cổng", part_url(city.url(1)), id="c1"), time.time_ns() // 1000)
        with recorder(data) as running:
            owner = Person(running.url)
            owner.set_up(running.ready["set_up_url"])
            running.until(lambda: running.records("c1", frames=50))
            headers = ["-H", f"Origin: {owner.origin}"]
            if is_signed_in:
                headers += ["-H", f"Cookie: {owner.cookie()}"]
            command = [
                Path(sysconfig.get_path("scripts")) / "schemathesis", "--config-file", settings,
                "run", f"{owner.origin}/api/v1/openapi.json", *headers, "--checks", CHECKS,
                "--max-examples", "25", "--phases", "coverage,fuzzing", "--seed", "1",
                "--exclude-path-regex", ENDS_THE_SESSION, "--no-color",
            ]  # fmt: skip
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=200, cwd=tmp_path, check=False
            )
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
            assert " 0 generated" not in done.stdout
            # It recorded on meanwhile, and still knows its owner.
            assert owner.json("/api/v1/me")["person"]["role"] == "owner"
            frames = running.camera("c1")["streams"][0]["frames"]
            running.until(lambda: running.records("c1", frames=frames + 25))
    log = (data.parent / "recorder.log").read_text()
    assert "met a bug" not in log
    assert "Traceback" not in log

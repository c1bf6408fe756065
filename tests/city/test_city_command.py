import json
import signal
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from khupho.city.command import city
from khupho.city.faults import FaultKind

PROGRAM = [sys.executable, "-c", "from khupho.city.command import city; city()"]


def test_help_names_every_fault():
    done = CliRunner().invoke(city, ["cameras", "--help"])
    assert done.exit_code == 0
    for kind in FaultKind:
        assert f"  {kind.value} " in done.output


@pytest.mark.parametrize(
    "arguments",
    [["--fault", "x"], ["--listen", "8554"], ["--count", "0"], ["--no-tcp", "--no-udp"],
     ["--video", "/does/not/exist.mp4"], ["--control", "here:port"]],
)  # fmt: skip
def test_wrong_usage(arguments):
    done = CliRunner().invoke(city, ["cameras", *arguments])
    assert done.exit_code == 2
    assert "Error" in done.output


def test_fault_without_a_city():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        done = CliRunner().invoke(city, ["fault", "*:clear", "--control", address])
    assert done.exit_code == 1
    assert "No city answers" in done.output


def test_the_program_runs_is_steered_and_ends(clip_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        control = f"127.0.0.1:{sock.getsockname()[1]}"
    program = subprocess.Popen(
        [*PROGRAM, "cameras", "--count", "2", "--video", str(clip_path("h264")),
         "--listen", "127.0.0.1:0", "--control", control],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = [program.stderr.readline(), program.stderr.readline()]
        assert lines[0].startswith("rtsp://127.0.0.1:")
        assert "320 x 240 h264" in lines[0]
        assert control in lines[1]
        done = CliRunner().invoke(city, ["fault", "camera-*:stall=1", "--control", control])
        assert done.output == '{"cameras": ["camera-0001", "camera-0002"]}\n'
        done = CliRunner().invoke(city, ["fault", "nobody:stall=1", "--control", control])
        assert done.exit_code == 1
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
    finally:
        program.kill()
        program.wait()
        program.stderr.close()


def test_control_is_for_this_machine_only(clip_path):
    done = subprocess.run(
        [*PROGRAM, "cameras", "--video", str(clip_path("h264")), "--listen", "127.0.0.1:0",
         "--control", "192.0.2.1:0"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "this machine only" in done.stderr


def test_json_lines_tell_the_addresses_and_the_state(clip_path):
    program = subprocess.Popen(
        [*PROGRAM, "cameras", "--count", "3", "--video", str(clip_path("h264")),
         "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        start = json.loads(program.stdout.readline())
        assert start["event"] == "start"
        assert start["address"] == start["first"].replace("camera-0001", "camera-NNNN")
        assert start["last"].endswith("/camera-0003")
        assert (start["codec"], start["width_px"], start["height_px"]) == ("h264", 320, 240)
        done = CliRunner().invoke(
            city, ["fault", "camera-0002:stall=1", "--json", "--control", start["control"]]
        )
        assert json.loads(done.output) == {"cameras": ["camera-0002"]}
        program.send_signal(signal.SIGINT)
        state = json.loads(program.stdout.readline())
        assert (state["event"], state["cameras"], state["playing"]) == ("state", 3, 0)
        assert program.wait(10) == 0
    finally:
        program.kill()
        program.wait()
        program.stdout.close()

"""Programs that nobody here wrote play the simulated cameras across a loop, without a complaint."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from khupho.city.city import CityPlan
from khupho.city.in_thread import running_city
from khupho.city.login import LoginScheme

pytestmark = pytest.mark.e2e

OF_EVERY_CAMERA = "Timestamps are unset in a packet for stream 0."
"""ffmpeg 5.1 says so of the first packet of any RTSP source, gst-rtsp-server's too, and gives it the
second one's time."""


def ffmpeg_packets(url: str, transport: str, seconds: str = "1.6"):
    """(pts, size, is key) of each packet, in 90 kHz ticks; fails on the slightest complaint."""
    done = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-xerror",
         "-rtsp_transport", transport, "-i", url, "-t", seconds, "-c", "copy",
         "-f", "framecrc", "-"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if OF_EVERY_CAMERA not in line]
    assert not complaints
    lines = [line.split(",") for line in done.stdout.splitlines() if line[:1] == "0"]
    return [(int(f[2]), int(f[4]), "F=0x0" not in ",".join(f[6:7])) for f in lines]


@pytest.mark.parametrize("name", ["h264", "h265"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_across_a_loop(clip, name, transport):
    video = clip(name, seconds="0.96")
    plan = CityPlan(video=video, port=0, login=LoginScheme.DIGEST, user="admin", password="geheim")
    with running_city(plan) as city:
        packets = ffmpeg_packets(city.url().replace("//", "//admin:geheim@"), transport)
        truth = city.call(lambda c: c.truths("camera-0001")[-1])
        sent = list(truth.units())
    assert 36 <= len(packets) <= 42
    assert all(b[0] - a[0] == 3600 for a, b in pairwise(packets[1:])), "to the tick, over the loop"
    first = sent[0].clip_unit
    assert first + len(packets) > 24, "a loop was in it"
    assert packets[0][2]
    for number, (_pts, size, _key) in enumerate(packets):
        unit = video.units[(first + number) % 24]
        sets = video.format.parameter_sets if unit.is_key else ()
        bare = sum(4 + len(nal) for nal in (*sets, *unit.nals))
        # ffmpeg's H.264 muxing writes start codes of 3 or 4 bytes.
        assert abs(size - bare) <= len(unit.nals) + len(sets)


@pytest.mark.parametrize("login", [LoginScheme.BASIC, LoginScheme.DIGEST])
def test_ffmpeg_is_refused_with_a_wrong_password(clip, login):
    plan = CityPlan(video=clip("h264"), port=0, login=login, user="admin", password="geheim")
    with running_city(plan) as city:
        url = city.url().replace("//", "//admin:falsch@")
        done = subprocess.run(
            ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", url, "-f", "null", "-"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert "401" in done.stderr
    assert done.returncode


def test_ffmpeg_sees_lost_packets(clip):
    with running_city(CityPlan(video=clip("h264"), port=0)) as city:
        city.fault("*:drop=0.05")
        done = subprocess.run(
            ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "verbose", "-rtsp_transport",
             "udp", "-i", city.url(), "-t", "2", "-c", "copy", "-f", "null", "-"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        truth = city.call(lambda c: c.truths("camera-0001")[-1])
    assert sum(map(len, truth.lost.values()))
    assert "RTP: missed" in done.stderr


GSTREAMER = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch(
    "rtspsrc location=" + sys.argv[1] + " protocols=tcp ! rtph264depay ! h264parse ! avdec_h264"
    " ! identity eos-after=60 ! fakesink"
)
pipeline.set_state(Gst.State.PLAYING)
kinds = Gst.MessageType.ERROR | Gst.MessageType.WARNING | Gst.MessageType.EOS
message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, kinds)
print(message.type.first_value_nick if message else "nothing")
pipeline.set_state(Gst.State.NULL)
"""


def test_gstreamer_decodes_it(clip):
    system_python = "/usr/bin/python3"
    probe = "import gi; gi.require_version('Gst', '1.0')"
    if (
        not Path(system_python).exists()
        or subprocess.run(
            [system_python, "-c", probe], capture_output=True, check=False, timeout=20
        ).returncode
    ):
        pytest.skip("GStreamer's Python bindings are not on this machine")
    with running_city(CityPlan(video=clip("h264"), port=0)) as city:
        done = subprocess.run(
            [system_python, "-c", GSTREAMER, city.url()],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        truth = city.call(lambda c: c.truths("camera-0001")[-1])
    assert done.stdout.strip() == "eos", done.stderr
    assert truth.unit_count >= 60

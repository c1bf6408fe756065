"""The kernel's own loss: the recorder in a network namespace, behind a link that drops at random."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ground_truth import Digests, compare, expected_of, recorded_in, stored_segments
from station import Station, assert_clean, wait_until

from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import running_city

CAMERAS = 4
HERE, THERE = "10.213.77.1", "10.213.77.2"
LOSS_PERCENT = 3
RULES = """
table inet torture {
  chain incoming {
    type filter hook input priority 0;
    %s
  }
}
"""
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).read().decode())"
IS_RTP = "udp dport 1024-65535 @th,72,8 & 0x7f == 96"
"""Datagrams whose second byte, less the marker, is the cameras' payload type (RFC 3550 section 5.1)."""


def run(*words: str, given: str = "") -> str:
    done = subprocess.run(
        words, input=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@contextmanager
def namespace() -> Iterator[str]:
    """A namespace of our own, linked to this one; its name."""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("needs root, ip and nft")
    name = f"khupho-{os.getpid()}"
    outside = f"kh{os.getpid() % 100_000}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    try:
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "inside", "netns", name)
        run("ip", "addr", "add", f"{HERE}/24", "dev", outside)
        run("ip", "link", "set", outside, "up")
        for words in (
            ("addr", "add", f"{THERE}/24", "dev", "inside"),
            ("link", "set", "inside", "up"),
            ("link", "set", "lo", "up"),
        ):
            run("ip", "-n", name, *words)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", outside], capture_output=True, check=False)


def nft(name: str, given: str) -> None:
    run("ip", "netns", "exec", name, "nft", "-f", "-", given=given)


def dropped(name: str) -> int:
    """What the rule's counter says."""
    told = json.loads(
        run("ip", "netns", "exec", name, "nft", "-j", "list", "table", "inet", "torture")
    )
    return sum(
        part["counter"]["packets"]
        for one in told["nftables"]
        for part in one.get("rule", {}).get("expr", [])
        if "counter" in part
    )


class StationThere(Station):
    """A recorder that runs in the namespace, and is asked through it."""

    def __init__(self, data: Path, name: str) -> None:
        super().__init__(data, flush_s=2)
        self.prefix = ("ip", "netns", "exec", name)

    def status(self) -> dict:
        words = (sys.executable, "-c", FETCH, f"{self.url}/api/v1/status")
        return json.loads(run(*self.prefix, *words))


def play(tmp_path: Path, clip, transport: str, rule: str, seconds: float) -> tuple[int, list]:
    """How many packets the kernel dropped, and the comparison of each camera."""
    digests = Digests(clip)
    with namespace() as name:
        plan = CityPlan(clip, count=CAMERAS, host=HERE, port=0)
        with running_city(plan) as city:
            station = StationThere(tmp_path / "data", name)
            names = [camera_name(n) for n in range(1, CAMERAS + 1)]
            station.add_cameras(
                {camera: city.url(n) for n, camera in enumerate(names, 1)}, transport=transport
            )
            try:
                station.start()
                wait_until(lambda: set(station.phases().values()) == {"playing"}, "all play")
                time.sleep(4)
                nft(name, RULES % rule)
                time.sleep(seconds)
                count = dropped(name)
                nft(name, "delete table inet torture\n")
                time.sleep(4)
                assert station.stop() == 0, station.log_tail()
                assert_clean(station.check())
                found = []
                for camera in names:
                    truths = city.call(lambda running, camera=camera: running.truths(camera))
                    assert len(truths) == 1, f"{camera} was called {len(truths)} times"
                    recorded = recorded_in(station.root, stored_segments(station.root, camera))
                    found.append((expected_of(truths[0], digests), recorded))
                return count, found
            finally:
                station.close()


def test_datagrams_lost_by_the_kernel(tmp_path, torture_clip):
    """Every one is declared, and no more pictures are missing than were hit, with those that need them."""
    rule = f"{IS_RTP} numgen random mod 100 < {LOSS_PERCENT} counter drop"
    count, found = play(tmp_path, torture_clip, "udp", rule, 8)
    assert count > 10
    declared = sum(one.lost_before for _expected, recorded in found for one in recorded)
    print(f"{count} datagrams dropped by nftables, {declared} declared as lost")
    assert declared == count


@pytest.mark.torture
@pytest.mark.parametrize("percent", [2, 5])
def test_lost_segments_of_tcp_lose_nothing(tmp_path, torture_clip, percent):
    """TCP sends them again; the recorder only gets them later."""
    rule = f"tcp sport != 22 numgen random mod 100 < {percent} counter drop"
    count, found = play(tmp_path, torture_clip, "tcp", rule, 8)
    assert count > 5
    for expected, recorded in found:
        comparison = compare(expected, recorded)
        assert comparison.whole_missing == 0
        assert comparison.declared_lost == 0

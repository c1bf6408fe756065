"""A network that loses, delays, disorders, doubles, stalls, breaks: what is missing is known to the frame."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from ground_truth import (
    Comparison,
    Digests,
    compare,
    expected_of,
    recorded_in,
    segments_of_session,
    stored_segments,
)
from relay import RelayThread, running_relay
from station import Station, assert_clean, wait_until

from khupho.city.city import CityPlan, camera_name
from khupho.city.in_thread import CityThread, running_city
from khupho.units import parse_utc

CAMERAS = 3
FRAME_US = 40_000
SETTLE_S = 3.0


@dataclass
class Scene:
    """What happens on the way, and what may come of it."""

    name: str
    transport: str
    act: Callable[[RelayThread, CityThread], None]
    sessions: int = 1
    """That each camera must have had."""
    loses: bool = False
    """Packets are lost."""
    may_skip: bool = False
    """Pictures may be missing that no packet was lost of: datagrams out of any order count as lost."""
    extra: dict[str, float] = field(default_factory=dict)


def rules_for(seconds: float, **rules: float) -> Callable[[RelayThread, CityThread], None]:
    """Have these rules for so long, then none."""

    def act(relay: RelayThread, _city: CityThread) -> None:
        relay.rules(**rules)
        time.sleep(seconds)
        relay.rules()

    return act


def flag_for(seconds: float, name: str) -> Callable[[RelayThread, CityThread], None]:
    """Have this set for so long."""

    def act(relay: RelayThread, _city: CityThread) -> None:
        relay.call(lambda running: setattr(running, name, True))
        time.sleep(seconds)
        relay.call(lambda running: setattr(running, name, False))

    return act


def reset(relay: RelayThread, _city: CityThread) -> None:
    assert relay.call(lambda running: running.reset()) == CAMERAS


def vanish(relay: RelayThread, city: CityThread) -> None:
    """Cameras lose their power behind a network that tells nobody."""
    relay.call(lambda running: setattr(running, "is_half_open", True))
    city.fault("camera-*:half-open=4")
    time.sleep(15)
    relay.call(lambda running: setattr(running, "is_half_open", False))


SCENES = {
    scene.name: scene
    for scene in (
        Scene("nothing", "tcp", rules_for(3)),
        Scene("loss over TCP", "tcp", rules_for(8, drop=0.03), loses=True),
        Scene("loss over UDP", "udp", rules_for(8, drop=0.03), loses=True),
        Scene("heavy loss over UDP", "udp", rules_for(6, drop=0.3), loses=True),
        Scene("bursts over UDP", "udp", rules_for(0.5, drop_next=40), loses=True),
        Scene("disorder", "udp", rules_for(8, swap=0.2)),
        Scene("doubles over UDP", "udp", rules_for(8, double=0.2)),
        Scene("disorder, doubles and loss", "udp",
              rules_for(10, swap=0.1, double=0.1, drop=0.05), loses=True),
        Scene("jitter over TCP", "tcp", rules_for(8, delay_s=0.1, jitter_s=0.2)),
        Scene("jitter over UDP", "udp", rules_for(8, delay_s=0.05, jitter_s=0.01)),
        Scene("a stall of 6 s over TCP", "tcp", flag_for(6, "is_stalled")),
        Scene("a stall of 4 s over UDP", "udp", flag_for(4, "is_stalled"), loses=True),
        Scene("resets", "tcp", reset, sessions=2),
        Scene("half open for 15 s", "tcp", flag_for(15, "is_half_open"), sessions=2),
        Scene("cameras gone without a word", "tcp", vanish, sessions=2),
    )
}  # fmt: skip
SHORT = ("loss over UDP", "disorder, doubles and loss")
"""The others judge delays too, and want a machine of their own."""


@dataclass
class Found:
    """What was recorded of one camera."""

    sessions: int
    comparisons: list[Comparison]
    gaps_us: list[int]
    """As `archive list` tells them."""

    @property
    def between_us(self) -> list[int]:
        """Footage missing between sessions, as the pictures' numbers tell."""
        missing = []
        for a, b in pairwise(self.comparisons):
            if a.last is not None and b.first is not None:
                missing.append((b.first.number - a.last.number - 1) * FRAME_US)
        return missing


def look(station: Station, city: CityThread, relay: RelayThread, digests: Digests) -> list[Found]:
    """Compare every camera's archive to what was sent and dropped."""
    dropped = relay.dropped()
    listed = {one["camera"]: one for one in json.loads(station.list_footage())}
    found = []
    for n in range(1, CAMERAS + 1):
        name = camera_name(n)
        truths = city.call(lambda running, name=name: running.truths(name))
        truths = [truth for truth in truths if truth.unit_count]
        segments = stored_segments(station.root, name)
        comparisons = [
            compare(
                expected_of(truth, digests, dropped),
                recorded_in(station.root, segments_of_session(segments, truths, k)),
            )
            for k, truth in enumerate(truths)
        ]
        gaps = [parse_utc(g["end"]) - parse_utc(g["start"]) for g in listed[name]["gaps"]]
        found.append(Found(len(truths), comparisons, gaps))
    return found


def play(tmp_path, clip, scene: Scene) -> list[Found]:
    digests = Digests(clip)
    with (
        running_city(CityPlan(clip, count=CAMERAS, port=0, session_timeout_s=10)) as city,
        running_relay(("127.0.0.1", city.city.port), seed=3) as relay,
    ):
        station = Station(tmp_path / "data", flush_s=2)
        names = [camera_name(n) for n in range(1, CAMERAS + 1)]
        station.add_cameras(
            {name: relay.url(city.url(n)) for n, name in enumerate(names, 1)},
            transport=scene.transport,
        )
        try:
            station.start()
            wait_until(lambda: set(station.phases().values()) == {"playing"}, "all play")
            time.sleep(SETTLE_S)
            scene.act(relay, city)
            wait_until(lambda: set(station.phases().values()) == {"playing"}, "all play again", 60)
            time.sleep(SETTLE_S)
            assert station.stop() == 0, station.log_tail()
            assert_clean(station.check())
            return look(station, city, relay, digests)
        finally:
            station.close()


def judge(found: list[Found], scene: Scene) -> None:
    lost = 0
    for camera in found:
        assert camera.sessions == scene.sessions, (scene.name, camera)
        for comparison in camera.comparisons:
            lost += comparison.lost_packets
            assert comparison.whole_missing == 0, (scene.name, comparison.missing)
            assert comparison.declared_lost == comparison.lost_packets, (
                scene.name,
                comparison.declared_lost,
                comparison.lost_packets,
            )
            assert comparison.head == 0, (scene.name, comparison.head)
        assert len(camera.gaps_us) == scene.sessions - 1, (scene.name, camera.gaps_us)
        for told_us, true_us in zip(camera.gaps_us, camera.between_us, strict=True):
            assert abs(told_us - true_us) <= FRAME_US, (scene.name, told_us, true_us)
    assert (lost > 0) is scene.loses
    print(
        f"{scene.name}: {lost} packets lost, {sum(len(c.missing) for f in found for c in f.comparisons)} "
        f"gaps of {sum(m.pictures for f in found for c in f.comparisons for m in c.missing)} pictures, "
        f"between sessions {[(a, b) for f in found for a, b in zip(f.gaps_us, f.between_us, strict=True)]}"
    )


@pytest.mark.parametrize("name", SHORT)
def test_a_bad_network(tmp_path, torture_clip, name):
    judge(play(tmp_path, torture_clip, SCENES[name]), SCENES[name])


@pytest.mark.torture
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in SCENES if name not in SHORT])
def test_other_bad_networks(tmp_path, torture_clip, name):
    judge(play(tmp_path, torture_clip, SCENES[name]), SCENES[name])

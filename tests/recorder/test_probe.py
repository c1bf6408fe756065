"""A camera's test: what is counted, what is judged, and both against the simulated street."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from recorder_street import Street, street

from khupho.archive.events import Arrival
from khupho.clock import ManualClock, SystemClock
from khupho.errors import Fault, KhuphoError
from khupho.media.samples import Sample, SampleBatch
from khupho.recorder.probe import CountingWriter, ProbeFacts, probe
from khupho.recorder.probe_judgement import Weight, judge_probe, would_record
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_S

GOOD = ProbeFacts(
    transport="tcp", server="cam", sign_in="Digest", codec="h264", rfc6381="avc1.640028",
    width_px=1920, height_px=1080, declared_fps=25.0, fps=25.0, bits_per_s=4_000_000,
    key_interval_us=2 * US_PER_S, frames=200, packets=4_000, first_picture_us=700_000,
    lasted_us=8 * US_PER_S,
)  # fmt: skip
ASKED_US = 8 * US_PER_S


def count(*samples: Sample) -> CountingWriter:
    counter = CountingWriter(ManualClock().mono_us)
    for sample in samples:
        batch = SampleBatch([memoryview(bytes(100))], [sample], None, 100)
        counter.write(batch, Arrival(0, 0))
    return counter


def test_rates_and_key_frames_are_counted_by_the_cameras_clock() -> None:
    counted = count(*(Sample(n * 3_600, 100, n % 50 == 0) for n in range(101)))
    assert counted.fps == 25
    assert counted.key_intervals_us == [2 * US_PER_S] * 2
    assert not counted.has_b_frames
    assert (counted.frames, counted.size_bytes) == (101, 10_100)


def test_b_frames_show_by_times_that_go_back() -> None:
    counted = count(*(Sample(pts * 3_600, 100, pts == 0) for pts in (0, 3, 1, 2, 6, 4, 5)))
    assert counted.has_b_frames
    assert counted.fps == 25


def test_a_jump_of_the_time_line_is_no_slow_frame() -> None:
    line = [Sample(n * 3_600, 100, n == 0) for n in range(26)]
    jumped = [Sample(10**9 + n * 3_600, 100, n == 0, discontinuity=n == 0) for n in range(26)]
    counted = count(*line, *jumped)
    assert counted.fps == 25
    assert counted.key_intervals_us == []


def test_a_good_camera_has_nothing_to_mend() -> None:
    assert judge_probe(GOOD, ASKED_US) == []
    assert would_record([])


@pytest.mark.parametrize(
    ("change", "weight", "said"),
    [
        ({"frames": 0, "codec": ""}, Weight.PREVENTS, "no whole picture"),
        ({"frames": 0, "packets": 0}, Weight.PREVENTS, "sends nothing"),
        ({"declared_fps": 30.0, "fps": 12.0}, Weight.NOTE, "declares 30"),
        ({"fps": 2.0, "declared_fps": None}, Weight.WEAK, "Only 2.0"),
        ({"bits_per_s": 16_000_000}, Weight.WEAK, "173 GB a day"),
        ({"bits_per_s": 200_000}, Weight.NOTE, "little for 1920 x 1080"),
        ({"has_b_frames": True}, Weight.NOTE, "B-frames"),
        ({"key_interval_us": 12 * US_PER_S}, Weight.WEAK, "every 12 s"),
        ({"key_interval_us": None, "lasted_us": 30 * US_PER_S}, Weight.WEAK, "every 30 s"),
        ({"first_picture_us": 9 * US_PER_S}, Weight.NOTE, "took 9.0 s"),
        ({"lost_packets": 40, "transport": "udp"}, Weight.WEAK, "0.99 %"),
        ({"jitter_us": 90_000, "transport": "udp"}, Weight.WEAK, "90 ms"),
        ({"drift_us": -7 * 3600 * US_PER_S}, Weight.WEAK, "7 h 0 min behind"),
        ({"drift_us": 3 * US_PER_S}, Weight.WEAK, "3.0 s ahead"),
        ({"drift_ppm": 800.0}, Weight.NOTE, "800 ppm"),
        ({"sign_in": ""}, Weight.WEAK, "anybody"),
        ({"sign_in": "Basic"}, Weight.NOTE, "readable"),
    ],
)
def test_what_is_amiss_is_said_with_advice(
    change: dict[str, object], weight: Weight, said: str
) -> None:
    [finding] = judge_probe(replace(GOOD, **change), ASKED_US)  # type: ignore[arg-type]  # by name
    assert finding.weight is weight
    assert said in finding.what
    assert finding.advice
    assert would_record([finding]) is (weight is not Weight.PREVENTS)


def test_an_end_before_its_time_prevents_only_what_brought_no_picture() -> None:
    ended = KhuphoError("The camera closed the connection", fault=Fault.CAMERA)
    broken = replace(GOOD, ended=ended, lasted_us=2 * US_PER_S)
    assert would_record(judge_probe(broken, ASKED_US))
    assert not would_record(judge_probe(replace(broken, frames=0), ASKED_US))


@pytest.fixture(scope="module")
def signed(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    arguments = ["--count", "2", "--auth", "digest", "--password", "secret"]
    with street(clip_file("h264-b"), *arguments) as city:
        yield city


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_simulated_camera_is_told_as_it_is(signed: Street, transport: str) -> None:
    config = SourceConfig("test", "main", signed.url(1), "admin", "secret", transport)
    told: list[tuple[int, int]] = []
    facts = asyncio.run(probe(config, SystemClock(), 3 * US_PER_S, lambda *done: told.append(done)))
    assert (facts.codec, facts.width_px, facts.height_px) == ("h264", 320, 240)
    assert (facts.transport, facts.sign_in.lower()) == (transport, "digest md5")
    assert facts.declared_fps == 25
    assert 24 < facts.fps < 26
    assert facts.has_b_frames
    assert facts.key_interval_us == 480_000
    assert facts.drift_us is not None
    assert abs(facts.drift_us) < US_PER_S
    assert facts.lost_packets == 0
    assert facts.ended is None
    assert told[-1][1] == 3 * US_PER_S
    assert would_record(judge_probe(facts, 3 * US_PER_S))


def test_a_refused_password_is_an_error_not_a_judgement(signed: Street) -> None:
    config = SourceConfig("test", "main", signed.url(1), "admin", "wrong")
    with pytest.raises(KhuphoError) as raised:
        asyncio.run(probe(config, SystemClock(), US_PER_S))
    assert raised.value.fault is Fault.CREDENTIALS

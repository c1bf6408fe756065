"""What the page is told: a verdict that never calls unknown well, today's share, no secret."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from stream_states import GONE, GOOD, NOW

from khupho.errors import Fault
from khupho.recorder.camera_store import Camera, StoredSource
from khupho.recorder.http.status import (
    ArchiveView,
    DayMinutes,
    LocalDay,
    StatusMaker,
    covered_percent,
)
from khupho.recorder.http.verdict import NO_FRAME_US, START_PATIENCE_US, Verdict, judge
from khupho.recorder.http.words import load_vietnamese
from khupho.recorder.snapshot import EngineSnapshot, Phase, StreamSnapshot, Trouble
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S, format_utc


def verdict_of(*streams: StreamSnapshot, disk: Trouble | None = None) -> Verdict:
    return judge(streams, NOW, enabled=True, disk=disk).verdict


def test_recording_needs_a_frame_of_late() -> None:
    assert verdict_of(GOOD) is Verdict.RECORDING
    silent = replace(GOOD, last_frame_utc_us=NOW - NO_FRAME_US - 1)
    assert verdict_of(silent) is not Verdict.RECORDING
    assert verdict_of(replace(GOOD, frames=0)) is not Verdict.RECORDING
    assert verdict_of(replace(GOOD, phase=Phase.WAITING)) is Verdict.TROUBLE


def test_a_stream_that_plays_without_a_picture_is_trouble_in_the_end() -> None:
    fresh = replace(GOOD, frames=0, last_frame_utc_us=None, since_utc_us=NOW - US_PER_S)
    assert verdict_of(fresh) is Verdict.STARTING
    old = replace(fresh, since_utc_us=NOW - START_PATIENCE_US - 1)
    assert verdict_of(old) is Verdict.TROUBLE


def test_a_reconnect_after_trouble_is_not_called_starting() -> None:
    again = replace(GOOD, phase=Phase.CONNECTING, frames=0, last_frame_utc_us=None, trouble=GONE)
    judged = judge([again], NOW, enabled=True, disk=None)
    assert (judged.verdict, judged.trouble, judged.since_utc_us) == (
        Verdict.TROUBLE, GONE, GONE.since_utc_us,
    )  # fmt: skip


def test_a_disk_that_refuses_is_trouble_for_a_camera_that_flows() -> None:
    full = Trouble(Fault.DISK, "full", "", "", NOW - 5)
    assert verdict_of(GOOD, disk=full) is Verdict.TROUBLE


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        ([replace(GOOD, lost_packets=2_000)], "lost"),
        ([GOOD, replace(GOOD, stream="sub", phase=Phase.WAITING, trouble=GONE)], "small stream"),
        ([replace(GOOD, audio_note="the camera offers no sound")], "without sound"),
        ([replace(GOOD, drift_us=-3_600_000_000)], "clock"),
    ],
)
def test_what_is_weak_is_said(streams: list[StreamSnapshot], reason: str) -> None:
    judged = judge(streams, NOW, enabled=True, disk=None)
    assert judged.verdict is Verdict.WEAK
    assert reason in judged.reason


def test_a_camera_that_is_off_is_off() -> None:
    assert judge([GOOD], NOW, enabled=False, disk=None).verdict is Verdict.OFF


@pytest.fixture
def in_saigon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


@pytest.mark.usefixtures("in_saigon")
def test_a_day_begins_at_midnight_where_the_recorder_is() -> None:
    day = LocalDay.of(NOW)
    assert format_utc(day.start_utc_us) == "2026-11-23T17:00:00.000000Z"
    assert (day.minutes, day.zone, day.offset_s) == (1440, "UTC+07:00", 7 * 3600)


def camera(added_us: int = NOW - US_PER_DAY) -> Camera:
    return Camera("gate", "Cổng chính", StoredSource("rtsp://10.0.0.9/1"), format_utc(added_us))


def test_todays_share_counts_from_when_the_camera_was_added() -> None:
    day = LocalDay(NOW - 10 * US_PER_HOUR, NOW + 14 * US_PER_HOUR, "", 0)
    half = DayMinutes(((0, 300, "full"),), 5 * US_PER_HOUR)
    assert covered_percent(camera(), day, half, NOW) == 50
    assert covered_percent(camera(NOW - 5 * US_PER_HOUR), day, half, NOW) == 100
    assert covered_percent(camera(), day, DayMinutes(), NOW) is None
    assert covered_percent(camera(NOW - 10), day, half, NOW) is None


def test_a_hole_of_a_minute_is_never_rounded_to_all() -> None:
    day = LocalDay(NOW - 10 * US_PER_HOUR, NOW, "", 0)
    nearly = DayMinutes(((0, 599, "full"),), 10 * US_PER_HOUR - US_PER_MINUTE)
    percent = covered_percent(camera(), day, nearly, NOW)
    assert percent is not None
    assert 99 < percent < 100


def test_the_whole_status_is_json_in_both_languages() -> None:
    engine = EngineSnapshot(NOW, NOW - US_PER_HOUR, (replace(GOOD, trouble=GONE),), (GONE,))
    maker = StatusMaker("0.1.0", "/srv/khupho", load_vietnamese())
    view = maker.make(engine, [camera()], ArchiveView(), {}, {})
    status = msgspec.json.decode(msgspec.json.encode(view))
    [one] = status["cameras"]
    assert (one["name"], one["verdict"]) == ("Cổng chính", "recording")
    assert one["streams"][0]["fps"] == 25.0
    assert status["alarms"][0]["what"] == {
        "en": "Nothing answers at that address",
        "vi": "Không có thiết bị nào trả lời ở địa chỉ đó",
    }

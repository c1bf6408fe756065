"""RTCP: sender reports read tolerantly (quirk 52), receiver reports as RFC 3550 has them, drift."""

from __future__ import annotations

import random
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.city.reports import sender_report
from khupho.units import US_PER_S, utc_us_to_ntp
from khupho.wire.rtp import rtcp
from khupho.wire.rtp.reception import Jitter, Reception, SequenceNumbers
from khupho.wire.rtp.reports import TrackReports

UTC_US = 1_800_000_000_000_000
SSRC = 0xCAFE0001


def report(utc_us: int = UTC_US, timestamp: int = 0) -> bytes:
    return sender_report(SSRC, utc_us_to_ntp(utc_us), timestamp & 0xFFFFFFFF, 10, 1000, "camera")


def block(packet: bytes) -> tuple[int, ...]:
    """Fields of a receiver report, own SSRC first."""
    assert packet[:4] == b"\x81\xc9\0\x07"
    own, ssrc, fraction_lost, highest, jitter, last, delay = unpack(">7I", packet[4:32])
    return own, ssrc, fraction_lost >> 24, fraction_lost & 0xFFFFFF, highest, jitter, last, delay


def test_the_receiver_report_to_the_bit() -> None:
    reports = TrackReports(90_000)
    reports.received(report(), UTC_US, 1_000_000)
    packet = reports.make(Reception(SSRC, 0x1_0005, 100, 90, 77, 855), 3_500_000)
    assert packet is not None
    own, ssrc, fraction, lost, highest, jitter, last, delay = block(packet)
    assert ssrc == SSRC != own
    assert (fraction, lost, highest, jitter) == (25, 10, 0x1_0005, 77)
    assert last == utc_us_to_ntp(UTC_US) >> 16 & 0xFFFFFFFF
    assert delay == 2.5 * 65_536
    kinds = [kind for kind, _body in rtcp.packets(packet)]
    assert kinds == [rtcp.RECEIVER_REPORT, rtcp.DESCRIPTION]
    assert b"khupho" in packet
    assert len(packet) % 4 == 0


def test_the_fraction_lost_counts_from_the_last_report() -> None:
    reports = TrackReports(90_000)
    reports.make(Reception(SSRC, 100, 100, 50), 0)
    packet = reports.make(Reception(SSRC, 200, 200, 150), 0)
    assert packet is not None
    assert block(packet)[2:4] == (0, 50)
    assert block(packet)[6:] == (0, 0)  # no sender report yet
    again = reports.make(Reception(SSRC, 200, 200, 210), 0)
    assert again is not None
    assert block(again)[2:4] == (0, 0xFFFFFF + 1 - 10)  # duplicates: negative


def test_no_report_before_the_first_packet() -> None:
    assert TrackReports(90_000).make(Reception(None), 0) is None


@pytest.mark.quirk(52)
@pytest.mark.parametrize(
    "packet",
    [
        b"", b"\x80", b"\x80\xc8\0\x06", report()[:18], b"\x00" + report()[1:], b"\x81\xcb\0\1abcd",
        b"\x80\xc8\xff\xff" + b"abcd", b"\x80\xc9\0\1abcd" * 100,
    ],
)  # fmt: skip
def test_malformed_reports_are_ignored(packet: bytes) -> None:
    reports = TrackReports(90_000)
    reports.received(packet, UTC_US, 0)
    assert (reports.drift_us, reports.drift_ppm) == (None, None)


@pytest.mark.quirk(52)
def test_a_wrong_length_costs_only_what_it_hides() -> None:
    reports = TrackReports(90_000)
    reports.received(b"\x80\xc9\0\1" + b"abcd" + report()[:2] + b"\0\xff" + report()[4:], UTC_US, 0)
    assert reports.drift_us == 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    reports = TrackReports(8_000)
    reports.received(data, UTC_US, 0)
    reports.received(b"\x80\xc8" + data, UTC_US, 5_000_000)
    assert reports.make(Reception(1, 2, 3, 3), 6_000_000) is not None


@pytest.mark.quirk(37)
def test_the_cameras_date_is_compared() -> None:
    reports = TrackReports(90_000)
    reports.received(report(UTC_US + 3 * US_PER_S), UTC_US, 0)
    assert reports.drift_us == pytest.approx(3 * US_PER_S, abs=2)
    reports.received(sender_report(SSRC, 0, 5, 1, 1, "x"), UTC_US, 0)  # a camera without a clock
    assert reports.drift_us == pytest.approx(3 * US_PER_S, abs=2)


@pytest.mark.parametrize("ppm", [-200, 0, 80])
def test_the_media_clocks_rate_is_told_in_spite_of_late_arrival(ppm: int) -> None:
    reports = TrackReports(90_000)
    chance = random.Random(ppm)
    for second in range(0, 3600, 5):
        ticks = second * 90_000 + second * 90_000 * ppm // 1_000_000
        late_us = chance.randrange(500_000)  # the kernel gathers
        reports.received(
            report(timestamp=ticks + 4_000_000_000), UTC_US, second * US_PER_S + late_us
        )
        if second < 100:
            assert reports.drift_ppm is None
    assert reports.drift_ppm == pytest.approx(ppm, abs=30)


def test_a_jump_of_the_media_clock_is_no_drift() -> None:
    reports = TrackReports(90_000)
    for second in range(0, 900, 5):
        jump = 3600 * 90_000 if second >= 400 else 0
        reports.received(report(timestamp=second * 90_000 + jump), UTC_US, second * US_PER_S)
    assert reports.drift_ppm == pytest.approx(0, abs=1)


def test_jitter_of_rfc_3550() -> None:
    jitter = Jitter(90_000)
    for n in range(200):
        jitter.take(n * 3600, n * 40_000 + (1_000 if n % 2 else 0))
    assert jitter.sixteenths >> 4 == pytest.approx(90, abs=8)
    jitter.take(5_000_000, 8_000_000)  # a jump of the time line
    assert jitter.sixteenths >> 4 == pytest.approx(90, abs=8)


def test_numbers_before_a_restart_stay_counted() -> None:
    numbers = SequenceNumbers()
    for n in (*range(60_000, 60_010), *range(50_000, 50_035)):
        numbers.take(n)
    reception = numbers.reception(SSRC, Jitter(90_000))
    assert reception.expected == 10 + 35
    assert reception.received == 10 + 20
    assert reception.highest_extended == 0x1_0000 + 50_034

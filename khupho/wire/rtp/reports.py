"""What is made of a track's sender reports: our receiver reports, and how true the camera's clocks run."""

from __future__ import annotations

from khupho.units import US_PER_S, ntp_to_utc_us
from khupho.wire.rtp.reception import Reception
from khupho.wire.rtp.rtcp import ReceiverReport, receiver_report, sender_report

CNAME = "khupho"
BUCKET_US = 60 * US_PER_S
LEAST_SPAN_US = 2 * BUCKET_US
"""A rate told earlier would be made of the network's delays."""
_NEW_LINE_S = 10


class TrackReports:
    """One track's reports. `drift_us`: by how much the camera's date is ahead of ours, None until a
    report tells; `drift_ppm`: by how much its media clock is too fast against our monotonic clock, None
    until it can be told."""

    __slots__ = (
        "_clock",
        "_expected_before",
        "_last_ntp",
        "_last_report_us",
        "_received_before",
        "drift_ppm",
        "drift_us",
    )

    def __init__(self, clock_hz: int) -> None:
        self.drift_us: int | None = None
        self.drift_ppm: float | None = None
        self._clock = _MediaClock(clock_hz or 90_000)
        self._last_ntp = 0
        self._last_report_us = 0
        self._expected_before = 0
        self._received_before = 0

    def received(self, packet: bytes, utc_us: int, mono_us: int) -> None:
        """Take a compound packet of the camera's. What cannot be read is ignored (quirk 52)."""
        report = sender_report(packet)
        if report is None:
            return
        self._last_ntp = report.ntp
        self._last_report_us = mono_us
        # Without a clock cameras send noughts, or the seconds since they were switched on.
        if report.ntp >> 32 > 0x80000000 or 0 < report.ntp >> 32 < 0x40000000:
            self.drift_us = ntp_to_utc_us(report.ntp) - utc_us
        self.drift_ppm = self._clock.take(report.timestamp, mono_us)

    def make(self, reception: Reception, mono_us: int) -> bytes | None:
        """The receiver report that is due, or None before the camera's first packet."""
        if reception.ssrc is None:
            return None
        expected = reception.expected - self._expected_before
        lost = expected - (reception.received - self._received_before)
        self._expected_before = reception.expected
        self._received_before = reception.received
        fraction = min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0
        delay_us = mono_us - self._last_report_us if self._last_ntp else 0
        report = ReceiverReport(
            reception.ssrc,
            fraction,
            reception.expected - reception.received,
            reception.highest_extended,
            reception.jitter_ticks,
            self._last_ntp >> 16 & 0xFFFFFFFF,
            max(0, delay_us) * 65_536 // US_PER_S,
        )
        # A number of our own that is never the camera's (section 8).
        return receiver_report(reception.ssrc ^ 0xFFFFFFFF, report, CNAME)


class _MediaClock:
    """Compares a camera's media clock with our monotonic one.

    A report comes late by the network's and the kernel's delay, never early. So the least lateness
    within a minute is nearly free of it, and the rate is told between the first minute and the last.
    """

    __slots__ = (
        "_bucket_begins_us",
        "_bucket_least",
        "_clock_hz",
        "_first",
        "_last_timestamp",
        "_last_us",
        "_ppm",
        "_ticks",
    )

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._last_timestamp: int | None = None
        self._last_us = 0
        self._ticks = 0
        self._first: tuple[int, int] | None = None
        """Moment and lateness of the first minute's best report, both in µs."""
        self._bucket_begins_us = 0
        self._bucket_least: tuple[int, int] | None = None
        self._ppm: float | None = None

    def take(self, timestamp: int, mono_us: int) -> float | None:
        """A report tells that timestamp now. Returns the rate, if it can be told."""
        if self._last_timestamp is None:
            self._begin(timestamp, mono_us)
            return None
        step = ((timestamp - self._last_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        expected = (mono_us - self._last_us) * self._clock_hz // US_PER_S
        if abs(step - expected) > _NEW_LINE_S * self._clock_hz:
            self._begin(timestamp, mono_us)
            return self._ppm
        self._ticks += step
        self._last_timestamp, self._last_us = timestamp, mono_us
        late_us = mono_us - self._ticks * US_PER_S // self._clock_hz
        if mono_us - self._bucket_begins_us >= BUCKET_US:
            self._close_bucket(mono_us)
        if self._bucket_least is None or late_us < self._bucket_least[1]:
            self._bucket_least = (mono_us, late_us)
        return self._ppm

    def _begin(self, timestamp: int, mono_us: int) -> None:
        self._last_timestamp, self._last_us = timestamp, mono_us
        self._ticks = 0
        self._first = None
        self._bucket_begins_us = mono_us
        self._bucket_least = (mono_us, mono_us)

    def _close_bucket(self, mono_us: int) -> None:
        least = self._bucket_least
        self._bucket_begins_us = mono_us
        self._bucket_least = None
        if least is None:
            return
        if self._first is None:
            self._first = least
            return
        span_us = least[0] - self._first[0]
        if span_us >= LEAST_SPAN_US - BUCKET_US:
            self._ppm = (self._first[1] - least[1]) * US_PER_S / span_us

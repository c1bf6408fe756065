"""What is counted of a track's packets: sequence numbers, losses, jitter (RFC 3550 appendix A)."""

from __future__ import annotations

from typing import NamedTuple

from khupho.units import US_PER_S

PASSED_OVER = -1
"""`SequenceNumbers.take`: the packet is late or came twice."""
_RESTART_PACKETS = 16
"""So many packets in order, behind those that were taken, are a new count rather than late ones."""


class Reception(NamedTuple):
    """How a track was received until now, for receiver reports and for people."""

    ssrc: int | None
    """The camera's; None before its first packet."""
    highest_extended: int = 0
    """Highest sequence number taken, cycles in the upper 16 bits."""
    expected: int = 0
    received: int = 0
    jitter_ticks: int = 0
    """Interarrival jitter on the RTP clock; 0 over TCP, where arrival tells nothing."""
    jitter_us: int = 0


class SequenceNumbers:
    """Unwraps sequence numbers and tells what is missing."""

    __slots__ = ("_base", "_stray_next", "_strays", "next", "received")

    def __init__(self) -> None:
        self.next: int | None = None
        """The number that should come next, unwrapped."""
        self.received = 0
        self._base = 0
        self._stray_next = 0
        self._strays = 0

    def take(self, number: int) -> int:
        """How many packets are missing before this one, or `PASSED_OVER`."""
        following = self.next
        if following is None:
            self._base = number
            self.next = number + 1
            self.received = 1
            return 0
        ahead = (number - following) & 0xFFFF
        if ahead < 0x8000:
            self.next = following + ahead + 1
            self.received += 1
            self._strays = 0
            return ahead
        self._strays = self._strays + 1 if number == self._stray_next else 1
        self._stray_next = (number + 1) & 0xFFFF
        if self._strays < _RESTART_PACKETS:
            return PASSED_OVER
        return self._begin_anew(number, following)

    def go_on(self, packets: int) -> None:
        """So many were taken elsewhere, one after the other."""
        if self.next is not None:
            self.next += packets
            self.received += packets
            self._strays = 0

    def _begin_anew(self, number: int, following: int) -> int:
        """The camera counts anew; numbers between the counts aren't expected."""
        lost = self._strays - 1
        self._strays = 0
        begun = ((following >> 16) + 1) << 16 | number
        self._base += begun - lost - following
        self.next = begun + 1
        self.received += 1
        return lost

    def forget(self) -> None:
        """Another source begins: its first number is whatever comes."""
        self.next = None

    def reception(self, ssrc: int | None, jitter: Jitter) -> Reception:
        """The counts as they are now."""
        if ssrc is None or self.next is None:
            return Reception(ssrc)
        ticks = jitter.sixteenths >> 4
        return Reception(
            ssrc,
            (self.next - 1) & 0xFFFFFFFF,
            self.next - self._base,
            self.received,
            ticks,
            ticks * US_PER_S // jitter.clock_hz,
        )


class Jitter:
    """Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8)."""

    __slots__ = ("_last_transit", "clock_hz", "sixteenths")

    def __init__(self, clock_hz: int) -> None:
        self.clock_hz = clock_hz
        self.sixteenths = 0
        """The estimate times 16."""
        self._last_transit: int | None = None

    def take(self, timestamp: int, now_us: int) -> None:
        """A packet with that timestamp arrived."""
        transit = now_us * self.clock_hz // US_PER_S - timestamp
        if self._last_transit is not None:
            difference = abs(_signed(transit - self._last_transit))
            # A jump of the camera's time line is no jitter.
            if difference < self.clock_hz:
                self.sixteenths += difference - ((self.sixteenths + 8) >> 4)
        self._last_transit = transit


def _signed(ticks: int) -> int:
    return ((ticks + 0x80000000) & 0xFFFFFFFF) - 0x80000000

"""A camera's own clock: it may run fast or slow against the machine's."""

from __future__ import annotations

_PPM = 1_000_000


class CameraClock:
    """Ticks of 90 kHz since the camera was switched on, from the machine's monotonic clock."""

    def __init__(self, start_mono_us: int) -> None:
        self._mono_us = start_mono_us
        self._ticks_90k = 0
        self._rate = _PPM

    @property
    def drift_ppm(self) -> int:
        """How much faster than the machine's clock it runs."""
        return self._rate - _PPM

    def now_90k(self, mono_us: int) -> int:
        """The camera's time at a moment; negative before it was switched on."""
        return self._ticks_90k + (mono_us - self._mono_us) * 9 * self._rate // (100 * _PPM)

    def mono_us(self, ticks_90k: int) -> int:
        """The first microsecond at which `now_90k` has reached `ticks_90k`."""
        ticks = ticks_90k - self._ticks_90k
        return self._mono_us - (-ticks * 100 * _PPM // (9 * self._rate))

    def set_drift(self, drift_ppm: int, mono_us: int) -> None:
        """From now on the clock gains `drift_ppm` microseconds a second; its time does not step."""
        self._ticks_90k, self._mono_us = self.now_90k(mono_us), mono_us
        self._rate = _PPM + drift_ppm

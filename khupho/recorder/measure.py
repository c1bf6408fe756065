"""What is measured on a connection while it plays. Cheap: a few additions a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from khupho.media.formats import TrackFormat, VideoFormat
from khupho.media.samples import Sample, SampleBatch
from khupho.units import MEDIA_CLOCK_HZ, US_PER_S, ticks_to_us

_WINDOW_TICKS = 4
"""Rates are told over the last six seconds: four marks, about one in two seconds."""
_MOST_STEP_90K = 10 * MEDIA_CLOCK_HZ
"""Further apart, two pictures belong to two time lines."""
_GATHERED_US = US_PER_S
"""Media comes half a second at once: by so much its time may lag the clock's without meaning anything."""


@dataclass(slots=True)
class SessionMeasures:
    """Counters and rates of one connection. `take` on each batch, `tick` every second or two."""

    transport: str = ""
    codec: str = ""
    width_px: int = 0
    height_px: int = 0
    declared_fps: float | None = None
    frames: int = 0
    received_bytes: int = 0
    lost_packets: int = 0
    damaged_frames: int = 0
    fps: float = 0.0
    bits_per_s: int = 0
    jitter_us: int = 0
    key_interval_us: int | None = None
    drift_us: int | None = None
    drift_ppm: float | None = None
    last_frame_utc_us: int | None = None
    audio_note: str = ""
    _last_key_90k: int | None = None
    _highest_90k: int | None = None
    _media_90k: int = 0
    """Media time that has passed, all lines together."""
    _marks: deque[tuple[int, int, int, int]] = field(
        default_factory=lambda: deque(maxlen=_WINDOW_TICKS)
    )

    def take(self, batch: SampleBatch, utc_us: int) -> None:
        """Count a batch of video that arrived at `utc_us`."""
        samples = batch.samples
        self.frames += len(samples)
        self.received_bytes += batch.size_bytes
        self.last_frame_utc_us = utc_us
        if not samples:
            return
        pts, _sizes, keys, lost, damaged, formats, _jumps = batch.columns
        self._pass(max(pts))
        if True in keys:
            self._see_keys(samples)
        if any(lost):
            self.lost_packets += sum(lost)
        if True in damaged:
            self.damaged_frames += damaged.count(True)
        if any(formats):
            for track_format in formats:
                if track_format is not None:
                    self.set_format(track_format)

    def _see_keys(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if sample.is_key:
                if self._last_key_90k is not None and not sample.discontinuity:
                    self.key_interval_us = ticks_to_us(sample.pts_90k - self._last_key_90k)
                self._last_key_90k = sample.pts_90k

    def _pass(self, newest_90k: int) -> None:
        step_90k = newest_90k - self._highest_90k if self._highest_90k is not None else 0
        if abs(step_90k) > _MOST_STEP_90K:
            self._highest_90k = newest_90k
        elif step_90k >= 0:
            self._media_90k += step_90k
            self._highest_90k = newest_90k

    def set_format(self, track_format: TrackFormat) -> None:
        """The stream's format became known or changed."""
        self.codec = track_format.codec.value
        if isinstance(track_format, VideoFormat):
            self.width_px = track_format.width_px
            self.height_px = track_format.height_px
            rate = track_format.frame_rate
            self.declared_fps = float(rate) if rate is not None else None

    def tick(self, mono_us: int) -> None:
        """Bring the rates up to date; call every second or two."""
        self._marks.append((mono_us, self.frames, self.received_bytes, self._media_90k))
        then_us, frames, received_bytes, media_90k = self._marks[0]
        elapsed_us = mono_us - then_us
        if elapsed_us > 0:
            # By the camera's own time, since its pictures are handed on in gulps; by the clock's where
            # that stands still.
            media_us = ticks_to_us(self._media_90k - media_90k)
            lasted_us = media_us if media_us > elapsed_us - _GATHERED_US else elapsed_us
            lasted_us = max(lasted_us, 1)
            self.fps = (self.frames - frames) * US_PER_S / lasted_us
            self.bits_per_s = (self.received_bytes - received_bytes) * 8 * US_PER_S // lasted_us

"""`khupho camera test`: one session without an archive, a few seconds long, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from khupho.archive.events import Arrival, CloseCause
from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.media.formats import VideoFormat
from khupho.media.samples import SampleBatch
from khupho.recorder.engine import SWEEP_INTERVAL_US
from khupho.recorder.session import Session, SessionOpener
from khupho.recorder.source import SourceConfig
from khupho.units import MEDIA_CLOCK_HZ, US_PER_S, ticks_to_us


class CountingWriter:
    """Takes samples and keeps only what is counted of them."""

    def __init__(self, mono_us: Callable[[], int]) -> None:
        self.frames = 0
        self.size_bytes = 0
        self.damaged = 0
        self.lost_packets = 0
        self.has_b_frames = False
        self.formats: list[VideoFormat] = []
        self.key_intervals_us: list[int] = []
        self.first_mono_us: int | None = None
        self.jumps = 0
        self._mono_us = mono_us
        self._highest_90k: int | None = None
        self._key_90k: int | None = None
        self._counted_90k = 0

    def write(self, batch: SampleBatch, arrival: Arrival) -> None:  # noqa: ARG002 - as writers are called
        if self.first_mono_us is None:
            self.first_mono_us = self._mono_us()
        self.size_bytes += batch.size_bytes
        for sample in batch.samples:
            self.frames += 1
            self.damaged += sample.damaged
            self.lost_packets += sample.lost_packets
            if isinstance(sample.format, VideoFormat):
                self.formats.append(sample.format)
            if sample.discontinuity:
                self.jumps += 1
                self._highest_90k = self._key_90k = None
            self._place(sample.pts_90k, sample.is_key)

    def _place(self, pts_90k: int, is_key: bool) -> None:
        if self._highest_90k is None:
            self._highest_90k = pts_90k
        elif pts_90k > self._highest_90k:
            self._counted_90k += pts_90k - self._highest_90k
            self._highest_90k = pts_90k
        else:
            self.has_b_frames = True
        if is_key:
            if self._key_90k is not None:
                self.key_intervals_us.append(ticks_to_us(pts_90k - self._key_90k))
            self._key_90k = pts_90k

    def close(self, cause: CloseCause, now: Arrival) -> None:
        """Nothing is to be closed."""

    @property
    def fps(self) -> float:
        """Frames a second by the camera's own clock."""
        if self._counted_90k <= 0:
            return 0.0
        return (self.frames - 1 - self.jumps) * MEDIA_CLOCK_HZ / self._counted_90k


class _Deaf:
    """The writer of whatever isn't the picture."""

    def write(self, batch: SampleBatch, arrival: Arrival) -> None: ...

    def close(self, cause: CloseCause, now: Arrival) -> None: ...


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """What was seen of a camera. Times are the test's own."""

    transport: str = ""
    server: str = ""
    sign_in: str = ""
    """`Basic`, `Digest MD5` and so on, or empty: it asked for nothing."""
    codec: str = ""
    rfc6381: str = ""
    width_px: int = 0
    height_px: int = 0
    declared_fps: float | None = None
    fps: float = 0.0
    bits_per_s: int = 0
    key_interval_us: int | None = None
    """The longest one seen; None where fewer than two key frames came."""
    has_b_frames: bool = False
    sound: str = ""
    """What sound is offered; empty for none. None is fetched by the test."""
    frames: int = 0
    damaged_frames: int = 0
    packets: int = 0
    lost_packets: int = 0
    jitter_us: int = 0
    drift_us: int | None = None
    drift_ppm: float | None = None
    first_picture_us: int | None = None
    """From the first call to the first whole picture."""
    lasted_us: int = 0
    ended: KhuphoError | None = field(default=None)
    """Why it ended before its time."""


async def probe(
    config: SourceConfig,
    clock: Clock,
    duration_us: int,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProbeFacts:
    """Play a camera for so long. Raises `KhuphoError` if it cannot even be opened.

    `tell(done_us, total_us)` is called a few times a second.
    """
    counter = CountingWriter(clock.mono_us)

    def arrival() -> Arrival:
        return Arrival(clock.utc_us(), clock.mono_us())

    opener = SessionOpener(
        clock, arrival, lambda _camera, stream: _Deaf() if stream == "audio" else counter
    )
    called_us = clock.mono_us()
    session = await opener(config)
    session.live = True
    began_us = clock.mono_us()
    try:
        while not session.ended.done() and clock.mono_us() - began_us < duration_us:
            tell(clock.mono_us() - began_us, duration_us)
            await asyncio.sleep(SWEEP_INTERVAL_US / US_PER_S)
            session.sweep(clock.mono_us())
        ended = session.ended.result() if session.ended.done() else None
        lasted_us = clock.mono_us() - began_us
    finally:
        await session.close()
    return _facts(session, counter, called_us, lasted_us, ended)


def _facts(
    session: Session,
    counter: CountingWriter,
    called_us: int,
    lasted_us: int,
    ended: KhuphoError | None,
) -> ProbeFacts:
    shown = counter.formats[-1] if counter.formats else None
    rate = shown.frame_rate if shown else None
    description = session.description
    sound = description.audio() if description is not None else None
    reception = session.reception()
    first_us = counter.first_mono_us
    return ProbeFacts(
        transport=session.measures.transport,
        server=session.server,
        sign_in=session.sign_in,
        codec=shown.codec.value if shown else "",
        rfc6381=shown.rfc6381 if shown else "",
        width_px=shown.width_px if shown else 0,
        height_px=shown.height_px if shown else 0,
        declared_fps=float(rate) if rate is not None else None,
        fps=counter.fps,
        bits_per_s=counter.size_bytes * 8 * US_PER_S // max(lasted_us, 1),
        key_interval_us=max(counter.key_intervals_us, default=None),
        has_b_frames=counter.has_b_frames,
        sound=f"{sound.encoding} {sound.clock_hz} Hz" if sound is not None else "",
        frames=counter.frames,
        damaged_frames=counter.damaged,
        packets=reception.received,
        lost_packets=counter.lost_packets,
        jitter_us=reception.jitter_us,
        drift_us=session.measures.drift_us,
        drift_ppm=session.measures.drift_ppm,
        first_picture_us=first_us - called_us if first_us is not None else None,
        lasted_us=lasted_us,
        ended=ended,
    )

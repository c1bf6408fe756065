"""What `/api/v1/status` says: plain values, made anew for each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from khupho.recorder.camera_store import Camera
from khupho.recorder.http.verdict import judge
from khupho.recorder.http.words import Vietnamese, Words
from khupho.recorder.snapshot import EngineSnapshot, StreamSnapshot, Trouble
from khupho.units import US_PER_MINUTE, US_PER_S, parse_utc

NOT_RECORDED = "No picture arrives, and the recorder does not know why"
NOT_RECORDED_ADVICE = "If it stays so, restart the camera, and look at the recorder's log"


class TroubleView(msgspec.Struct, frozen=True):
    """Why something is not as it should be."""

    fault: str
    what: Words
    where: Words
    advice: Words
    since_utc_us: int


class StreamView(msgspec.Struct, frozen=True):
    """One stream, as `StreamSnapshot` has it."""

    stream: str
    phase: str
    since_utc_us: int
    trouble: TroubleView | None
    transport: str
    codec: str
    width_px: int
    height_px: int
    declared_fps: float | None
    fps: float
    bits_per_s: int
    frames: int
    lost_packets: int
    jitter_us: int
    key_interval_us: int | None
    drift_us: int | None
    drift_ppm: float | None
    last_frame_utc_us: int | None
    connects: int
    next_try_utc_us: int | None
    audio_note: str


class CameraView(msgspec.Struct, frozen=True):
    """One camera of the list."""

    id: str
    name: str
    verdict: str
    since_utc_us: int
    reason: Words
    trouble: TroubleView | None
    streams: list[StreamView]
    guaranteed_days: int
    maximum_days: int
    coverage: Sequence[tuple[int, int, str]]
    """Runs of minutes of the day: first, end (exclusive), `full`, `part` or `hurt`."""
    covered_percent: float | None


class ArchiveView(msgspec.Struct, frozen=True):
    """The archive's disk and what it will hold."""

    total_bytes: int = 0
    free_bytes: int = 0
    footage_bytes: int = 0
    writes: bool = True
    """Whether footage reaches the disk."""
    is_measured: bool = False
    """Whether the forecast rests on enough footage."""
    breaks_in_us: int | None = None
    """Until a guarantee breaks; null: never, as far as can be seen."""
    needed_bytes: int = 0
    holds_percent: int = 100


class StatusView(msgspec.Struct, frozen=True):
    """Everything the page shows."""

    version: str
    now_utc_us: int
    started_utc_us: int
    data: str
    zone: str
    zone_offset_s: int
    day_start_utc_us: int
    day_minutes: int
    cameras: list[CameraView]
    alarms: list[TroubleView]
    archive: ArchiveView


@dataclass(frozen=True, slots=True)
class LocalDay:
    """Today, where the recorder is."""

    start_utc_us: int
    end_utc_us: int
    zone: str
    offset_s: int

    @classmethod
    def of(cls, utc_us: int) -> LocalDay:
        """The day of a moment, by the machine's zone. It has 23 to 25 hours."""
        now = datetime.fromtimestamp(utc_us / US_PER_S, UTC).astimezone()
        midnight = datetime(now.year, now.month, now.day)
        start, end = midnight.astimezone(), (midnight + timedelta(days=1)).astimezone()
        offset = now.utcoffset() or timedelta()
        seconds = int(offset.total_seconds())
        sign = "-" if seconds < 0 else "+"
        zone = f"UTC{sign}{abs(seconds) // 3600:02d}:{abs(seconds) // 60 % 60:02d}"
        return cls(
            round(start.timestamp() * US_PER_S), round(end.timestamp() * US_PER_S), zone, seconds
        )

    @property
    def minutes(self) -> int:
        return (self.end_utc_us - self.start_utc_us) // US_PER_MINUTE


@dataclass(frozen=True, slots=True)
class DayMinutes:
    """What is recorded of one camera's main stream today."""

    runs: Sequence[tuple[int, int, str]] = ()
    covered_us: int = 0


def covered_percent(
    camera: Camera, day: LocalDay, minutes: DayMinutes, now_us: int
) -> float | None:
    """Share of today, as far as it has passed and since the camera is on the list; None if too early."""
    try:
        added_us = parse_utc(camera.added_utc)
    except ValueError:
        added_us = 0
    passed_us = now_us - max(day.start_utc_us, added_us)
    if passed_us < US_PER_MINUTE or not minutes.runs:
        return None
    # The newest seconds are still on their way to the catalog; nobody calls them missing.
    missing_us = passed_us - minutes.covered_us
    if missing_us < US_PER_MINUTE:
        return 100.0
    return max(0.0, min(99.9, 100 * minutes.covered_us / passed_us))


class StatusMaker:
    """Makes the status from snapshots."""

    def __init__(self, version: str, data: str, vietnamese: Vietnamese) -> None:
        self._version = version
        self._data = data
        self._vietnamese = vietnamese

    def make(
        self,
        engine: EngineSnapshot,
        cameras: Sequence[Camera],
        archive: ArchiveView,
        minutes: Mapping[str, DayMinutes],
        refused: Mapping[str, Trouble],
    ) -> StatusView:
        """`minutes` by camera; `refused`: cameras whose picture the disk does not take, and why."""
        day = LocalDay.of(engine.taken_utc_us)
        by_camera: dict[str, list[StreamSnapshot]] = {}
        for stream in engine.streams:
            by_camera.setdefault(stream.camera, []).append(stream)
        return StatusView(
            version=self._version,
            now_utc_us=engine.taken_utc_us,
            started_utc_us=engine.started_utc_us,
            data=self._data,
            zone=day.zone,
            zone_offset_s=day.offset_s,
            day_start_utc_us=day.start_utc_us,
            day_minutes=day.minutes,
            cameras=[
                self._camera(
                    camera, by_camera.get(camera.id, ()), day,
                    minutes.get(camera.id, DayMinutes()), engine.taken_utc_us,
                    refused.get(camera.id),
                )
                for camera in cameras
            ],
            alarms=[self._trouble(alarm) for alarm in engine.alarms],
            archive=archive,
        )  # fmt: skip

    def _camera(
        self,
        camera: Camera,
        streams: Sequence[StreamSnapshot],
        day: LocalDay,
        minutes: DayMinutes,
        now_us: int,
        disk: Trouble | None,
    ) -> CameraView:
        judged = judge(streams, now_us, enabled=camera.enabled, disk=disk)
        trouble = judged.trouble
        view = self._trouble(trouble) if trouble is not None else None
        if view is None and judged.verdict.value == "trouble":
            view = TroubleView(
                "camera", self._vietnamese.words(NOT_RECORDED), self._vietnamese.words(""),
                self._vietnamese.words(NOT_RECORDED_ADVICE), judged.since_utc_us,
            )  # fmt: skip
        return CameraView(
            id=camera.id,
            name=camera.name,
            verdict=judged.verdict.value,
            since_utc_us=judged.since_utc_us,
            reason=self._vietnamese.words(judged.reason),
            trouble=view,
            streams=[self._stream(stream) for stream in streams],
            guaranteed_days=camera.guaranteed_days,
            maximum_days=camera.maximum_days,
            coverage=minutes.runs,
            covered_percent=covered_percent(camera, day, minutes, now_us),
        )

    def _stream(self, stream: StreamSnapshot) -> StreamView:
        return StreamView(
            stream=stream.stream,
            phase=stream.phase.value,
            since_utc_us=stream.since_utc_us,
            trouble=self._trouble(stream.trouble) if stream.trouble is not None else None,
            transport=stream.transport,
            codec=stream.codec,
            width_px=stream.width_px,
            height_px=stream.height_px,
            declared_fps=stream.declared_fps,
            fps=round(stream.measured_fps, 2),
            bits_per_s=stream.bits_per_s,
            frames=stream.frames,
            lost_packets=stream.lost_packets,
            jitter_us=stream.jitter_us,
            key_interval_us=stream.key_interval_us,
            drift_us=stream.drift_us,
            drift_ppm=stream.drift_ppm,
            last_frame_utc_us=stream.last_frame_utc_us,
            connects=stream.connects,
            next_try_utc_us=stream.next_try_utc_us,
            audio_note=stream.audio_note,
        )

    def _trouble(self, trouble: Trouble) -> TroubleView:
        return TroubleView(
            trouble.fault.value,
            self._vietnamese.words(trouble.what),
            self._vietnamese.words(trouble.where),
            self._vietnamese.words(trouble.advice),
            trouble.since_utc_us,
        )

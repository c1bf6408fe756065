"""The program `khupho city cameras`: builds the city and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from khupho.city import control
from khupho.city.city import City, CityPlan, camera_name
from khupho.city.clip import Clip
from khupho.city.encoding import clip_of_file, street_clip
from khupho.city.faults import FaultSpec
from khupho.city.login import LoginScheme

_STATE_INTERVAL_S = 60.0
_LATE_US = 500_000
_SPARE_FILES = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CitySettings:
    """What the command line asked for."""

    count: int = 1
    video: Path | None = None
    """None: the drawn street."""
    sub_video: Path | None = None
    other_video: Path | None = None
    has_sub: bool = False
    """A drawn small stream where `sub_video` is None."""
    host: str = "127.0.0.1"
    port: int = 8554
    control: tuple[str, int] | None = None
    burst_ms: int = 40
    transports: frozenset[str] = frozenset(("tcp", "udp"))
    login: LoginScheme = LoginScheme.NONE
    user: str = "admin"
    password: str = "khupho"  # noqa: S105 - of simulated cameras, told by the command's help
    drops_for_slow_readers: bool = True
    session_timeout_s: int = 60
    faults: tuple[FaultSpec, ...] = ()
    as_json: bool = False
    """Print JSON lines on stdout instead of log lines."""


def make_plan(settings: CitySettings) -> CityPlan:
    """Load, draw or encode the clips. Raises `ClipError`."""
    drawn_video = street_clip() if settings.video is None else None
    video = drawn_video or clip_of_file(settings.video or Path())
    sub: Clip | None = None
    if settings.sub_video is not None:
        sub = clip_of_file(settings.sub_video)
    elif settings.has_sub:
        sub = street_clip(640, 360)
    other = clip_of_file(settings.other_video) if settings.other_video else None
    if other is None and drawn_video is not None:
        other = street_clip(960, 540)
    return CityPlan(
        video=video,
        count=settings.count,
        sub_video=sub,
        other_video=other,
        host=settings.host,
        port=settings.port,
        burst_ms=settings.burst_ms,
        transports=settings.transports,
        login=settings.login,
        user=settings.user,
        password=settings.password,
        drops_for_slow_readers=settings.drops_for_slow_readers,
        session_timeout_s=settings.session_timeout_s,
        faults=settings.faults,
    )


def run(settings: CitySettings) -> None:
    """Run until SIGINT or SIGTERM. Raises `ClipError`, `CityError` or `FaultSpecError`."""
    _allow_open_files(2 * settings.count + _SPARE_FILES)
    plan = make_plan(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(plan, settings))


async def _run(plan: CityPlan, settings: CitySettings) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    city = City(plan)
    await city.start()
    server: asyncio.Server | None = None
    try:
        if settings.control is not None:
            server = await control.listen(city, *settings.control)
        _announce(city, server, settings.as_json)
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), _STATE_INTERVAL_S)
            _tell_state(city, settings.as_json)
    finally:
        if server is not None:
            server.close()
        await city.stop()


def _announce(city: City, server: asyncio.Server | None, as_json: bool) -> None:
    video = city.plan.video
    last = city.plan.count
    at = server.sockets[0].getsockname()[:2] if server is not None else None
    if as_json:
        first = city.url(1)
        _print_line(
            {
                "event": "start",
                "address": first.replace(camera_name(1), "camera-NNNN"),
                "first": first,
                "last": city.url(last),
                "sub": city.url(1, "sub") if city.plan.sub_video is not None else None,
                "cameras": last,
                "video": video.name,
                "codec": video.format.codec.value,
                "width_px": video.format.width_px,
                "height_px": video.format.height_px,
                "control": f"{at[0]}:{at[1]}" if at else None,
            }
        )
        return
    text = f"{city.url(1)}" if last == 1 else f"{city.url(1)} … {camera_name(last)}"
    picture = f"{video.format.width_px} x {video.format.height_px} {video.format.codec.value}"
    _log.info("%s: %s from %s", text, picture, video.name)
    if at is not None:
        _log.info("faults: khupho city fault --control %s:%d CAMERAS:KIND=VALUE", *at)


def _tell_state(city: City, as_json: bool) -> None:
    state = city.state()
    if as_json:
        _print_line({"event": "state", **asdict(state)})
        return
    _log.info("%d of %d cameras play, %d connections", state.playing, state.cameras,
              state.connections)  # fmt: skip
    if state.worst_lateness_us > _LATE_US:
        _log.warning(
            "pictures left up to %d ms too late: this machine is too slow for so many cameras",
            state.worst_lateness_us // 1000,
        )


def _print_line(value: dict[str, object]) -> None:
    """One JSON value on one line of stdout, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _allow_open_files(wanted: int) -> None:
    """Raise the soft limit as far as the hard one lets; a lower one shows when it is reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))

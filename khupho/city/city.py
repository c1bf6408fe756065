"""The city: many cameras behind one address, in one thread, on one event loop.

    rtsp://HOST:PORT/camera-0001          main stream
    rtsp://HOST:PORT/camera-0001/sub      small stream, if there is one

Every session has one entry in a heap of times; a single timer sends what is due. No task, no timer and
no copy of the video belongs to a session, which is what lets one core carry a thousand of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import heapq
import logging
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from khupho.city.camera import Camera, Stream
from khupho.city.camera_clock import CameraClock
from khupho.city.clip import Clip
from khupho.city.connection import Connection
from khupho.city.faults import FaultKind, FaultSpec, FaultSpecError, parse_fault
from khupho.city.login import LoginCheck, LoginScheme
from khupho.city.packets import PacketTrack
from khupho.city.session import Pacing, Session
from khupho.city.spoiled_sending import send_due_spoiled
from khupho.city.truth import SessionTruth
from khupho.clock import Clock, SystemClock
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_MS, US_PER_S

MAX_CAMERAS = 20_000
MAX_CONNECTIONS = 2 * MAX_CAMERAS
_ACCEPTED_AT_ONCE = 64
_PUMP_US = 20_000
_GOLDEN = 0.6180339887498949

_log = logging.getLogger(__name__)


class CityError(KhuphoError):
    """The city cannot be started."""

    fault = Fault.USER


@dataclass(frozen=True, slots=True)
class CityPlan:
    """What is simulated."""

    video: Clip
    count: int = 1
    sub_video: Clip | None = None
    other_video: Clip | None = None
    """What `change` changes to."""
    host: str = "127.0.0.1"
    port: int = 8554
    """0: any free port."""
    burst_ms: int = 40
    transports: frozenset[str] = frozenset(("tcp", "udp"))
    login: LoginScheme = LoginScheme.NONE
    user: str = "admin"
    password: str = "khupho"  # noqa: S105 - of simulated cameras, told by the command's help
    drops_for_slow_readers: bool = True
    session_timeout_s: int = 60
    faults: tuple[FaultSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class CityState:
    """How it goes."""

    cameras: int
    connections: int
    playing: int
    worst_lateness_us: int
    """By how much the latest picture left too late since the last look."""


def camera_name(number: int) -> str:
    """The name of the camera of that number, from 1."""
    return f"camera-{number:04d}"


class City:
    """A running city. All methods are for the loop's own thread."""

    def __init__(self, plan: CityPlan, clock: Clock | None = None) -> None:
        if not 1 <= plan.count <= MAX_CAMERAS:
            raise CityError(f"A city has 1 to {MAX_CAMERAS} cameras", where=str(plan.count))
        self.plan = plan
        self.clock: Clock = clock or SystemClock()
        self.pacing = Pacing(
            burst_us=plan.burst_ms * US_PER_MS,
            drops_for_slow_readers=plan.drops_for_slow_readers,
            session_timeout_us=plan.session_timeout_s * US_PER_S,
        )
        self.transports = plan.transports
        self.cameras: dict[str, Camera] = {}
        self.port = 0
        self._connections: set[Connection] = set()
        self._due: list[tuple[int, int, Session]] = []
        self._entries = 0
        self._wake: asyncio.TimerHandle | None = None
        self._wake_us = 0
        self._grain_us = max(min(self.pacing.burst_us // 10, 5_000), 1_000)
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._later: list[asyncio.TimerHandle] = []
        self._timed_out_check: asyncio.TimerHandle | None = None

    def _build_cameras(self) -> None:
        plan = self.plan
        video = PacketTrack(plan.video)
        sub = PacketTrack(plan.sub_video) if plan.sub_video else None
        other = PacketTrack(plan.other_video) if plan.other_video else None
        start_us = self.clock.mono_us()
        key_interval_us = video.key_interval_90k * 100 // 9
        for number in range(1, plan.count + 1):
            name = camera_name(number)
            streams = [Stream("main", video, other)]
            if sub:
                streams.append(Stream("sub", sub, None))
            phase_us = int((number - 1) * _GOLDEN % 1 * key_interval_us)
            self.cameras[name] = Camera(
                name, streams, CameraClock(start_us + phase_us),
                LoginCheck(plan.login, plan.user, plan.password),
            )  # fmt: skip

    async def start(self) -> None:
        """Listen. Raises `CityError` if the address cannot be had."""
        self._loop = asyncio.get_running_loop()
        self._build_cameras()
        host, port = self.plan.host, self.plan.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(4096)
        except OSError as error:
            listener.close()
            raise CityError(
                f"Cannot listen: {error.strerror}",
                where=f"{host}:{port}",
                advice="Choose another address with --listen",
            ) from error
        listener.setblocking(False)
        self._listener = listener
        self.port = listener.getsockname()[1]
        self._loop.add_reader(listener, self._accept)
        self._check_timeouts()
        for spec in self.plan.faults:
            self.apply(spec)

    async def stop(self) -> None:
        """End every connection and give the address back."""
        for handle in (*self._later, self._wake, self._timed_out_check):
            if handle is not None:
                handle.cancel()
        if self._listener is not None and self._loop is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close()

    def url(self, number: int, stream: str = "main") -> str:
        """Where a camera's stream is to be had, without login."""
        host = f"[{self.plan.host}]" if ":" in self.plan.host else self.plan.host
        suffix = "" if stream == "main" else f"/{stream}"
        return f"rtsp://{host}:{self.port}/{camera_name(number)}{suffix}"

    def truths(self, camera: str, stream: str = "main") -> list[SessionTruth]:
        """What the last sessions of a camera's stream sent, the newest last."""
        return [truth for truth in self._camera(camera).truths if truth.stream == stream]

    def state(self) -> CityState:
        """How it goes; the lateness counts from the last call."""
        worst_us = 0
        playing = 0
        for connection in self._connections:
            session = connection.session
            if session is not None and session.is_playing:
                playing += 1
                worst_us = max(worst_us, session.worst_lateness_us)
                session.worst_lateness_us = 0
        return CityState(len(self.cameras), len(self._connections), playing, worst_us)

    def _camera(self, name: str) -> Camera:
        camera = self.cameras.get(name)
        if camera is None:
            raise FaultSpecError("There is no such camera", where=name[:80])
        return camera

    # Faults

    def apply(self, fault: FaultSpec | str) -> list[str]:
        """Let cameras have a fault, now or when it says. Returns their names.

        Raises `FaultSpecError` if it is badly written, names no camera, or cannot be had.
        """
        spec = parse_fault(fault) if isinstance(fault, str) else fault
        names = fnmatch.filter(self.cameras, spec.cameras)
        if not names:
            raise FaultSpecError("No camera has such a name", where=spec.cameras)
        if spec.kind is FaultKind.CHANGE and self.plan.other_video is None:
            raise FaultSpecError(
                "There is no other video to change to", advice="Give one with --other-video"
            )
        if spec.after_s and self._loop is not None:
            self._later = [handle for handle in self._later if not handle.cancelled()][-10_000:]
            self._later.append(self._loop.call_later(spec.after_s, self._apply_now, spec, names))
        else:
            self._apply_now(spec, names)
        return names

    def _apply_now(self, spec: FaultSpec, names: list[str]) -> None:
        now_us = self.clock.mono_us()
        for name in names:
            camera = self.cameras[name]
            camera.apply(spec, now_us)
            if spec.kind is FaultKind.REBOOT:
                for connection in [c for c in self._connections if c.camera is camera]:
                    connection.abort()

    # What connections need (`Street`)

    def find(self, url: str) -> tuple[Camera, Stream] | None:
        """The camera and stream that a URL names."""
        try:
            parts = [part for part in urlsplit(url).path.split("/") if part]
        except ValueError:
            return None
        camera = self.cameras.get(parts[0]) if parts else None
        if camera is None:
            return None
        rest = [part for part in parts[1:] if not part.startswith("trackID=")]
        stream = camera.streams.get(rest[0] if rest else "main")
        return (camera, stream) if stream is not None and len(rest) < 2 else None

    def play(self, session: Session, first_due_us: int) -> None:
        """Let a session send from then on."""
        if not session.is_scheduled:
            session.is_scheduled = True
            self._entries += 1
            heapq.heappush(self._due, (first_due_us, self._entries, session))
            self._set_wake()

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    # The loop's callbacks

    def _accept(self) -> None:
        if self._listener is None or self._loop is None:
            return
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                _log.warning("A connection could not be taken: %s", error.strerror)
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                sock.close()
                continue
            with contextlib.suppress(OSError):  # gone again before it was looked at
                self._connections.add(Connection(self, sock, self._loop))

    def _set_wake(self) -> None:
        if not self._due or self._loop is None:
            return
        due_us = self._due[0][0]
        if self._wake is not None:
            if self._wake_us <= due_us:
                return
            self._wake.cancel()
        now_us = self.clock.mono_us()
        self._wake_us = max(due_us, now_us + self._grain_us)
        self._wake = self._loop.call_later((self._wake_us - now_us) / US_PER_S, self._pump)

    def _pump(self) -> None:
        """Send what is due, for at most `_PUMP_US`, so that requests are answered in between."""
        self._wake = None
        due, mono_us = self._due, self.clock.mono_us
        now_us = mono_us()
        stop_us = now_us + _PUMP_US
        while due and due[0][0] <= now_us:
            _due_us, entry, session = due[0]
            if not session.is_playing:
                heapq.heappop(due)
                session.is_scheduled = False
                continue
            if session.camera.faults.spoils_sending:
                next_us = send_due_spoiled(session, now_us)
            else:
                next_us = session.send_due(now_us)
            heapq.heapreplace(due, (next_us, entry, session))
            now_us = mono_us()
            if now_us > stop_us:
                break
        self._set_wake()

    def _check_timeouts(self) -> None:
        """End connections that broke, and sessions whose client fell silent. Once a second."""
        now_us = self.clock.mono_us()
        for connection in list(self._connections):
            session = connection.session
            if connection.is_broken or (session is not None and session.has_timed_out(now_us)):
                connection.close()
        if self._loop is not None:
            self._timed_out_check = self._loop.call_later(1.0, self._check_timeouts)

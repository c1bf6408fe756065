"""One client's RTSP connection (RFC 2326): requests, answers, and the session it may have."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Protocol

from khupho.city.camera import Camera, Stream
from khupho.city.description import CONTROL, describe
from khupho.city.login import LoginCheck, LoginScheme
from khupho.city.outlets import SEND_BUFFER_BYTES, TcpOutlet, UdpOutlet
from khupho.city.requests import (
    Request,
    RequestError,
    RequestReader,
    WantedTransport,
    parse_transports,
    response,
)
from khupho.city.session import Pacing, Session
from khupho.clock import Clock
from khupho.units import US_PER_S

PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
_READ_BYTES = 64 << 10
_ABORT = struct.pack("ii", 1, 0)

_log = logging.getLogger(__name__)
_Answer = tuple[int, list[tuple[str, str]], bytes]


class Street(Protocol):
    """What a connection needs of the city."""

    clock: Clock
    pacing: Pacing
    transports: frozenset[str]

    def find(self, url: str) -> tuple[Camera, Stream] | None:
        """The camera and stream that a URL names."""
        ...

    def play(self, session: Session, first_due_us: int) -> None:
        """Let a session send from then on."""
        ...

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        ...


class Connection:
    """Reads requests and answers them."""

    def __init__(
        self, street: Street, sock: socket.socket, loop: asyncio.AbstractEventLoop
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.camera: Camera | None = None
        """The one whose stream was asked for last."""
        self.session: Session | None = None
        self.is_closed = False
        self._street = street
        self._sock = sock
        self._loop = loop
        self._reader = RequestReader()
        self._outlet = TcpOutlet(sock)
        self._host: str = sock.getsockname()[0]
        self._client_host: str = sock.getpeername()[0]
        self._refusal = LoginCheck(LoginScheme.DIGEST, "", "")
        loop.add_reader(sock, self._on_readable)

    def _on_readable(self) -> None:
        now_us = self._street.clock.mono_us()
        if self.camera is not None and self.camera.is_half_open(now_us):
            self._loop.remove_reader(self._sock)
            wait_us = min(self.camera.faults.half_open_until_us - now_us, US_PER_S)
            self._loop.call_later(wait_us / US_PER_S, self._read_again)
            return
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self.session is not None:
            self.session.heard_us = now_us
        try:
            for request in self._reader.feed(data):
                if not self._handle(request, now_us):
                    return
        except RequestError as error:
            _log.info("%s: %s", self._client_host, error)
            self._outlet.send(response(400, "0"))
            self.close()

    def _read_again(self) -> None:
        if not self.is_closed:
            self._loop.add_reader(self._sock, self._on_readable)
            self._on_readable()

    def _handle(self, request: Request, now_us: int) -> bool:
        """Answer one request. False if the connection is gone."""
        found = self._street.find(request.url)
        if found is not None:
            self.camera = found[0]
            if self.camera.is_rebooting(now_us):
                self.abort()
                return False
            if self.camera.is_half_open(now_us):
                return True
        status, headers, body = self._answer(request, found, now_us)
        self._outlet.send(response(status, request.cseq, headers, body))
        if request.method == "PLAY" and status == 200 and self.session is not None:
            self._street.play(self.session, self.session.due_us())
        hangs_up = status == 401 and found is not None and found[0].faults.hangs_up
        if self._outlet.is_broken or hangs_up:
            self.close()
        return not self.is_closed

    def _answer(
        self, request: Request, found: tuple[Camera, Stream] | None, now_us: int
    ) -> _Answer:
        if request.method == "OPTIONS":
            return 200, [("Public", PUBLIC), *self._session_header()], b""
        if request.method not in PUBLIC.split(", "):
            return 405, [("Allow", PUBLIC)], b""
        camera = found[0] if found else self.camera
        if camera is None or (found is None and request.method in ("DESCRIBE", "SETUP")):
            return 404, [], b""
        refused = self._refuse_login(camera, request, now_us)
        if refused is not None:
            return refused
        if request.method == "DESCRIBE" and found:
            return self._describe(request, *found)
        if request.method == "SETUP" and found:
            return self._set_up(request, *found)
        return self._in_session(request, now_us)

    def _refuse_login(self, camera: Camera, request: Request, now_us: int) -> _Answer | None:
        given = request.headers.get("authorization")
        login = camera.login
        if camera.refuses_logins(now_us):
            if login.scheme is LoginScheme.NONE:
                login = self._refusal
        elif login.accepts(request.method, given):
            return None
        return 401, [("WWW-Authenticate", login.challenge(given))], b""

    def _describe(self, request: Request, camera: Camera, stream: Stream) -> _Answer:
        body = describe(
            camera.name, id(stream) & 0xFFFFFFFF, self._host, stream.track.clip.format,
            with_parameter_sets=not camera.faults.no_sprop,
        )  # fmt: skip
        base = request.url.rstrip("/") + "/"
        return 200, [("Content-Type", "application/sdp"), ("Content-Base", base)], body

    def _set_up(self, request: Request, camera: Camera, stream: Stream) -> _Answer:
        if self.session is not None:
            return 455, [], b""
        wanted = next(
            (
                option
                for option in parse_transports(request.headers.get("transport", ""))
                if ("tcp" if option.is_tcp else "udp") in self._street.transports
            ),
            None,
        )
        if wanted is None:
            return 461, [], b""
        try:
            session, transport = self._make_session(wanted, camera, stream)
        except OSError as error:
            _log.warning("%s: no ports for a session: %s", camera.name, error.strerror)
            return 453, [], b""
        self.session = session
        camera.truths.append(session.truth)
        return 200, [("Transport", transport), *self._session_header()], b""

    def _make_session(
        self, wanted: WantedTransport, camera: Camera, stream: Stream
    ) -> tuple[Session, str]:
        udp = None if wanted.is_tcp else UdpOutlet(self._host, self._client_host, wanted.ports)
        street = self._street
        session = Session(
            camera, stream, street.clock, street.pacing, self._outlet, udp,
            wanted.ports if wanted.is_tcp else (0, 0),
        )  # fmt: skip
        ports = f"{wanted.ports[0]}-{wanted.ports[1]}"
        ssrc = f"ssrc={session.ssrc:08X}"
        if udp is None:
            return session, f"RTP/AVP/TCP;unicast;interleaved={ports};{ssrc}"
        server = f"{udp.ports[0]}-{udp.ports[1]}"
        return session, f"RTP/AVP;unicast;client_port={ports};server_port={server};{ssrc}"

    def _session_header(self) -> list[tuple[str, str]]:
        if self.session is None:
            return []
        timeout_s = self._street.pacing.session_timeout_us // US_PER_S
        return [("Session", f"{self.session.id};timeout={timeout_s}")]

    def _in_session(self, request: Request, now_us: int) -> _Answer:
        session = self.session
        named = request.headers.get("session", "").partition(";")[0].strip()
        if session is None or (named and named != session.id):
            if request.method == "GET_PARAMETER" and not named:
                return 200, [], b""
            return 454, [], b""
        headers = self._session_header()
        if request.method == "PLAY":
            if not session.is_playing:
                session.begin(now_us)
            url = request.url.rstrip("/").removesuffix("/" + CONTROL)
            info = (
                f"url={url}/{CONTROL};seq={session.sequence & 0xFFFF}"
                f";rtptime={session.next_rtp_timestamp}"
            )
            return 200, [*headers, ("Range", "npt=now-"), ("RTP-Info", info)], b""
        if request.method == "PAUSE":
            session.is_playing = False
        elif request.method == "TEARDOWN":
            session.end()
            self.session = None
            return 200, [], b""
        return 200, headers, b""

    def close(self) -> None:
        """End the connection and its session."""
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._sock)
        if self.session is not None:
            self.session.end()
        self._sock.close()
        self._street.closed(self)

    def abort(self) -> None:
        """End it as a machine does that lost its power: the client gets a reset."""
        if not self.is_closed:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self.close()

    @property
    def is_broken(self) -> bool:
        """Whether its outlet can send no more."""
        return self._outlet.is_broken

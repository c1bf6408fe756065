"""One RTSP session as a client, sans-IO: bytes and `now` go in, bytes to send come out.

RFC 2326; what real devices do otherwise is named by its quirk. The caller owns the connection, sends
`data_to_send()` after every call, calls `on_timer` when `next_timer_us` is due, and hands over media
by itself once `state` is `PLAYING` (what came behind the answer to PLAY is in `rest()`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from khupho.errors import Fault, KhuphoError
from khupho.media.formats import AudioFormat
from khupho.units import US_PER_S
from khupho.wire.rtsp.auth import Authenticator
from khupho.wire.rtsp.errors import RtspError, SessionRedirected, TransportRefused
from khupho.wire.rtsp.message import (
    MessageReader,
    Reply,
    ServerRequest,
    reply_bytes,
    request_bytes,
)
from khupho.wire.rtsp.sdp import MediaDescription, SessionDescription, parse_sdp
from khupho.wire.rtsp.states import TRANSITIONS, State, Step
from khupho.wire.rtsp.tracks import audio_format
from khupho.wire.rtsp.transport import TransportReply, ask_interleaved, ask_udp, parse_transport
from khupho.wire.rtsp.url import RtspUrl, base_url, control_urls, redirect_target

ANSWER_PATIENCE_US = 10 * US_PER_S
KEEP_ALIVE_MOST_US = 25 * US_PER_S
DEFAULT_SESSION_TIMEOUT_S = 60
USER_AGENT = "KhuPho/0.1"
_MAX_SIGN_INS = 3
_SESSION = re.compile(r"^\s*([^;\s]{1,256})\s*(?:;.*?timeout\s*=\s*(\d{1,6}))?", re.I)
_TRY_OTHER_CONTROL = frozenset({400, 404, 451, 455})

_REFUSALS: dict[int, tuple[str, str]] = {
    403: ("The camera forbids this stream to this user", "Give the user the right to watch live"),
    404: ("The camera knows no stream at that address", "Correct the path of its address"),
    451: ("The camera does not understand the request", "Update its firmware"),
    453: (
        "The camera serves too many viewers already",
        "End another viewer, or raise its limit; it is tried again by itself",
    ),
    454: ("The camera has forgotten the session", "It is opened again by itself"),
    500: ("The camera reports a fault of its own", "If it stays so, restart the camera"),
    503: ("The camera is too busy", "If it stays so, end another viewer or restart the camera"),
}


@dataclass(slots=True)
class SetUpTrack:
    """One track that the device agreed to send."""

    kind: str
    """`video` or `audio`."""
    media: MediaDescription
    rtp_channel: int
    """Interleaved channel, or over UDP the index of its pair of ports, doubled."""
    rtcp_channel: int
    reply: TransportReply


@dataclass(slots=True)
class _Request:
    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    signed: bool = False
    sign_ins: int = 0
    sequence: int = 0


class RtspClient:
    """Drives one session from OPTIONS to TEARDOWN. Every method may raise `RtspError`, after which
    only `teardown()` and `data_to_send()` make sense."""

    def __init__(
        self,
        url: RtspUrl,
        user: str,
        password: str,
        *,
        make_cnonce: Callable[[], str],
        audio: bool = False,
        udp_ports: Sequence[tuple[int, int]] = (),
    ) -> None:
        """`udp_ports`: pairs of local ports, one for each track; empty asks for interleaving."""
        self.url = url
        self.state = State.IDLE
        self.tracks: list[SetUpTrack] = []
        self.description: SessionDescription | None = None
        self.server = ""
        self.audio_note = ""
        """Why audio is not to be had although it was asked for."""
        self._audio_wanted = audio
        self._udp_ports = tuple(udp_ports)
        self._authenticator = Authenticator(user, password, make_cnonce)
        self._reader = MessageReader()
        self._out = bytearray()
        self._sequence = 0
        self._pending: _Request | None = None
        self._deadline_us = 0
        self._base = str(url)
        self._wanted: list[tuple[str, MediaDescription]] = []
        self._controls: list[str] = []
        self._session_id = ""
        self._timeout_s = DEFAULT_SESSION_TIMEOUT_S
        self._keep_alives = ["OPTIONS"]
        self._keep_alive_us = 0

    @property
    def sign_in(self) -> str:
        """How the device asks for the password, for people; empty if it doesn't."""
        return self._authenticator.scheme

    # What the caller does

    def start(self, now_us: int) -> None:
        """Begin the session."""
        self._move(Step.STARTED)
        self._ask(_Request("OPTIONS", str(self.url)), now_us)

    def data_to_send(self) -> bytes:
        """What must be sent now, once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def rest(self) -> bytes:
        """Media that came behind the answer to PLAY."""
        return self._reader.rest()

    def receive(self, data: bytes | memoryview, now_us: int) -> None:
        """Take bytes from the device. Reads no further than the answer to PLAY."""
        self._reader.feed(data)
        was_playing = self.state is State.PLAYING
        while (message := self._reader.next()) is not None:
            if isinstance(message, Reply):
                self._answered(message, now_us)
            else:
                self._asked(message)
            if self.state is State.PLAYING and not was_playing:
                return

    def next_timer_us(self) -> int:
        """When `on_timer` is due."""
        return self._keep_alive_us if self.state is State.PLAYING else self._deadline_us

    def on_timer(self, now_us: int) -> None:
        """Keep the session alive, or give up an answer that doesn't come."""
        if now_us < self.next_timer_us():
            return
        if self.state is State.PLAYING:
            # An unanswered one is no fault: some devices never answer (quirk 23).
            self._ask(_Request(self._keep_alives[0], self._base), now_us)
            self._keep_alive_us = now_us + self._keep_alive_interval_us()
        elif self.state is State.TEARDOWN:
            self._move(Step.ANSWERED)
        elif self._pending is not None:
            method = self._pending.method
            self._move(Step.FAILED)
            raise RtspError(
                f"The camera took the connection but does not answer {method}",
                where=str(self.url),
                advice="It may be starting or overloaded; if it stays so, restart it",
                fault=Fault.CAMERA,
            )

    def teardown(self, now_us: int) -> None:
        """Leave in good order: some devices keep sending, or fail, after an abrupt end (26, 51)."""
        if self.state is State.CLOSED and self._session_id:
            self.state = State.TEARDOWN  # a failed session is left in good order too
        else:
            self._move(Step.LEAVING)
        if self.state is State.TEARDOWN:
            self._ask(_Request("TEARDOWN", self._base), now_us)
            self._session_id = ""
        self._deadline_us = now_us + US_PER_S

    def receiver_report_due(self) -> bool:
        """Whether RTCP may be sent: only while the session plays."""
        return self.state is State.PLAYING

    # What the device says

    def _answered(self, reply: Reply, now_us: int) -> None:
        request = self._match(reply)
        if request is None:
            return
        if reply.status == 401 and self.state is not State.TEARDOWN:
            self._sign_in(request, reply, now_us)
            return
        self.server = self.server or reply.headers.get("server")[:80]
        if self.state is State.PLAYING:
            self._keep_alive_answered(request, reply)
        elif request.method == "TEARDOWN":
            self._move(Step.ANSWERED)
        elif request.method == "OPTIONS":
            self._options_answered(reply, now_us)
        elif request.method == "DESCRIBE":
            self._describe_answered(reply, now_us)
        elif request.method == "SETUP":
            self._setup_answered(reply, now_us)
        elif request.method == "PLAY":
            self._play_answered(reply, now_us)

    def _match(self, reply: Reply) -> _Request | None:
        """The request that is answered. A wrong or missing CSeq is forgiven where only one waits."""
        request = self._pending
        if request is None or self.state is State.CLOSED:
            return None
        text = reply.headers.get("cseq").strip()
        if text.isascii() and text.isdigit() and int(text[:9]) < request.sequence:
            return None  # a late answer to an older request
        self._pending = None
        return request

    def _sign_in(self, request: _Request, reply: Reply, now_us: int) -> None:
        try:
            self._authenticator.challenged(
                reply.headers.all("www-authenticate"), answered=request.signed
            )
            if request.sign_ins >= _MAX_SIGN_INS:
                raise RtspError("The camera asks for the password again and again")
        except RtspError:
            self._move(Step.FAILED)
            raise
        request.sign_ins += 1
        self._ask(request, now_us)

    def _asked(self, request: ServerRequest) -> None:
        if request.method == "REDIRECT":
            self._redirect(request.headers.get("location"))
        self._out += reply_bytes(200, "OK", request)
        if request.method == "TEARDOWN":
            self._move(Step.FAILED)
            raise RtspError("The camera ended the session", where=str(self.url))

    def _options_answered(self, reply: Reply, now_us: int) -> None:
        # What else an OPTIONS fails with is of no matter: DESCRIBE will tell.
        public = {word.strip().upper() for word in reply.headers.get("public").split(",")}
        self._keep_alives = [
            method for method in ("GET_PARAMETER", "SET_PARAMETER") if method in public
        ] + ["OPTIONS"]
        self._move(Step.ANSWERED)
        self._ask(_Request("DESCRIBE", str(self.url), [("Accept", "application/sdp")]), now_us)

    def _describe_answered(self, reply: Reply, now_us: int) -> None:
        if 300 <= reply.status < 400:
            self._redirect(reply.headers.get("location"))
        self._check(reply, "DESCRIBE")
        headers = reply.headers
        self._base = base_url(
            str(self.url), headers.get("content-base"), headers.get("content-location")
        )
        try:
            self.description = parse_sdp(reply.body)
            self._choose_tracks(self.description)
        except KhuphoError:
            self._move(Step.FAILED)
            raise
        self._move(Step.ANSWERED)
        self._set_up_next(now_us)

    def _choose_tracks(self, description: SessionDescription) -> None:
        video = description.video()
        if video is None:
            offered = ", ".join(sorted({m.encoding or m.kind for m in description.media}))
            raise RtspError(
                "The camera offers no H.264 or H.265 picture",
                where=f"offered: {offered or 'nothing'}",
                advice="Set its stream to H.264 or H.265",
            )
        self._wanted = [("video", video)]
        if not self._audio_wanted:
            return
        audio = description.audio()
        if audio is None:
            self.audio_note = "the camera offers no sound"
            return
        try:
            usable: AudioFormat | None = audio_format(audio)
        except KhuphoError as error:
            usable = None
            self.audio_note = error.what  # quirk 47: the picture is recorded all the same
        if usable is not None:
            self._wanted.append(("audio", audio))

    def _set_up_next(self, now_us: int) -> None:
        _kind, media = self._wanted[0]
        self._controls = list(control_urls(self._base, media.control))
        self._ask_set_up(now_us)

    def _ask_set_up(self, now_us: int) -> None:
        channel = 2 * len(self.tracks)
        if self._udp_ports:
            transport = ask_udp(*self._udp_ports[len(self.tracks)])
        else:
            transport = ask_interleaved(channel)
        self._ask(_Request("SETUP", self._controls.pop(0), [("Transport", transport)]), now_us)

    def _setup_answered(self, reply: Reply, now_us: int) -> None:
        if reply.status in _TRY_OTHER_CONTROL and self._controls:
            self._ask_set_up(now_us)
            return
        kind, media = self._wanted.pop(0)
        if kind == "audio" and not 200 <= reply.status < 300:
            self.audio_note = f"the camera refuses its sound (status {reply.status})"
        else:
            self._check(reply, "SETUP")
            self._take_session(reply)
            self.tracks.append(self._track(kind, media, reply))
        if self._wanted:
            self._move(Step.ANOTHER_TRACK)
            self._set_up_next(now_us)
            return
        self._move(Step.ANSWERED)
        control = self.description.control if self.description else ""
        url = control_urls(self._base, control)[0]
        self._ask(_Request("PLAY", url, [("Range", "npt=0.000-")]), now_us)

    def _take_session(self, reply: Reply) -> None:
        match = _SESSION.match(reply.headers.get("session"))
        if match is None or self._session_id:
            return  # a changed id: the first one counts (quirk 15)
        self._session_id = match[1]
        if match[2] and int(match[2]) > 0:
            self._timeout_s = int(match[2])

    def _track(self, kind: str, media: MediaDescription, reply: Reply) -> SetUpTrack:
        transport = parse_transport(reply.headers.get("transport"))
        asked = 2 * len(self.tracks)
        channels = (asked, asked + 1)
        if not self._udp_ports:
            if transport.interleaved is None and transport.server_ports is not None:
                self._move(Step.FAILED)
                raise TransportRefused("The camera insists on UDP", where=str(self.url))
            taken = {t.rtp_channel for t in self.tracks} | {t.rtcp_channel for t in self.tracks}
            answered = transport.interleaved
            if answered is not None and not taken & set(answered):
                channels = answered  # quirk 14
        return SetUpTrack(kind, media, *channels, transport)

    def _play_answered(self, reply: Reply, now_us: int) -> None:
        if 300 <= reply.status < 400:
            self._redirect(reply.headers.get("location"))
        self._check(reply, "PLAY")
        self._move(Step.ANSWERED)
        self._keep_alive_us = now_us + self._keep_alive_interval_us()

    def _keep_alive_interval_us(self) -> int:
        return max(US_PER_S, min(KEEP_ALIVE_MOST_US, self._timeout_s * US_PER_S // 2))

    def _keep_alive_answered(self, request: _Request, reply: Reply) -> None:
        if reply.status == 454:
            self._check(reply, request.method)
        elif reply.status >= 400 and len(self._keep_alives) > 1:
            self._keep_alives.pop(0)  # advertised and yet refused (quirk 21)

    def _check(self, reply: Reply, method: str) -> None:
        if 200 <= reply.status < 300:
            return
        self._move(Step.FAILED)
        where = f"{method} {self.url}: {reply.status} {reply.reason[:80]}"
        if reply.status == 461:
            raise TransportRefused("The camera refuses this transport", where=where)
        what, advice = _REFUSALS.get(
            reply.status, (f"The camera refuses {method}", "Look at its own log or settings")
        )
        raise RtspError(what, where=where, advice=advice)

    def _redirect(self, location: str) -> None:
        self._move(Step.FAILED)
        raise SessionRedirected(str(redirect_target(self.url, location)))

    # Helpers

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _ask(self, request: _Request, now_us: int) -> None:
        self._sequence += 1
        request.sequence = self._sequence
        headers = [("User-Agent", USER_AGENT)]  # some devices refuse those without (quirk 17)
        if self._session_id:
            headers.append(("Session", self._session_id))
        signature = self._authenticator.header(request.method, request.url)
        request.signed = signature is not None
        if signature is not None:
            headers.append(("Authorization", signature))
        self._out += request_bytes(
            request.method, request.url, request.sequence, headers + request.headers
        )
        self._pending = request
        self._deadline_us = now_us + ANSWER_PATIENCE_US

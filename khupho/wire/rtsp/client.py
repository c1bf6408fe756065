"""One RTSP session as a client, sans-IO: bytes and `now` go in, bytes to send come out.

RFC 2326; what real devices do otherwise is named by its quirk. The caller owns the connection, sends
`data_to_send()` after every call, calls `on_timer` when `next_timer_us` is due, and hands over media
by itself once `state` is `PLAYING` (what came before it began to read is in `rest()`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from khupho.errors import KhuphoError
from khupho.units import US_PER_S
from khupho.wire.rtsp.auth import Authenticator
from khupho.wire.rtsp.errors import RtspError, SessionRedirected, TransportRefused
from khupho.wire.rtsp.message import (
    MessageReader,
    Reply,
    ServerRequest,
    reply_bytes,
)
from khupho.wire.rtsp.refusals import (
    INVALID_RANGE,
    OTHER_PLAY_ADDRESS,
    refusal,
    silence,
)
from khupho.wire.rtsp.request import Request
from khupho.wire.rtsp.sdp import SessionDescription, parse_sdp
from khupho.wire.rtsp.states import TRANSITIONS, State, Step
from khupho.wire.rtsp.track_setup import MAX_ADDRESSES, SetUpTrack, TrackSetup
from khupho.wire.rtsp.tracks import wanted_tracks
from khupho.wire.rtsp.url import RtspUrl, base_url, control_urls, is_absolute, redirect_target

ANSWER_PATIENCE_US = 10 * US_PER_S
CUT_BODY_PATIENCE_US = 3 * US_PER_S
"""How long the rest of an announced body is waited for before what came is taken (quirk 16)."""
UNANNOUNCED_BODY_PATIENCE_US = US_PER_S
KEEP_ALIVE_MOST_US = 25 * US_PER_S
DEFAULT_SESSION_TIMEOUT_S = 60
USER_AGENT = "KhuPho/0.1"
_MAX_SIGN_INS = 3
_SESSION = re.compile(r"^\s*([^;\s]{1,256})\s*(?:;.*?timeout\s*=\s*\"?(\d{1,6}))?", re.I)
_RANGE = ("Range", "npt=0.000-")


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
        self.description: SessionDescription | None = None
        self.server = ""
        self.forgotten = False
        """The device says it knows the session no more. Whether that is so, media tells."""
        self._audio_wanted = audio
        self._audio_note = ""
        self._udp_ports = tuple(udp_ports)
        self._authenticator = Authenticator(user, password, make_cnonce)
        self._reader = MessageReader()
        self._out = bytearray()
        self._sequence = 0
        self._pending: Request | None = None
        self._half: tuple[Reply, bytes] | None = None
        """The answer to DESCRIBE while the body that it didn't announce comes in."""
        self._deadline_us = 0
        self._aggregates = [str(url)]
        """Addresses of the whole session, likeliest first."""
        self._setup = TrackSetup((), (), ())
        self._offered_session = ""
        self._session_id = ""
        self._timeout_s = DEFAULT_SESSION_TIMEOUT_S
        self._keep_alives = ["OPTIONS"]
        self._keep_alive_us = 0

    @property
    def sign_in(self) -> str:
        """How the device asks for the password, for people; empty if it doesn't."""
        return self._authenticator.scheme

    @property
    def tracks(self) -> list[SetUpTrack]:
        """What the device agreed to send, the picture first."""
        return self._setup.tracks

    @property
    def audio_note(self) -> str:
        """Why audio is not to be had although it was asked for; else empty."""
        return self._audio_note or self._setup.audio_note

    # What the caller does

    def start(self, now_us: int) -> None:
        """Begin the session."""
        self._move(Step.STARTED)
        self._ask(Request("OPTIONS", str(self.url)), now_us)

    def data_to_send(self) -> bytes:
        """What must be sent now, once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def rest(self) -> bytes:
        """Media that came around the answer to PLAY."""
        return self._reader.rest()

    def receive(self, data: bytes | memoryview, now_us: int) -> None:
        """Take bytes from the device. Reads no further than the answer to PLAY."""
        self._reader.feed(data)
        if self._half is not None:
            self._half = (self._half[0], self._half[1] + self._reader.overhang())
            self._deadline_us = now_us + UNANNOUNCED_BODY_PATIENCE_US
            return
        was_playing = self.state is State.PLAYING
        while self._half is None and (message := self._reader.next()) is not None:
            if isinstance(message, Reply):
                self._answered(message, now_us)
            else:
                self._asked(message)
            if self.state is State.PLAYING and not was_playing:
                return
        if self._pending is not None and self._reader.cut_reply() is not None:
            self._deadline_us = now_us + CUT_BODY_PATIENCE_US

    def next_timer_us(self) -> int:
        """When `on_timer` is due."""
        return self._keep_alive_us if self.state is State.PLAYING else self._deadline_us

    def on_timer(self, now_us: int) -> None:
        """Keep the session alive, take what came of a body, or give up an answer."""
        if now_us < self.next_timer_us():
            return
        if self.state is State.PLAYING:
            # An unanswered one is no fault: some devices never answer (quirk 23).
            self._ask(Request(self._keep_alives[0], self._aggregates[0]), now_us)
            self._keep_alive_us = now_us + self._keep_alive_interval_us()
        elif self.state is State.TEARDOWN:
            self._move(Step.ANSWERED)
        elif self._half is not None:
            (reply, body), self._half = self._half, None
            self._described(reply, body, now_us)
        elif self._pending is not None:
            cut = self._reader.cut_reply()
            if cut is None:
                raise self._failed(silence(self._pending.method, str(self.url)))
            self._reader.rest()
            self._answered(cut, now_us)

    def teardown(self, now_us: int) -> None:
        """Leave in good order: some devices keep sending, or fail, after an abrupt end (26, 51)."""
        if self.state is State.CLOSED and self._session_id:
            self.state = State.TEARDOWN  # a failed session is left in good order too
        else:
            self._move(Step.LEAVING)
        if self.state is State.TEARDOWN:
            self._ask(Request("TEARDOWN", self._aggregates[0]), now_us)
            self._session_id = ""
        self._deadline_us = now_us + US_PER_S

    @property
    def is_signing_in(self) -> bool:
        """A signed request is under way, and none was let in before."""
        pending = self._pending
        return pending is not None and pending.signed and not self._authenticator.was_accepted

    def on_another_connection(self) -> RtspClient:
        """A client that begins anew and signs from its first request on: some devices close the
        connection with their 401, and want the answer on another one."""
        client = RtspClient(
            self.url, "", "", make_cnonce=str, audio=self._audio_wanted, udp_ports=self._udp_ports
        )
        client._authenticator = self._authenticator
        self._authenticator.moved()
        return client

    def receiver_report_due(self) -> bool:
        """Whether RTCP may be sent: only while the session plays."""
        return self.state is State.PLAYING

    # What the device says

    def _answered(self, reply: Reply, now_us: int) -> None:
        if reply.status < 200:
            self._deadline_us = now_us + ANSWER_PATIENCE_US
            return
        request = self._match(reply)
        if request is None:
            return
        if request.signed and reply.status < 400:
            self._authenticator.accepted(
                reply.headers.get("authentication-info"), proven=request.proves_password
            )
        self.server = self.server or reply.headers.get("server")[:80]
        if reply.status == 401 and self.state is not State.TEARDOWN:
            self._sign_in(request, reply, now_us)
        elif self.state is State.PLAYING:
            self._keep_alive_answered(reply)
        elif request.method == "TEARDOWN":
            self._move(Step.ANSWERED)
        elif request.method == "OPTIONS":
            self._options_answered(reply, now_us)
        elif request.method == "DESCRIBE":
            self._describe_answered(reply, now_us)
        elif request.method == "SETUP":
            self._setup_answered(reply, now_us)
        elif request.method == "PLAY":
            self._play_answered(request, reply, now_us)

    def _match(self, reply: Reply) -> Request | None:
        """The request that is answered. A wrong or missing CSeq is forgiven where only one waits."""
        request = self._pending
        if request is None or self.state is State.CLOSED:
            return None
        text = reply.headers.get("cseq").strip()
        older = text.isascii() and text.isdigit() and int(text[:9]) < request.sequence
        if older and not request.fits(reply):
            return None  # a late or second answer to an older request
        self._pending = None
        return request

    def _sign_in(self, request: Request, reply: Reply, now_us: int) -> None:
        try:
            self._authenticator.challenged(
                reply.headers.all("www-authenticate"), answered=request.signed
            )
            if request.sign_ins >= _MAX_SIGN_INS:
                raise RtspError("The camera asks for the password again and again")
        except RtspError as error:
            if self.state is not State.PLAYING:
                raise self._failed(error) from None
            self._keep_alive_answered(reply)  # what plays is not ended by a refused sign of life
            return
        request.sign_ins += 1
        self._ask(request, now_us)

    def _asked(self, request: ServerRequest) -> None:
        if request.method == "REDIRECT":
            self._redirect(request.headers.get("location"))
        self._out += reply_bytes(200, "OK", request)
        if request.method == "TEARDOWN":
            raise self._failed(RtspError("The camera ended the session", where=str(self.url)))

    def _options_answered(self, reply: Reply, now_us: int) -> None:
        # What else an OPTIONS fails with is of no matter: DESCRIBE will tell.
        lines = [*reply.headers.all("public"), *reply.headers.all("allow")]
        public = {word.strip().upper() for word in ",".join(lines).split(",")}
        self._keep_alives = [
            method for method in ("GET_PARAMETER", "SET_PARAMETER") if method in public
        ] + ["OPTIONS"]
        self._move(Step.ANSWERED)
        self._ask(Request("DESCRIBE", str(self.url), [("Accept", "application/sdp")]), now_us)

    def _describe_answered(self, reply: Reply, now_us: int) -> None:
        self._check(reply, "DESCRIBE")
        overhang = self._reader.overhang()
        if reply.body:
            self._described(reply, reply.body + overhang, now_us)
        else:
            self._half = (reply, overhang)
            self._deadline_us = now_us + UNANNOUNCED_BODY_PATIENCE_US

    def _described(self, reply: Reply, body: bytes, now_us: int) -> None:
        headers = reply.headers
        asked = str(self.url)
        try:
            self.description = parse_sdp(body)
            wanted, self._audio_note = wanted_tracks(self.description, audio=self._audio_wanted)
        except KhuphoError as error:
            raise self._failed(error) from None
        control = self.description.control
        base = base_url(asked, headers.get("content-base"), headers.get("content-location"))
        self._aggregates = list(control_urls(base, control, asked))[:MAX_ADDRESSES]
        # A session's own absolute address is what most clients append the tracks' controls to.
        bases = (self._aggregates[0], base) if is_absolute(control) else (base, self._aggregates[0])
        self._setup = TrackSetup(wanted, (*bases, asked), self._udp_ports)
        match = _SESSION.match(headers.get("session"))
        self._offered_session = match[1] if match else ""
        self._move(Step.ANSWERED)
        self._ask(self._setup.request(), now_us)

    def _setup_answered(self, reply: Reply, now_us: int) -> None:
        if 200 <= reply.status < 300:
            self._take_session(reply)
        try:
            refused = self._setup.answered(reply)
        except TransportRefused as error:
            raise self._failed(error) from None
        if refused is not None:
            self._check(refused, "SETUP")
        if not self._setup.is_complete:
            self._move(Step.ANOTHER_TRACK)
            self._ask(self._setup.request(), now_us)
            return
        if len(self.tracks) == 1 and self.tracks[0].url not in self._aggregates:
            self._aggregates.append(self.tracks[0].url)
        self._move(Step.ANSWERED)
        self._reader.keep_frames = not self._udp_ports
        self._ask(Request("PLAY", self._aggregates[0], [_RANGE]), now_us)

    def _take_session(self, reply: Reply) -> None:
        match = _SESSION.match(reply.headers.get("session"))
        if self._session_id:
            return  # a changed id: the first one counts (quirk 15)
        self._session_id = match[1] if match else self._offered_session
        if match and match[2] and int(match[2]) > 0:
            self._timeout_s = int(match[2])

    def _play_answered(self, request: Request, reply: Reply, now_us: int) -> None:
        if reply.status == INVALID_RANGE and request.headers:
            self._ask(Request("PLAY", request.url), now_us)
            return
        if reply.status in OTHER_PLAY_ADDRESS and len(self._aggregates) > 1:
            self._aggregates.pop(0)
            self._ask(Request("PLAY", self._aggregates[0], request.headers), now_us)
            return
        self._check(reply, "PLAY")
        self._move(Step.ANSWERED)
        self._reader.keep_frames = False
        self._keep_alive_us = now_us + self._keep_alive_interval_us()

    def _keep_alive_interval_us(self) -> int:
        return max(US_PER_S, min(KEEP_ALIVE_MOST_US, self._timeout_s * US_PER_S // 2))

    def _keep_alive_answered(self, reply: Reply) -> None:
        # No refusal ends what plays: devices say 454 of living sessions too (quirk 21).
        self.forgotten = reply.status == 454
        if reply.status >= 400 and len(self._keep_alives) > 1:
            self._keep_alives.pop(0)  # advertised and yet refused

    # Helpers

    def _check(self, reply: Reply, method: str) -> None:
        """Raise what a status other than 2xx stands for."""
        if 300 <= reply.status < 400:
            self._redirect(reply.headers.get("location"))
        if not 200 <= reply.status < 300:
            raise self._failed(refusal(reply, method, str(self.url)))

    def _redirect(self, location: str) -> None:
        self._move(Step.FAILED)
        raise SessionRedirected(str(redirect_target(self.url, location)))

    def _failed(self, error: KhuphoError) -> KhuphoError:
        self._move(Step.FAILED)
        return error

    def _move(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _ask(self, request: Request, now_us: int) -> None:
        self._sequence += 1
        request.sequence = self._sequence
        headers = [("User-Agent", USER_AGENT)]  # some devices refuse those without (quirk 17)
        if self._session_id:
            headers.append(("Session", self._session_id))
        signature = self._authenticator.header(request.method, request.url)
        request.signed = signature is not None
        if signature is not None:
            headers.append(("Authorization", signature))
        self._out += request.encoded(headers)
        self._pending = request
        self._deadline_us = now_us + ANSWER_PATIENCE_US

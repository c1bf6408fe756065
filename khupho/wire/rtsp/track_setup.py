"""Setting up the wanted tracks, one after another: which addresses each is asked for at, and what the device
agreed to (RFC 2326 section 10.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from khupho.wire.rtsp.message import Reply
from khupho.wire.rtsp.refusals import NO_OTHER_ADDRESS
from khupho.wire.rtsp.request import Request
from khupho.wire.rtsp.sdp import MediaDescription
from khupho.wire.rtsp.transport import TransportReply, agreed_transport, ask_interleaved, ask_udp
from khupho.wire.rtsp.url import control_urls

MAX_ADDRESSES = 6
"""So many are tried for one track, or for the whole session."""


@dataclass(slots=True)
class SetUpTrack:
    """One track that the device agreed to send."""

    kind: str
    """`video` or `audio`."""
    media: MediaDescription
    url: str
    """The address at which it was set up."""
    rtp_channel: int
    """Interleaved channel, or over UDP the index of its pair of ports, doubled."""
    rtcp_channel: int
    reply: TransportReply


class TrackSetup:
    """Asks for tracks. Each `request()` is answered by `answered()`, until `is_complete`."""

    def __init__(
        self,
        wanted: Sequence[tuple[str, MediaDescription]],
        bases: Sequence[str],
        udp_ports: Sequence[tuple[int, int]],
    ) -> None:
        """`wanted`: kinds and descriptions, the picture first. `bases`: what the tracks' controls may be
        relative to, likeliest first. `udp_ports`: ours, a pair a track; empty asks for interleaving."""
        self.tracks: list[SetUpTrack] = []
        self.audio_note = ""
        """Why the device doesn't send its sound, if it refused that."""
        self._wanted = list(wanted)
        self._bases = tuple(bases)
        self._udp_ports = udp_ports
        self._controls: list[str] = []
        """Addresses of the track in turn that are yet to be tried."""
        self._first_refusal: Reply | None = None

    @property
    def is_complete(self) -> bool:
        """Each wanted track was answered for."""
        return not self._wanted

    def request(self) -> Request:
        """The SETUP that is next."""
        if not self._controls:
            base, *others = self._bases
            _kind, media = self._wanted[0]
            self._controls = list(control_urls(base, media.control, *others))[:MAX_ADDRESSES]
            self._first_refusal = None
        count = len(self.tracks)
        transport = (
            ask_udp(*self._udp_ports[count]) if self._udp_ports else ask_interleaved(2 * count)
        )
        return Request("SETUP", self._controls[0], [("Transport", transport)])

    def answered(self, reply: Reply) -> Reply | None:
        """Take an answer. Returns the refusal of a track that there is no recording without.

        Raises `TransportRefused` where the device means another transport than was asked for.
        """
        url = self._controls.pop(0)
        accepted = 200 <= reply.status < 300
        if reply.status >= 400 and reply.status not in NO_OTHER_ADDRESS and self._controls:
            self._first_refusal = self._first_refusal or reply
            return None
        self._controls = []
        kind, media = self._wanted.pop(0)
        if accepted:
            self.tracks.append(self._agreed(kind, media, url, reply))
        elif kind == "audio":
            self.audio_note = f"the camera refuses its sound (status {reply.status})"
        else:
            return self._first_refusal or reply
        return None

    def _agreed(self, kind: str, media: MediaDescription, url: str, reply: Reply) -> SetUpTrack:
        over_udp = bool(self._udp_ports)
        transport = agreed_transport(reply.headers.get("transport"), over_udp=over_udp)
        asked = 2 * len(self.tracks)
        channels = (asked, asked + 1)
        taken = {t.rtp_channel for t in self.tracks} | {t.rtcp_channel for t in self.tracks}
        if transport.interleaved and not over_udp and not taken & set(transport.interleaved):
            channels = transport.interleaved  # quirk 14
        return SetUpTrack(kind, media, url, *channels, transport)

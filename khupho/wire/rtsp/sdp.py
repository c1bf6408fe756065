"""SDP as cameras write it (RFC 8866, RFC 4566): read line by line, refusing almost nothing."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from khupho.media import aac
from khupho.wire.rtsp.errors import RtspError

MAX_SDP_BYTES = 256 * 1024
MAX_MEDIA = 32
_MAX_LINES = 2_000

_VIDEO = ("H264", "H265")
_AUDIO = ("MPEG4-GENERIC", "PCMU", "PCMA")
_STATIC_PAYLOADS = {
    0: ("PCMU", 8_000, 1),
    8: ("PCMA", 8_000, 1),
    26: ("JPEG", 90_000, 1),
}
"""Payload types that need no rtpmap (RFC 3551 section 6); only those a camera sends."""

_NAMES = {
    "AVC": "H264",
    "AVC1": "H264",
    "H.264": "H264",
    "HEVC": "H265",
    "HEV1": "H265",
    "HVC1": "H265",
    "H.265": "H265",
    "G711U": "PCMU",
    "G711A": "PCMA",
}
"""Names that devices write for a registered one."""

_LINE = re.compile(r"\s*([A-Za-z])\s*=(.*)", re.S)
_RTPMAP = re.compile(r"^\s*(\d{1,3})\s+([^/\s]{1,60})\s*(?:/\s*(\d{1,9}))?\s*(?:/\s*(\d{1,3}))?")
_FMTP = re.compile(r"\s*(?:(\d{1,3})(?![\d=]))?[\s;:,]*(.*)", re.S)
_SPROP = re.compile(r"(sprop-[a-z-]{3,20})\s*=\s*([^;]{1,8192})", re.I)
_RATE = re.compile(r"\d{1,4}(?:\.\d{1,9})?")


@dataclass(slots=True)
class MediaDescription:
    """One `m=` section."""

    kind: str
    """`video`, `audio`, `application`, or whatever the device wrote, in lower case."""
    protocol: str
    payload_type: int
    """The one that is taken: the first offered that can be recorded, else the first; -1 unknown."""
    encoding: str = ""
    """Upper case: `H264`, `H265`, `MPEG4-GENERIC`, `PCMU` …; empty if unknown."""
    clock_hz: int = 0
    channels: int = 1
    fmtp: dict[str, str] = field(default_factory=dict)
    control: str = ""
    direction: str = ""
    """`sendonly`, `recvonly`, `sendrecv`, `inactive` or empty."""
    frame_rate: float | None = None
    """As declared; shown, never trusted."""
    offered: tuple[int, ...] = ()
    mapped: int = -1
    """The number that the rtpmap gives, where it is none of those offered."""

    @property
    def payload_types(self) -> frozenset[int]:
        """What its packets may be numbered: all dynamic ones where the description is of no help."""
        numbers = frozenset(n for n in (self.payload_type, self.mapped) if n >= 0)
        return numbers or frozenset(range(96, 128))

    @property
    def is_back_channel(self) -> bool:
        """The device wants to receive here (ONVIF marks it `sendonly` from the client's side)."""
        return self.kind == "audio" and self.direction == "sendonly"


@dataclass(slots=True)
class SessionDescription:
    """A parsed SDP."""

    control: str = ""
    media: list[MediaDescription] = field(default_factory=list)

    def video(self) -> MediaDescription | None:
        """The first track that can be recorded, called video or not; else the first video track."""
        usable = [media for media in self.media if media.encoding in _VIDEO]
        # Devices mark what they send as they like, but `inactive` is only said of what is off.
        usable.sort(key=lambda media: (media.direction == "inactive", media.kind != "video"))
        videos = [media for media in self.media if media.kind == "video"]
        return next(iter(usable + videos), None)

    def audio(self) -> MediaDescription | None:
        """The first audio track that comes from the camera and can be recorded, if any."""
        for wanted_direction in (False, True):
            for media in self.media:
                # Some devices mark their only, sending, track as back channel (quirk 48).
                if (
                    media.kind == "audio"
                    and media.encoding in _AUDIO
                    and media.is_back_channel is wanted_direction
                ):
                    return media
        return None


class _Attribute(NamedTuple):
    media: MediaDescription | None
    """The section it stands in; None before the first."""
    name: str
    text: str


class _Rtpmap(NamedTuple):
    media: MediaDescription
    payload_type: int
    encoding: str
    clock_hz: int
    channels: int


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description. Raises `RtspError` only if it is beyond bounds or has no media."""
    if len(body) > MAX_SDP_BYTES:
        raise RtspError("The camera's description of its stream is too long")
    session = SessionDescription()
    media: MediaDescription | None = None
    attributes: list[_Attribute] = []
    text = body.replace(b"\0", b"").decode("utf-8", "replace")
    for line in re.split(r"[\r\n]+", text, maxsplit=_MAX_LINES)[:_MAX_LINES]:
        match = _LINE.match(line)
        if match is None:
            _continue_fmtp(attributes, line)
        elif match[1] in "mM":
            media = _media(match[2])
            if media is not None and len(session.media) < MAX_MEDIA:
                session.media.append(media)
        elif match[1] in "aA":
            name, _, value = match[2].partition(":")
            attributes.append(_Attribute(media, name.strip().lower(), value.strip()))
    if not session.media:
        raise RtspError(
            "The camera describes no stream",
            advice="Check the path behind the address; each make has its own",
        )
    _apply(session, attributes)
    return session


def _continue_fmtp(attributes: list[_Attribute], line: str) -> None:
    """A line that is none continues an fmtp that the device broke in two (quirk 12)."""
    if attributes and attributes[-1].name == "fmtp":
        last = attributes[-1]
        attributes[-1] = last._replace(text=(last.text + line.strip())[: 64 * 1024])


def _media(value: str) -> MediaDescription | None:
    words = value.split()
    if len(words) < 3:
        return None
    # Seven bits is what a packet has room for.
    offered = tuple(
        int(word) & 0x7F
        for word in words[3:40]
        if word.isascii() and word.isdigit() and len(word) < 4
    )
    return MediaDescription(
        words[0].lower(), words[2].upper(), offered[0] if offered else -1, offered=offered
    )


def _apply(session: SessionDescription, attributes: list[_Attribute]) -> None:
    maps: list[_Rtpmap] = []
    for media, name, text in attributes:
        if name == "rtpmap":
            maps += _rtpmap(session, media, text)
        elif media is None:
            if name == "control":
                session.control = text
        elif name == "control":
            media.control = media.control or text
        elif name in ("sendonly", "recvonly", "sendrecv", "inactive"):
            media.direction = name
        elif name in ("framerate", "x-framerate"):
            match = _RATE.search(text)
            if match and float(match[0]) > 0:
                media.frame_rate = float(match[0])
    for media in session.media:
        _choose_payload(media, [entry for entry in maps if entry.media is media])
    _apply_fmtp(session, [entry for entry in attributes if entry.name == "fmtp"])
    for media in session.media:
        if not media.encoding and media.kind == "video":
            _guess_codec(media)
        elif media.encoding == "MPEG4-GENERIC":
            _complete_aac(media)


def _owner(
    session: SessionDescription, media: MediaDescription | None, payload_type: int
) -> MediaDescription | None:
    """Whose attribute it is: its section's, or that of the track which offers the payload type
    (quirk 12), or its section's all the same."""
    if media is not None and (payload_type in media.offered or not media.offered):
        return media
    return next((m for m in session.media if payload_type in m.offered), media)


def _rtpmap(
    session: SessionDescription, media: MediaDescription | None, text: str
) -> list[_Rtpmap]:
    match = _RTPMAP.match(text)
    owner = _owner(session, media, int(match[1]) & 0x7F) if match else None
    if match is None or owner is None:
        return []
    payload_type = int(match[1]) & 0x7F
    encoding = _NAMES.get(match[2].upper(), match[2].upper())
    if payload_type == 8 and encoding == "PCMU":
        encoding = "PCMA"  # the static number wins over a wrong name (RFC 3551 table 4)
    clock_hz = int(match[3] or 0) or (90_000 if owner.kind == "video" else 8_000)
    if encoding in _VIDEO:
        clock_hz = 90_000  # whatever is written (RFC 6184 section 8.2.1, RFC 7798 section 7.2.1)
    return [_Rtpmap(owner, payload_type, encoding, clock_hz, int(match[4] or 1) or 1)]


def _choose_payload(media: MediaDescription, maps: list[_Rtpmap]) -> None:
    """Take the first payload type offered that can be recorded, else the first that is known."""
    mapped = {entry.payload_type for entry in maps}
    static = [
        _Rtpmap(media, number, *_STATIC_PAYLOADS[number])
        for number in media.offered
        if number in _STATIC_PAYLOADS and number not in mapped
    ]
    # An rtpmap whose number is not offered describes the track only where nothing else does.
    listed = [entry for entry in maps + static if entry.payload_type in media.offered]
    known = listed or maps[:1]
    if not known:
        return
    wanted = _AUDIO if media.kind == "audio" else _VIDEO

    def rank(entry: _Rtpmap) -> tuple[bool, int]:
        place = media.offered.index(entry.payload_type) if listed else 0
        return entry.encoding not in wanted, place

    chosen = min(known, key=rank)
    if listed:
        media.payload_type = chosen.payload_type
    else:
        media.mapped = chosen.payload_type
    media.encoding, media.clock_hz, media.channels = chosen[2:]


def _apply_fmtp(session: SessionDescription, attributes: list[_Attribute]) -> None:
    loose: list[tuple[MediaDescription, dict[str, str]]] = []
    for media, _name, text in attributes:
        match = _FMTP.match(text)
        if match is None:
            continue
        payload_type = int(match[1]) & 0x7F if match[1] else -1
        owner = media if payload_type < 0 else _owner(session, media, payload_type)
        values = _parameters(match[2])
        if owner is None or not values:
            continue
        if payload_type == owner.payload_type:
            owner.fmtp = {**owner.fmtp, **values}
        elif payload_type not in owner.offered:
            loose.append((owner, values))
    for owner, values in loose:
        # A number that nobody offers: better than no parameters at all (quirk 12).
        owner.fmtp = owner.fmtp or values


def _parameters(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals and name.strip():
            values.setdefault(name.strip().lower(), value.strip())
    for match in _SPROP.finditer(text):
        # Also where other signs than `;` part them; what doesn't decode is left out later.
        values.setdefault(match[1].lower(), match[2].strip())
    return values


def _guess_codec(media: MediaDescription) -> None:
    """A track without rtpmap tells its codec by its parameters (quirk 11)."""
    h265 = ("sprop-vps", "sprop-sps", "sprop-pps")
    h264 = ("sprop-parameter-sets", "packetization-mode", "profile-level-id")
    for encoding, names in (("H265", h265), ("H264", h264)):
        if any(name in media.fmtp for name in names):
            media.encoding, media.clock_hz = encoding, 90_000
            return


def _complete_aac(media: MediaDescription) -> None:
    """AAC without a readable `config` is AAC-LC of the rtpmap's rate and channels (quirk 47)."""
    try:
        aac.config_of_fmtp(media.fmtp.get("config") or "-")
    except aac.AudioConfigError:
        with contextlib.suppress(aac.AudioConfigError):
            config = aac.config_of_rate(media.clock_hz, media.channels)
            media.fmtp = {**media.fmtp, "config": config.hex()}

"""SDP as cameras write it (RFC 8866, RFC 4566): read line by line, refusing almost nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from khupho.wire.rtsp.errors import RtspError

MAX_SDP_BYTES = 256 * 1024
MAX_MEDIA = 32
_MAX_LINES = 2_000

_STATIC_PAYLOADS = {
    0: ("PCMU", 8_000, 1),
    8: ("PCMA", 8_000, 1),
    26: ("JPEG", 90_000, 1),
}
"""Payload types that need no rtpmap (RFC 3551 section 6); only those a camera sends."""

_RTPMAP = re.compile(r"^\s*(\d{1,3})\s+([^/\s]{1,60})\s*(?:/\s*(\d{1,9}))?\s*(?:/\s*(\d{1,3}))?")
_RATE = re.compile(r"\d{1,4}(?:\.\d{1,9})?")


@dataclass(slots=True)
class MediaDescription:
    """One `m=` section."""

    kind: str
    """`video`, `audio`, `application`, or whatever the device wrote, in lower case."""
    protocol: str
    payload_type: int
    """The first one offered, or the first that an rtpmap describes."""
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
        """The first video track whose codec can be recorded, else the first video track."""
        videos = [media for media in self.media if media.kind == "video"]
        usable = (media for media in videos if media.encoding in ("H264", "H265"))
        return next(usable, videos[0] if videos else None)

    def audio(self) -> MediaDescription | None:
        """The first audio track that comes from the camera and can be recorded, if any."""
        known = ("MPEG4-GENERIC", "PCMU", "PCMA")
        for wanted_direction in (False, True):
            for media in self.media:
                # Some devices mark their only, sending, track as back channel (quirk 48).
                if (
                    media.kind == "audio"
                    and media.encoding in known
                    and media.is_back_channel is wanted_direction
                ):
                    return media
        return None


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description. Raises `RtspError` only if it is beyond bounds or has no media."""
    if len(body) > MAX_SDP_BYTES:
        raise RtspError("The camera's description of its stream is too long")
    session = SessionDescription()
    media: MediaDescription | None = None
    attributes: list[tuple[MediaDescription | None, str, str]] = []
    for line in body.decode("utf-8", "replace").splitlines()[:_MAX_LINES]:
        kind, equals, value = line.strip().partition("=")
        if equals and kind.strip() == "m":
            media = _media(value)
            if media is not None and len(session.media) < MAX_MEDIA:
                session.media.append(media)
        elif equals and kind.strip() == "a":
            name, _, text = value.partition(":")
            attributes.append((media, name.strip().lower(), text.strip()))
    if not session.media:
        raise RtspError(
            "The camera describes no stream",
            advice="Check the path behind the address; each make has its own",
        )
    _apply(session, attributes)
    return session


def _media(value: str) -> MediaDescription | None:
    words = value.split()
    if len(words) < 3:
        return None
    offered = tuple(
        int(word) for word in words[3:20] if word.isascii() and word.isdigit() and len(word) < 4
    )
    payload_type = offered[0] if offered else -1
    media = MediaDescription(words[0].lower(), words[2].upper(), payload_type, offered=offered)
    if payload_type in _STATIC_PAYLOADS:
        media.encoding, media.clock_hz, media.channels = _STATIC_PAYLOADS[payload_type]
    return media


def _apply(
    session: SessionDescription, attributes: list[tuple[MediaDescription | None, str, str]]
) -> None:
    described: set[int] = set()
    for media, name, text in attributes:
        if media is None:
            if name == "control":
                session.control = text
        elif name == "rtpmap":
            _rtpmap(media, text, described)
        elif name == "control":
            media.control = media.control or text
        elif name in ("sendonly", "recvonly", "sendrecv", "inactive"):
            media.direction = name
        elif name in ("framerate", "x-framerate"):
            match = _RATE.search(text)
            if match and float(match[0]) > 0:
                media.frame_rate = float(match[0])
    for media, name, text in attributes:
        if media is not None and name == "fmtp":
            _fmtp(session, media, text)


def _rtpmap(media: MediaDescription, text: str, described: set[int]) -> None:
    match = _RTPMAP.match(text)
    if match is None:
        return
    payload_type = int(match[1])
    if id(media) in described or (media.offered and payload_type not in media.offered):
        return
    encoding = {"HEVC": "H265", "AVC": "H264", "G711U": "PCMU", "G711A": "PCMA"}.get(
        match[2].upper(), match[2].upper()
    )
    if payload_type == 8 and encoding == "PCMU":
        encoding = "PCMA"  # the static number wins over a wrong name (RFC 3551 table 4)
    described.add(id(media))
    media.payload_type = payload_type
    media.encoding = encoding
    media.clock_hz = int(match[3] or 0) or (90_000 if media.kind == "video" else 8_000)
    media.channels = int(match[4] or 1) or 1


def _fmtp(session: SessionDescription, media: MediaDescription, text: str) -> None:
    number, _, parameters = text.partition(" ")
    values: dict[str, str] = {}
    for part in parameters.split(";"):
        name, equals, value = part.partition("=")
        if equals and name.strip():
            values.setdefault(name.strip().lower(), value.strip())
    payload_type = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else -1
    if payload_type == media.payload_type or payload_type in media.offered:
        target: MediaDescription | None = media
    else:
        # On another track than its own (quirk 12): the payload type says whose it is.
        target = next((m for m in session.media if m.payload_type == payload_type), None)
    if target is not None and (payload_type == target.payload_type or not target.fmtp):
        target.fmtp = {**target.fmtp, **values}

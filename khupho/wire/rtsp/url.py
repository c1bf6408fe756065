"""RTSP addresses: read, mended where devices write them wrong, and joined with controls."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from khupho.wire.rtsp.errors import RtspError

DEFAULT_PORT = 554
MAX_URL_CHARACTERS = 2_000

_SCHEME = re.compile(r"(?i)^(rtsp[su]?)://")


@dataclass(frozen=True, slots=True)
class RtspUrl:
    """An address without name and password."""

    host: str
    """Without brackets."""
    port: int
    tail: str
    """Path and query as given, beginning with `/`, or empty."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"rtsp://{self.authority}{self.tail}"


def parse_url(text: str) -> RtspUrl:
    """An address from what a person or device wrote (quirk 6). Raises `RtspError`.

    A missing scheme, a doubled one and an IPv6 address without brackets are mended; a name and
    password are dropped.
    """
    text = text.strip()
    if not text or len(text) > MAX_URL_CHARACTERS or not text.isprintable() or " " in text:
        raise RtspError("An RTSP address is empty, too long or holds blanks", where=text[:80])
    while (match := _SCHEME.match(text)) is not None:
        text = text[match.end() :]
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise RtspError("The address is not one of RTSP", where=text[:80])
    split = min((text.find(mark) for mark in "/?" if mark in text), default=len(text))
    authority, tail = text[:split].rpartition("@")[2], text[split:]
    host, port = _part_authority(authority, text)
    if tail.startswith("?"):
        tail = "/" + tail
    return RtspUrl(host, port, tail)


def _part_authority(authority: str, text: str) -> tuple[str, int]:
    host, port = authority, ""
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        port = rest.removeprefix(":")
    elif authority.count(":") == 1:
        host, port = authority.split(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65_536):
        raise RtspError("The address has a port that is none", where=text[:80])
    if ":" in host:
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise RtspError("The address has a host that is none", where=text[:80]) from error
    if not host or not re.fullmatch(r"[\w.:%-]{1,255}", host):
        raise RtspError("The address has no host", where=text[:80])
    return host.lower(), int(port) if port else DEFAULT_PORT


def base_url(request: str, content_base: str, content_location: str) -> str:
    """The base that controls are relative to (RFC 2326 C.1.1), or the request's own address where
    the device's is beyond mending."""
    for text in (content_base, content_location):
        if text:
            try:
                if text.startswith("/"):
                    return urljoin(request, text)
                return str(parse_url(text))
            except RtspError:
                continue
    return request


def control_urls(base: str, control: str) -> tuple[str, ...]:
    """Addresses to try for a track's `a=control`, likeliest first (quirk 7).

    Devices disagree whether the control is joined as RFC 1808 says or appended, above all behind a
    query; so both are given where they differ.
    """
    control = control.strip()
    if not control or control == "*":
        return (base,)
    if not control.isprintable() or " " in control or len(control) > MAX_URL_CHARACTERS:
        raise RtspError("A track's control holds blanks or control characters", where=control[:80])
    if _SCHEME.match(control):
        return (control,)
    appended = base + control if base.endswith("/") else f"{base}/{control.lstrip('/')}"
    if base.endswith("/") and control.startswith("/"):
        appended = base + control[1:]
    joined = urljoin(_http(base), control).replace("http://", "rtsp://", 1)
    first, second = (joined, appended) if control.startswith("/") else (appended, joined)
    return (first,) if first == second else (first, second)


def _http(url: str) -> str:
    """urljoin knows RTSP's rules only by HTTP's name."""
    return _SCHEME.sub("http://", url, count=1)


def redirect_target(asked: RtspUrl, location: str) -> RtspUrl:
    """Where a redirect leads, if it leads to the same device. Raises `RtspError` otherwise.

    A device that sends us to another host could make this recorder call anything in its network.
    """
    if location.startswith("/"):
        return RtspUrl(asked.host, asked.port, location)
    target = parse_url(location)
    if target.host != asked.host:
        raise RtspError(
            "The camera sends us to another host, which is not followed",
            where=f"{asked.host} -> {target.host}",
            advice="If that is right, add the camera with the other address",
        )
    return target


def digest_uri(url: str) -> str:
    """Path and query of a request's address, for devices that hash that alone."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "") or "/"

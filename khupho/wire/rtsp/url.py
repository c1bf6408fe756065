"""RTSP addresses: read, mended where devices write them wrong, and joined with controls."""

from __future__ import annotations

import contextlib
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
    is_number = port.isascii() and port.isdigit() and len(port) < 10
    if port and not (is_number and 0 < int(port) < 65_536):
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
    the device's is beyond mending. One without fault is kept to the letter: devices compare."""
    for text in (content_base.strip(), content_location.strip()):
        if text and text != "*":
            try:
                return _mended(request, text)
            except RtspError:
                continue
    return request


def _mended(request: str, text: str) -> str:
    if text.startswith("/"):
        return _absolute(request, text)
    url = parse_url(text)
    match = _SCHEME.match(text)
    written = re.split(r"[/?]", text[match.end() if match else 0 :], maxsplit=1)[0]
    if match is None and not re.search(r"[.:]", written) and url.host != parse_url(request).host:
        return _absolute(request, text)  # no host, but a path
    bare = f"[{url.host}]" if ":" in url.host else url.host
    return text if match and written.lower() in (bare, f"{bare}:{url.port}") else str(url)


def control_urls(base: str, control: str, *others: str) -> tuple[str, ...]:
    """Addresses to try for a track's `a=control`, likeliest first (quirk 7).

    Appending is what the clients do that devices are tried with, above all behind a query; joining
    is what RFC 1808 says. Where the device's base leads nowhere, one of the `others` may: the last
    of them is where the request went. What is no address is mended or left out; there is always one.
    """
    bases = tuple(dict.fromkeys((base, *others)))
    control = re.sub(r"[\0-\x1f\x7f]", "", control).strip().strip("\"'").replace(" ", "%20")
    if not control or control == "*" or len(control) > MAX_URL_CHARACTERS:
        return bases
    if is_absolute(control):
        absolute = re.sub(r"(?i)^(?:rtsp[su]?://)+(?=rtsp[su]?://)", "", control)
        # Passwords are for the Authorization header alone.
        absolute = re.sub(r"(?i)^(rtsp[su]?://)[^/?]*@", r"\1", absolute)
        return tuple(dict.fromkeys((absolute, _at(bases[-1], absolute))))
    urls: list[str] = []
    for text in bases:
        mark = "" if text.endswith("/") or control.startswith("?") else "/"
        urls.append(text + mark + control.lstrip("/"))
    for text in bases:
        with contextlib.suppress(RtspError):
            urls.append(_absolute(text, control))
    return tuple(dict.fromkeys(urls))


def is_absolute(control: str) -> bool:
    """Whether a control is an address by itself."""
    return _SCHEME.match(control) is not None


def _at(request: str, url: str) -> str:
    """The same path where the request went: a device may not know its own address."""
    try:
        asked = parse_url(request)
        return str(RtspUrl(asked.host, asked.port, parse_url(url).tail))
    except RtspError:
        return url


def _absolute(base: str, tail: str) -> str:
    return _join(_http(base), tail).replace("http://", "rtsp://", 1)


def _join(base: str, tail: str) -> str:
    try:
        return urljoin(base, tail)
    except ValueError as error:  # `//[`: what looks like a host, and is none
        raise RtspError("The address has a host that is none", where=tail[:80]) from error


def _http(url: str) -> str:
    """urljoin knows RTSP's rules only by HTTP's name."""
    return _SCHEME.sub("http://", url, count=1)


def redirect_target(asked: RtspUrl, location: str) -> RtspUrl:
    """Where a redirect leads, if it leads to the same device. Raises `RtspError` otherwise.

    A device that sends us to another host could make this recorder call anything in its network.
    """
    if location.startswith("/"):
        return parse_url(f"rtsp://{asked.authority}{location}")
    target = parse_url(location)
    if target.host != asked.host:
        raise RtspError(
            "The camera sends us to another host, which is not followed",
            where=f"{asked.host} -> {target.host}",
            advice="If that is right, add the camera with the other address",
        )
    return target


def digest_uri(url: str) -> str:
    """Path and query of a request's address, for devices that hash that alone. Raises `RtspError`."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise RtspError("The address has a host that is none", where=url[:80]) from error
    return parts.path + (f"?{parts.query}" if parts.query else "") or "/"

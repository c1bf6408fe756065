"""Cameras' addresses: checked, and parted from the passwords inside them."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from khupho.errors import Fault, KhuphoError
from khupho.recorder.secrets import Login

MAX_URL_CHARACTERS = 2_000

_SCHEMES = ("rtsp", "rtspu")
_HIDING = re.compile(r"(?i)(?<![a-z0-9])(password|passwd|pass|pwd|psw|token)=([^&_/?#;\s]+)")
"""Some devices want name and password in the path or query: `/user=admin_password=x_channel=1`."""

_PLACE = "{hidden-%d}"
_PLACES = re.compile(r"\{hidden-(\d+)\}")
_IN_TEXT = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,15}://)\S*@")
"""Greedy to the word's last `@`: rather a host hidden than half a password shown."""

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w-]+(\.[\w-]+)+|[\w-]+(?=:\d))(:\d+)?(?=$|[/?#])")


class CameraUrlError(KhuphoError):
    """An address that cannot be a camera's."""

    fault = Fault.USER


def part_url(text: str) -> tuple[str, Login]:
    """The address without its secrets, and the secrets. Raises `CameraUrlError`.

    A user's own `rtsp://admin:p@ss/word@10.0.0.9/1` is understood too: the last `@` before the
    address ends the password, as people type it without percent signs.
    """
    text = text.strip()
    if len(text) > MAX_URL_CHARACTERS or not text.isprintable():
        raise CameraUrlError("The address is too long or holds unprintable characters")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise CameraUrlError(
            "The address must begin with rtsp://",
            where=redact(text),
            advice="For example rtsp://192.168.1.20:554/Streaming/Channels/101",
        )
    userinfo, host = _part_userinfo(rest)
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[2])
        return f"{match[1]}={_PLACE % (len(hidden) - 1)}"

    url = f"{scheme.lower()}://" + _HIDING.sub(hide, host)
    _check(url)
    user, _, password = userinfo.partition(":")
    return url, Login(unquote(user), unquote(password), tuple(hidden))


def _part_userinfo(rest: str) -> tuple[str, str]:
    slash = re.search(r"[/?#]", rest)
    authority = rest[: slash.start()] if slash else rest
    # A slash, `?` or `#` typed plainly inside the password: the part up to it has a colon that no
    # port number follows, and what stands behind the very last @ looks like an address.
    before, at, behind = rest.rpartition("@")
    colon = "" if authority.startswith("[") else authority.partition(":")[2]
    if at and colon and not colon.isdigit() and _ADDRESS.match(behind):
        return before, behind
    userinfo, _at, host = authority.rpartition("@")
    return userinfo, host + rest[len(authority) :]


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CameraUrlError(
            f"The address cannot be read: {error}",
            where=redact(url),
            advice="A port is a number up to 65535; an IPv6 address stands in [brackets]",
        ) from error
    if not parts.hostname or re.search(r"\s", parts.netloc) or port == 0:
        raise CameraUrlError(
            "The address names no device",
            where=redact(url),
            advice="For example rtsp://192.168.1.20:554/Streaming/Channels/101",
        )


def whole_url(url: str, login: Login) -> str:
    """The address with the passwords that the device wants inside it; none stands before it.

    For the wire only; never for a log or a screen.
    """

    def fill(match: re.Match[str]) -> str:
        index = int(match[1])
        return login.hidden[index] if index < len(login.hidden) else ""

    return _PLACES.sub(fill, url)


def redact(text: str) -> str:
    """Any text with what looks like a password of an address taken out."""
    return _HIDING.sub(r"\1=•••", _IN_TEXT.sub(r"\1•••@", text))

"""What can go wrong in RTSP, and whose fault it is."""

from __future__ import annotations

from khupho.errors import Fault, KhuphoError


class RtspError(KhuphoError):
    """The device said something that ends this session."""

    fault = Fault.CAMERA


class CredentialsRefused(RtspError):
    """The device wants another name or password. Trying on may lock the account (quirk 20)."""

    fault = Fault.CREDENTIALS


class TransportRefused(RtspError):
    """The device refuses this transport; another one may do (status 461, quirk 49)."""


class SessionRedirected(RtspError):
    """The device asks to be called at another address of its own; `url` is where (RFC 2326 11.3)."""

    def __init__(self, url: str) -> None:
        super().__init__("The camera asks to be called at another address", where=url)
        self.url = url

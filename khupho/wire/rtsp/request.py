"""A request of ours while its answer is awaited."""

from __future__ import annotations

from dataclasses import dataclass, field

from khupho.wire.rtsp.message import Reply, request_bytes


@dataclass(slots=True)
class Request:
    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    signed: bool = False
    sign_ins: int = 0
    sequence: int = 0

    @property
    def proves_password(self) -> bool:
        """Whether the device can have let it in for its signature alone: OPTIONS is open to anybody,
        unless it was refused before."""
        return self.method != "OPTIONS" or self.sign_ins > 0

    def fits(self, reply: Reply) -> bool:
        """Whether a reply with an older number can be meant for this request all the same: devices
        answer with 0, 1, or the number before (quirk 8), and rarely a second time."""
        headers = reply.headers
        if not 200 <= reply.status < 300:
            return True
        if self.method == "DESCRIBE":
            return bool(reply.body or headers.get("content-type"))
        if self.method == "SETUP":
            return bool(headers.get("transport") or headers.get("session"))
        return not (reply.body or headers.get("transport"))

    def encoded(self, headers: list[tuple[str, str]]) -> bytes:
        """As it goes over the wire, with these headers before its own."""
        return request_bytes(self.method, self.url, self.sequence, headers + self.headers)

"""A device played by hand: each method has its answers."""

from __future__ import annotations

import re
from collections.abc import Callable

from khupho.wire.rtsp.client import RtspClient
from khupho.wire.rtsp.url import parse_url

SDP = (
    "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=x\r\nt=0 0\r\na=control:*\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n"
    "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:trackID=2\r\n"
)
Answers = dict[str, list[str]]


class Device:
    """Answers each request with the next of its lines; the last one of a method is repeated."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers: Answers = {
            "OPTIONS": ["200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER"],
            "DESCRIBE": [f"200 OK\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"],
            "SETUP": ["200 OK\r\nSession: 77;timeout=20\r\nTransport: RTP/AVP/TCP;interleaved=0-1"],
            "PLAY": ["200 OK"],
            "GET_PARAMETER": ["200 OK"],
            "SET_PARAMETER": ["200 OK"],
            "TEARDOWN": ["200 OK"],
        }
        self.answers.update(answers)
        self.requests: list[str] = []

    def answer(self, data: bytes) -> bytes:
        out = b""
        for request in data.decode().split("\r\n\r\n")[:-1]:
            self.requests.append(request)
            method = request.split()[0]
            sequence = re.search(r"CSeq: *(\d+)", request)
            assert sequence is not None
            lines = self.answers[method]
            line = lines.pop(0) if len(lines) > 1 else lines[0]
            status, _, rest = line.partition("\r\n")
            if "\r\n\r\n" not in rest:
                rest += "\r\n\r\n" if rest else "\r\n"
            out += f"RTSP/1.0 {status}\r\nCSeq: {sequence[1]}\r\n{rest}".encode()
        return out

    def methods(self) -> list[str]:
        return [request.split()[0] for request in self.requests]

    def last(self, method: str) -> str:
        return next(r for r in reversed(self.requests) if r.startswith(method))


def new_client(**options: object) -> RtspClient:
    values: dict[str, object] = {"make_cnonce": lambda: "0a4f113b", **options}
    user, password = values.pop("user", ""), values.pop("password", "")
    return RtspClient(parse_url("rtsp://10.0.0.9/live/ch0?x=1"), user, password, **values)  # type: ignore[arg-type]


def run(
    client: RtspClient, device: Device, chop: Callable[[bytes], list[bytes]] = lambda b: [b]
) -> None:
    client.start(0)
    while data := client.data_to_send():
        for part in chop(device.answer(data)):
            client.receive(part, 0)

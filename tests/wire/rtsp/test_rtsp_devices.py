"""Whole sessions with devices that each do something else than the RFC says."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from rtsp_device import SDP, Device, new_client, run

from khupho.units import US_PER_S
from khupho.wire.rtsp.client import (
    ANSWER_PATIENCE_US,
    CUT_BODY_PATIENCE_US,
    UNANNOUNCED_BODY_PATIENCE_US,
    RtspClient,
)
from khupho.wire.rtsp.errors import RtspError, SessionRedirected, TransportRefused
from khupho.wire.rtsp.message import MessageReader, Reply
from khupho.wire.rtsp.states import State
from khupho.wire.rtsp.transport import parse_transport


def played(device: Device, **options: object) -> RtspClient:
    client = new_client(**options)
    run(client, device)
    return client


def addresses(device: Device, method: str) -> list[str]:
    return [r.split()[1] for r in device.requests if r.startswith(method + " ")]


def describing(sdp: str, *headers: str) -> str:
    lines = "".join(f"\r\n{line}" for line in headers)
    return f"200 OK\r\nContent-Length: {len(sdp.encode())}{lines}\r\n\r\n{sdp}"


class Stubborn(Device):
    """Lets only one address pass for a method; all else is answered by a status."""

    def __init__(self, method: str, url: str, status: str = "404 Not Found", **answers: list[str]):
        super().__init__(**answers)
        self._only = (method, url)
        self._status = status

    def answer(self, data: bytes) -> bytes:
        out = super().answer(data)
        method, url, _version = self.requests[-1].split("\r\n")[0].split()
        if method == self._only[0] and url != self._only[1]:
            sequence = re.search(rb"CSeq: \d+", out)
            assert sequence is not None
            return b"RTSP/1.0 " + self._status.encode() + b"\r\n" + sequence[0] + b"\r\n\r\n"
        return out


# Addresses

VIDEO = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


@pytest.mark.quirk(7)
@pytest.mark.parametrize(
    ("sdp", "headers", "wanted"),
    [
        (SDP, [], "rtsp://10.0.0.9/live/ch0?x=1/trackID=1"),
        (SDP, ["Content-Base: rtsp://10.0.0.9:554/b/"], "rtsp://10.0.0.9:554/b/trackID=1"),
        (SDP, ["Content-Location: rtsp://10.0.0.9/c"], "rtsp://10.0.0.9/c/trackID=1"),
        (SDP, ["content-base: rtsp://192.168.1.4/b/"], "rtsp://10.0.0.9/live/ch0?x=1/trackID=1"),
        (SDP, ["Content-Base: rtsp://10.0.0.9/b/"], "rtsp://10.0.0.9/live/trackID=1"),
        (VIDEO, [], "rtsp://10.0.0.9/live/ch0?x=1"),
        (f"a=control:rtsp://10.0.0.9/s\r\n{VIDEO}", [], "rtsp://10.0.0.9/s"),
        (
            f"a=control:rtsp://10.0.0.9/s?r=1\r\n{VIDEO}a=control:t\r\n",
            [],
            "rtsp://10.0.0.9/s?r=1/t",
        ),
        (f"{VIDEO}a=control:rtsp://0.0.0.0/x/1\r\n", [], "rtsp://10.0.0.9/x/1"),
    ],
)
@pytest.mark.parametrize(
    "status", ["404 Not Found", "400 Bad Request", "500 Internal", "454 Session Not Found"]
)
def test_the_one_address_that_a_device_lets_pass_is_found(
    sdp: str, headers: list[str], wanted: str, status: str
) -> None:
    device = Stubborn("SETUP", wanted, status, DESCRIBE=[describing(sdp, *headers)])
    assert played(device).state is State.PLAYING
    assert addresses(device, "SETUP")[-1] == wanted
    assert len(addresses(device, "SETUP")) <= 6


def test_the_first_refusal_is_told_where_none_passes() -> None:
    device = Device(SETUP=["404 Not Found", "500 Internal"])
    with pytest.raises(RtspError, match="knows no stream at that address"):
        played(device)


def test_play_goes_to_the_session_or_where_else_it_is_let() -> None:
    base = "Content-Base: rtsp://10.0.0.9/b/"
    device = Device(DESCRIBE=[describing(SDP, base)])
    client = played(device)
    client.on_timer(client.next_timer_us())
    assert client.data_to_send().split()[1] == b"rtsp://10.0.0.9/b/"
    assert addresses(device, "PLAY") == ["rtsp://10.0.0.9/b/"]
    for status in ("459 Aggregate Operation Not Allowed", "455 Method Not Valid", "404 Not Found"):
        device = Stubborn(
            "PLAY", "rtsp://10.0.0.9/b/trackID=1", status, DESCRIBE=[describing(SDP, base)]
        )
        client = played(device)
        assert client.state is State.PLAYING
        client.teardown(0)
        assert client.data_to_send().split()[1] == b"rtsp://10.0.0.9/b/trackID=1"


def test_a_refused_range_is_left_out() -> None:
    device = Device(PLAY=["457 Invalid Range", "200 OK"])
    assert played(device).state is State.PLAYING
    ranges = ["Range: npt=" in r for r in device.requests if r.startswith("PLAY")]
    assert ranges == [True, False]


# Bodies


def describe_by_hand(head: str, *parts: str) -> RtspClient:
    """A client that has sent DESCRIBE and got these parts for an answer."""
    client, device = new_client(), Device()
    client.start(0)
    client.receive(device.answer(client.data_to_send()), 0)
    assert client.data_to_send().startswith(b"DESCRIBE")
    for part in (head, *parts):
        client.receive(part.encode(), 0)
    return client


@pytest.mark.quirk(16)
@pytest.mark.parametrize("short_by", [2, 11, 60])
def test_a_body_longer_than_announced_is_read_to_its_end(short_by: int) -> None:
    client = describe_by_hand(
        f"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {len(SDP) - short_by}\r\n\r\n{SDP}"
    )
    assert client.description is not None
    assert [media.control for media in client.description.media] == ["trackID=1", "trackID=2"]
    assert client.data_to_send().startswith(b"SETUP")


@pytest.mark.quirk(16)
@pytest.mark.parametrize("excess", [1, 2, 500])
def test_a_body_shorter_than_announced_is_waited_for_a_while_and_taken(excess: int) -> None:
    head = f"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {len(SDP) + excess}\r\n\r\n"
    client = describe_by_hand(head, SDP[:100], SDP[100:])
    assert client.description is None
    assert client.next_timer_us() == CUT_BODY_PATIENCE_US
    client.on_timer(CUT_BODY_PATIENCE_US - 1)
    assert client.data_to_send() == b""
    client.on_timer(CUT_BODY_PATIENCE_US)
    assert client.data_to_send().startswith(b"SETUP")


@pytest.mark.quirk(16)
def test_a_body_that_is_not_announced_at_all_is_taken_when_it_ends() -> None:
    client = describe_by_hand("RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n", SDP[:50], SDP[50:])
    assert client.next_timer_us() == UNANNOUNCED_BODY_PATIENCE_US
    client.on_timer(UNANNOUNCED_BODY_PATIENCE_US)
    assert client.data_to_send().startswith(b"SETUP")
    client = describe_by_hand("RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n")
    with pytest.raises(RtspError, match="describes no stream"):
        client.on_timer(UNANNOUNCED_BODY_PATIENCE_US)
    assert client.state is State.CLOSED


# Heads


@pytest.mark.quirk(16)
@pytest.mark.parametrize(
    "line",
    ["RTSP/1.0 200 OK", "rtsp/1.0 200", "RTSP/1.1 200OK", "RTSP/2.0  200  OK", "HTTP/1.1 200 OK"],
)
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_status_lines_and_line_ends(line: str, end: str) -> None:
    head = end.join((line, "cseq : 3", 'SESSION:  a1b2 ; Timeout="30"', "", ""))
    reader = MessageReader()
    for byte in head.encode():
        reader.feed(bytes((byte,)))
        message = reader.next()
    assert isinstance(message, Reply)
    assert (message.status, message.headers.get("CSeq")) == (200, "3")


def numbered(number: Callable[[int], str]) -> Device:
    """A device whose answers are numbered in its own way."""

    class Counting(Device):
        def answer(self, data: bytes) -> bytes:
            def renumber(match: re.Match[bytes]) -> bytes:
                return number(int(match[1])).encode()

            return re.sub(rb"CSeq: (\d+)\r\n", renumber, super().answer(data))

    return Counting()


@pytest.mark.quirk(8)
@pytest.mark.parametrize(
    "number",
    [
        lambda n: f"Cseq:{n} \r\n",
        lambda n: "CSeq: 0\r\n",
        lambda n: "CSeq: 1\r\n",
        lambda n: f"CSeq: {n - 1}\r\n",
        lambda n: f"CSeq: {n + 7}\r\n",
        lambda n: "CSeq: x\r\n",
        lambda n: "",
    ],
)
def test_answers_with_another_number_or_none(number: Callable[[int], str]) -> None:
    assert played(numbered(number), audio=True).state is State.PLAYING


@pytest.mark.quirk(8)
def test_an_answer_that_comes_twice_is_not_taken_for_the_next_one() -> None:
    class Repeating(Device):
        def answer(self, data: bytes) -> bytes:
            return super().answer(data) * 2

    client = played(Repeating(), audio=True)
    assert client.state is State.PLAYING
    assert len(client.tracks) == 2


def test_an_interim_answer_prolongs_the_wait() -> None:
    client = new_client()
    client.start(0)
    client.receive(b"RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n", 5 * US_PER_S)
    assert client.next_timer_us() == 5 * US_PER_S + ANSWER_PATIENCE_US
    client.receive(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", 6 * US_PER_S)
    assert client.state is State.DESCRIBE


def test_a_web_server_is_told_from_a_camera() -> None:
    client = new_client()
    client.start(0)
    page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhtml"
    client.receive(page, 0)
    with pytest.raises(RtspError, match="web server") as caught:
        client.receive(page, 0)
    assert "port" in caught.value.advice


# Sessions and transports


@pytest.mark.parametrize(
    ("header", "identity", "interval_s"),
    [
        ("12345678", "12345678", 25),
        ("  a1:b/2 ; timeout = 12", "a1:b/2", 6),
        ('x;timeout="20"', "x", 10),
        ("x;timeout=0", "x", 25),
        ("x;timeout=4294967295", "x", 25),
        ("x;foo=bar;TIMEOUT=14", "x", 7),
        ("x;timeout=", "x", 25),
    ],
)
def test_session_headers(header: str, identity: str, interval_s: int) -> None:
    device = Device(
        SETUP=[f"200 OK\r\nSession: {header}\r\nTransport: RTP/AVP/TCP;interleaved=0-1"]
    )
    client = played(device)
    assert f"Session: {identity}\r\n" in device.last("PLAY") + "\r\n"
    assert client.next_timer_us() == interval_s * US_PER_S


def test_a_session_named_with_the_description_counts_where_setup_names_none() -> None:
    device = Device(
        DESCRIBE=[describing(SDP, "Session: 1642021126;timeout=60")],
        SETUP=["200 OK\r\nTransport: RTP/AVP/TCP;interleaved=0-1"],
    )
    assert played(device).state is State.PLAYING
    assert "Session: 1642021126" in device.last("PLAY")


@pytest.mark.quirk(14)
@pytest.mark.quirk(30)
@pytest.mark.parametrize(
    ("header", "channels", "ssrc"),
    [
        ('RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0x6f7c;mode="PLAY"', (0, 1), 0x6F7C),
        ("RTP/AVP/TCP;ssrc=22345684;interleaved=0-1", (0, 1), 0x22345684),
        ("RTP/AVP/TCP;unicast;destination=10.0.0.2;source=10.0.0.9;interleaved=0", (0, 1), None),
        ("RTP/AVP/TCP;interleaved=10 - 11;ssrc=4294967295", (10, 11), None),
        ("RTP/AVP;unicast;client_port=1-2,RTP/AVP/TCP;interleaved=2-3;ssrc=-1", (2, 3), None),
        ("RTP/AVP/TCP;interleaved=;ssrc=", None, None),
        ("", None, None),
    ],
)
def test_transports(header: str, channels: tuple[int, int] | None, ssrc: int | None) -> None:
    reply = parse_transport(header, interleaved=True)
    assert (reply.interleaved, reply.ssrc) == (channels, ssrc)
    client = played(Device(SETUP=[f"200 OK\r\nSession: 1\r\nTransport: {header}"]))
    assert client.tracks[0].rtp_channel == (channels or (0, 1))[0]


@pytest.mark.quirk(14)
def test_two_tracks_on_the_same_channels_are_kept_apart_as_asked_for() -> None:
    device = Device(SETUP=["200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1"])
    assert [track.rtp_channel for track in played(device, audio=True).tracks] == [0, 2]


@pytest.mark.quirk(49)
@pytest.mark.parametrize(
    ("header", "ports"),
    [
        ("RTP/AVP;multicast;destination=239.1.1.1;port=5000-5001", ()),
        ("RTP/AVP;unicast;client_port=1-2;server_port=6970-6971", ()),
        ("RTP/AVP/TCP;unicast;interleaved=0-1", ((30_000, 30_001),)),
        ("RTP/AVP;multicast;destination=239.1.1.1;server_port=1-2", ((30_000, 30_001),)),
    ],
)
def test_another_way_than_asked_for_is_told(
    header: str, ports: tuple[tuple[int, int], ...]
) -> None:
    device = Device(SETUP=[f"200 OK\r\nSession: 1\r\nTransport: {header}"])
    with pytest.raises(TransportRefused):
        played(device, udp_ports=ports)


@pytest.mark.quirk(49)
@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY"])
@pytest.mark.parametrize("status", [301, 302, 305])
def test_redirects_at_any_step(method: str, status: int) -> None:
    answers = {method: [f"{status} Moved\r\nLocation: rtsp://10.0.0.9:8554/other"]}
    with pytest.raises(SessionRedirected) as caught:
        played(Device(**answers))
    assert caught.value.url == "rtsp://10.0.0.9:8554/other"


# While it plays


@pytest.mark.quirk(21)
@pytest.mark.parametrize(
    ("lines", "method"),
    [
        ("Public: OPTIONS, DESCRIBE\r\nPublic: PLAY, GET_PARAMETER", "GET_PARAMETER"),
        ("public:OPTIONS,DESCRIBE,SETUP,PLAY,set_parameter", "SET_PARAMETER"),
        ("Allow: OPTIONS, GET_PARAMETER", "GET_PARAMETER"),
    ],
)
def test_advertised_methods_over_several_lines(lines: str, method: str) -> None:
    client = played(Device(OPTIONS=[f"200 OK\r\n{lines}"]))
    client.on_timer(client.next_timer_us())
    assert client.data_to_send().startswith(method.encode())


@pytest.mark.quirk(21)
@pytest.mark.parametrize("status", [400, 401, 405, 454, 501, 551])
def test_no_refused_sign_of_life_ends_what_plays(status: int) -> None:
    device = Device(
        OPTIONS=["200 OK\r\nPublic: GET_PARAMETER, SET_PARAMETER"],
        GET_PARAMETER=[f"{status} No"],
        SET_PARAMETER=[f"{status} No"],
    )
    client = played(device, user="admin", password="x")
    device.answers["OPTIONS"] = [f"{status} No"]
    for expected in ("GET_PARAMETER", "SET_PARAMETER", "OPTIONS", "OPTIONS"):
        client.on_timer(client.next_timer_us())
        client.receive(device.answer(client.data_to_send()), 0)
        assert device.methods()[-1] == expected
    assert client.state is State.PLAYING
    assert client.forgotten is (status == 454)


@pytest.mark.quirk(21)
def test_a_refusal_with_the_number_before_counts_too() -> None:
    client = played(Device())
    client.on_timer(client.next_timer_us())
    assert client.data_to_send().startswith(b"GET_PARAMETER")
    client.receive(b"RTSP/1.0 400 Bad Request\r\nCSeq: 4\r\n\r\n", 0)
    client.on_timer(client.next_timer_us())
    assert client.data_to_send().startswith(b"OPTIONS")


@pytest.mark.parametrize("method", ["OPTIONS", "SET_PARAMETER", "GET_PARAMETER", "ANNOUNCE"])
def test_what_the_device_asks_in_the_midst_is_answered(method: str) -> None:
    client = played(Device())
    request = f"{method} rtsp://10.0.0.2/ RTSP/1.0\r\nCSeq: 42\r\nContent-Length: 3\r\n\r\nv=0"
    client.receive(request.encode(), 0)
    assert client.data_to_send() == b"RTSP/1.0 200 OK\r\nCSeq: 42\r\n\r\n"
    assert client.state is State.PLAYING


@pytest.mark.quirk(49)
def test_a_device_may_send_us_elsewhere_in_the_midst() -> None:
    client = played(Device())
    with pytest.raises(SessionRedirected):
        client.receive(b"REDIRECT * RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://10.0.0.9/b\r\n\r\n", 0)


@pytest.mark.quirk(33)
@pytest.mark.parametrize(
    "status", ["500 Internal", "454 Session Not Found", "401 Unauthorized", "200"]
)
def test_any_answer_to_teardown_will_do(status: str) -> None:
    device = Device(TEARDOWN=[status])
    client = played(device)
    client.teardown(0)
    client.receive(device.answer(client.data_to_send()), 0)
    assert client.state is State.CLOSED

import base64
import socket
import time

import pytest
from city_packets_read import interleaved
from city_raw_client import RawClient

from khupho.city.city import City, CityError, CityPlan
from khupho.city.control import answer
from khupho.city.faults import FaultSpecError
from khupho.city.in_thread import running_city
from khupho.city.login import LoginScheme
from khupho.media import h264


@pytest.fixture(scope="module")
def plan(clip):
    def make(**fields) -> CityPlan:
        return CityPlan(video=clip("h264"), port=0, **fields)

    return make


@pytest.fixture(scope="module")
def street(plan, clip):
    with running_city(
        plan(count=4, sub_video=clip("h264", "160x128"), other_video=clip("h264", "160x128"))
    ) as running:
        yield running
        assert not running.call(lambda city: city.state()).playing, "a session was left behind"


def wait_for(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 5 s"
        time.sleep(0.005)


def test_description(street, clip):
    with RawClient(street.url(1)) as client:
        status, headers, body = client.ask("DESCRIBE")
        assert status == 200
        assert headers["content-type"] == "application/sdp"
        assert headers["content-base"] == street.url(1) + "/"
        lines = body.decode().split("\r\n")
        (fmtp,) = [line for line in lines if line.startswith("a=fmtp:96 ")]
        sprop = fmtp.split("sprop-parameter-sets=")[1].split(",")
        sets = tuple(base64.b64decode(text) for text in sprop)
        assert sets == clip("h264").format.parameter_sets
        assert "packetization-mode=1" in fmtp
        assert h264.video_format(*sets).width_px == 320
        _status, _headers, sub = client.ask("DESCRIBE", street.url(1, "sub"))
        assert sub.split(b"sprop")[1] != body.split(b"sprop")[1]
        street.fault("camera-0001:no-sprop")
        assert b"sprop" not in client.ask("DESCRIBE")[2]
        street.fault("camera-0001:clear")


def test_a_whole_session(street):
    with RawClient(street.url(2)) as client:
        assert "GET_PARAMETER" in client.ask("OPTIONS")[1]["public"]
        status, headers, _body = client.set_up("RTP/AVP/TCP;unicast;interleaved=4-5")
        assert status == 200
        assert "interleaved=4-5" in headers["transport"]
        assert headers["session"].endswith(";timeout=60")
        status, headers, _body = client.ask("PLAY", Range="npt=0.000-")
        assert status == 200
        client.read_media(60_000)
        assert client.ask("GET_PARAMETER")[0] == 200
        assert client.ask("SET_PARAMETER")[0] == 200
        assert client.ask("TEARDOWN")[0] == 200
        packets, reports, rest = interleaved(bytes(client.media))
        assert not rest
        assert reports
        assert {p.channel for p in packets} == {4}
        assert f"seq={packets[0].sequence};" in headers["rtp-info"]
        assert headers["rtp-info"].endswith(f"rtptime={packets[0].timestamp}")
        assert headers["rtp-info"].startswith(f"url={street.url(2)}/trackID=0;")
        truth = street.call(lambda city: city.truths("camera-0002")[-1])
        assert truth.ssrc == packets[0].ssrc
        units = list(truth.units())
        assert units[0].first_sequence % 65536 == packets[0].sequence
        assert units[0].is_key
        assert sum(unit.packets for unit in units) == len(packets)
        assert client.ask("PLAY")[0] == 454


def test_refusals(street, plan):
    base = street.url(1).rsplit("/", 1)[0]
    with RawClient(street.url(1)) as client:
        assert client.ask("DESCRIBE", base + "/camera-9999")[0] == 404
        assert client.ask("DESCRIBE", base + "/camera-0001/sub/more")[0] == 404
        assert client.ask("PLAY")[0] == 454
        assert client.set_up("RTP/SAVP;unicast;client_port=5000-5001")[0] == 461
        assert client.set_up("")[0] == 461
        assert client.ask("RECORD")[0] == 405
        assert client.set_up()[0] == 200
        assert client.set_up()[0] == 455
        client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.sock.recv(1000).startswith(b"RTSP/1.0 400 ")
        assert client.sock.recv(1000) == b""
    only_tcp = plan(transports=frozenset(("tcp",)))
    with running_city(only_tcp) as city, RawClient(city.url()) as client:
        udp = "RTP/AVP;unicast;client_port=5000-5001"
        assert client.set_up(udp)[0] == 461
        assert client.set_up(f"{udp},RTP/AVP/TCP;unicast;interleaved=0-1")[0] == 200


@pytest.mark.parametrize("scheme", list(LoginScheme))
def test_logins(plan, scheme):
    wanted = plan(login=scheme, user="u", password="p:w")
    with running_city(wanted) as city, RawClient(city.url()) as client:
        assert client.ask("OPTIONS")[0] == 200
        status, headers, _body = client.ask("DESCRIBE")
        if scheme is LoginScheme.NONE:
            assert status == 200
        else:
            assert status == 401
            kind = "Basic" if scheme is LoginScheme.BASIC else "Digest"
            assert headers["www-authenticate"].startswith(f'{kind} realm="')
        if scheme is LoginScheme.BASIC:
            right = base64.b64encode(b"u:p:w").decode()
            wrong = base64.b64encode(b"u:p").decode()
            assert client.ask("DESCRIBE", Authorization=f"Basic {wrong}")[0] == 401
            assert client.ask("DESCRIBE", Authorization=f"Basic {right}")[0] == 200
            city.fault("*:wrong-password")
            assert client.ask("DESCRIBE", Authorization=f"Basic {right}")[0] == 401
            city.fault("*:clear")
            assert client.ask("DESCRIBE", Authorization=f"Basic {right}")[0] == 200
        if scheme is LoginScheme.NONE:
            city.fault("*:wrong-password")
            assert client.ask("DESCRIBE")[0] == 401


def test_reboot_ends_connections_and_refuses_new_ones(street):
    with RawClient(street.url(3)) as client, RawClient(street.url(4)) as neighbour:
        client.play()
        neighbour.play()
        client.read_media(10_000)
        assert street.fault("camera-0003:reboot=0.6") == ["camera-0003"]
        with pytest.raises(ConnectionResetError):
            client.read_media(1 << 30)
        neighbour.read_media(len(neighbour.media) + 10_000)
    with RawClient(street.url(3)) as client, pytest.raises(ConnectionResetError):
        client.ask("OPTIONS")

    def is_back() -> bool:
        with RawClient(street.url(3)) as client:
            try:
                return client.ask("OPTIONS")[0] == 200
            except ConnectionResetError:
                return False

    wait_for(is_back)
    with RawClient(street.url(3)) as client:
        client.play()
        packets, _reports, _rest = interleaved(client.read_media(10_000))
        assert packets[0].timestamp < 10 * 90_000
        assert packets[0].timestamp % 3600 == 0


def test_half_open_neither_reads_nor_writes_nor_closes(street):
    with RawClient(street.url(4)) as client:
        client.play()
        client.read_media(10_000)
        street.fault("camera-0004:half-open=0.7")
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.read_media(1 << 30)
        with pytest.raises(TimeoutError):
            client.ask("OPTIONS")
        client.sock.settimeout(5)
        client.read_media(len(client.media) + 5_000)
        truth = street.call(lambda city: city.truths("camera-0004")[-1])
        assert [skipped.cause for skipped in truth.skipped] == ["stall"]


def test_silent_clients_are_dropped(plan):
    with running_city(plan(session_timeout_s=2)) as city, RawClient(city.url()) as client:
        client.play()
        started = time.monotonic()
        with pytest.raises(ConnectionResetError):
            client.read_media(1 << 30)
        assert 2 < time.monotonic() - started < 6


def test_reader_that_never_reads_is_bounded(clip):
    heavy = CityPlan(video=clip("h264", "1280x720", "0.4"), port=0)
    with running_city(heavy) as city, RawClient(city.url()) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.play()
        wait_for(lambda: city.call(lambda c: len(c.truths("camera-0001")[-1].skipped)))
        truth = city.call(lambda c: c.truths("camera-0001")[-1])
        assert truth.skipped[0].cause == "slow reader"


def test_steering_by_lines(street):
    def steer(line):
        return street.call(lambda city: answer(city, line))

    with RawClient(street.url(1)) as client:
        client.play()
        client.read_media(20_000)
        assert steer("fault camera-0001:drop-next=3") == {"cameras": ["camera-0001"]}
        client.read_media(len(client.media) + 20_000)
        told = steer("truth camera-0001")
        assert sum(len(unit["lost"]) for unit in told["units"]) == 3
        last = told["units"][-1]["number"]
        assert steer(f"truth camera-0001 {last}")["units"][0]["number"] == last
        assert steer("state")["playing"] == 1
    assert "drop" in steer("faults")
    assert steer("truth camera-0004 sub") is None
    for wrong in ("", "what", "fault", "fault x", "fault nobody:drop=1", "truth nobody"):
        assert steer(wrong)["error"]["what"]
    wait_for(lambda: not steer("state")["playing"])


def test_plans_that_cannot_be(plan, street):
    with pytest.raises(CityError):
        City(plan(count=0))
    taken = int(street.url(1).split(":")[2].split("/")[0])
    import dataclasses

    with (
        pytest.raises(CityError, match="Cannot listen"),
        running_city(dataclasses.replace(plan(), port=taken)),
    ):
        pass
    with running_city(plan()) as city, pytest.raises(FaultSpecError, match="no other video"):
        city.fault("*:change")

"""The client against a device that is played by hand, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtsp_device import SDP, Device, new_client, run

from khupho.units import US_PER_S
from khupho.wire.rtsp.errors import (
    CredentialsRefused,
    RtspError,
    SessionRedirected,
    TransportRefused,
)
from khupho.wire.rtsp.states import TRANSITIONS, State, Step, diagram


def test_from_options_to_play_and_teardown() -> None:
    device, client = Device(), new_client()
    run(client, device)
    assert client.state is State.PLAYING
    assert device.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert "Session: 77" in device.last("PLAY")
    assert "interleaved=0-1" in device.last("SETUP")
    (track,) = client.tracks
    assert (track.kind, track.rtp_channel, track.rtcp_channel) == ("video", 0, 1)
    client.teardown(0)
    client.receive(device.answer(client.data_to_send()), 0)
    assert client.state is State.CLOSED
    assert "Session: 77" in device.last("TEARDOWN")


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_chopping_gives_the_same_session(cuts: list[int]) -> None:
    def chop(data: bytes) -> list[bytes]:
        parts, position = [], 0
        for size in cuts:
            parts.append(data[position : position + size])
            position += size
        return [*parts, data[position:]]

    device, client = Device(), new_client(audio=True)
    device.answers["SETUP"].append(
        "200 OK\r\nSession: 77\r\nTransport: RTP/AVP/TCP;interleaved=2-3"
    )
    run(client, device, chop)
    assert client.state is State.PLAYING
    assert [track.rtp_channel for track in client.tracks] == [0, 2]


def test_media_behind_the_answer_to_play_is_handed_over() -> None:
    device, client = Device(), new_client()
    client.start(0)
    while device.methods()[-1:] != ["PLAY"]:
        answer = device.answer(client.data_to_send())
        extra = b"$\0\0\4\x80\x60\0\1" if device.methods()[-1] == "PLAY" else b""
        client.receive(answer + extra, 0)
    assert client.rest() == b"$\0\0\4\x80\x60\0\1"


@pytest.mark.quirk(25)
def test_media_before_the_answer_to_play_is_kept() -> None:
    device, client = Device(), new_client()
    client.start(0)
    while client.state is not State.PLAYING:
        client.receive(b"$\0\0\4\x80\x60\0\1" + device.answer(client.data_to_send()), 0)
    assert client.rest() == b"$\0\0\4\x80\x60\0\1"  # the one before PLAY's answer


def digest(**values: str) -> str:
    fields = ", ".join(f'{key}="{value}"' for key, value in values.items())
    return f"401 Unauthorized\r\nWWW-Authenticate: Digest {fields}"


@pytest.mark.quirk(19)
def test_digest_is_answered_and_kept_for_later_requests() -> None:
    device = Device()
    device.answers["OPTIONS"].insert(0, digest(realm="cam", nonce="n1"))
    client = new_client(user="admin", password="secret")
    run(client, device)
    assert client.state is State.PLAYING
    assert client.sign_in == "Digest MD5"
    assert device.methods() == ["OPTIONS", "OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert 'uri="rtsp://10.0.0.9/live/ch0?x=1"' in device.last("DESCRIBE")


@pytest.mark.quirk(20)
def test_a_refused_password_is_not_tried_again_but_a_stale_nonce_is() -> None:
    device = Device(DESCRIBE=[digest(realm="cam", nonce="n1")])
    with pytest.raises(CredentialsRefused):
        run(new_client(user="admin", password="wrong"), device)
    assert device.methods().count("DESCRIBE") == 2
    device = Device()
    device.answers["PLAY"].insert(0, digest(realm="cam", nonce="n2", stale="true"))
    device.answers["DESCRIBE"].insert(0, digest(realm="cam", nonce="n1"))
    client = new_client(user="admin", password="secret")
    run(client, device)
    assert client.state is State.PLAYING
    assert 'nonce="n2"' in device.last("PLAY")


def test_nonces_without_end_end() -> None:
    device = Device(DESCRIBE=[digest(realm="cam", nonce=f"n{n}", stale="true") for n in range(20)])
    with pytest.raises(RtspError, match="again and again"):
        run(new_client(user="admin", password="secret"), device)
    assert device.methods().count("DESCRIBE") <= 5


@pytest.mark.quirk(17)
@pytest.mark.quirk(18)
def test_every_request_names_its_agent_and_describe_comes_before_setup() -> None:
    device = Device()
    run(new_client(), device)
    assert all("User-Agent: " in request for request in device.requests)
    assert device.methods().index("DESCRIBE") < device.methods().index("SETUP")


@pytest.mark.quirk(7)
def test_the_other_join_of_the_control_is_tried() -> None:
    device = Device()
    device.answers["SETUP"].insert(0, "404 Not Found")
    client = new_client()
    run(client, device)
    assert client.state is State.PLAYING
    tried = [r.split()[1] for r in device.requests if r.startswith("SETUP")]
    assert len(set(tried)) == 2


@pytest.mark.quirk(13)
def test_describe_needs_no_content_type() -> None:
    client = new_client()
    run(client, Device())
    assert client.state is State.PLAYING


@pytest.mark.quirk(14)
@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        ("RTP/AVP;unicast;interleaved=4-5", (4, 5)),
        ("RTP/AVP/TCP;interleaved=7", (7, 8)),
        ("RTP/AVP/TCP;unicast", (0, 1)),
    ],
)
def test_channels_are_those_of_the_answer(transport: str, channels: tuple[int, int]) -> None:
    client = new_client()
    run(client, Device(SETUP=[f"200 OK\r\nSession: 1\r\nTransport: {transport}"]))
    assert (client.tracks[0].rtp_channel, client.tracks[0].rtcp_channel) == channels


@pytest.mark.quirk(15)
def test_the_first_session_id_is_kept() -> None:
    device = Device()
    device.answers["SETUP"] = [
        f"200 OK\r\nSession: {n}\r\nTransport: RTP/AVP/TCP;interleaved={2 * n}-{2 * n + 1}"
        for n in range(2)
    ]
    run(new_client(audio=True), device)
    assert "Session: 0" in device.last("PLAY")


@pytest.mark.quirk(9)
@pytest.mark.quirk(10)
@pytest.mark.parametrize("info", ["url=x;seq=0;rtptime=99999999999,;", "garbage", ""])
def test_rtp_info_is_of_no_matter(info: str) -> None:
    client = new_client()
    run(client, Device(PLAY=[f"200 OK\r\nRTP-Info: {info}"]))
    assert client.state is State.PLAYING


@pytest.mark.quirk(21)
@pytest.mark.quirk(22)
@pytest.mark.parametrize(
    ("public", "method"),
    [
        ("OPTIONS, GET_PARAMETER, SET_PARAMETER", "GET_PARAMETER"),
        ("OPTIONS, SET_PARAMETER", "SET_PARAMETER"),
        ("OPTIONS, PLAY", "OPTIONS"),
        ("", "OPTIONS"),
    ],
)
def test_keep_alive_is_what_the_device_knows(public: str, method: str) -> None:
    device, client = Device(OPTIONS=[f"200 OK\r\nPublic: {public}"]), new_client()
    run(client, device)
    due_us = client.next_timer_us()
    assert due_us == 10 * US_PER_S  # half of the 20 s that the device named
    client.on_timer(due_us - 1)
    assert client.data_to_send() == b""
    client.on_timer(due_us)
    assert client.data_to_send().startswith(method.encode())


@pytest.mark.quirk(23)
@pytest.mark.quirk(24)
def test_a_keep_alive_that_is_never_answered_ends_nothing() -> None:
    device, client = Device(), new_client()
    run(client, device)
    for _ in range(5):
        client.on_timer(client.next_timer_us())
        assert client.data_to_send().startswith(b"GET_PARAMETER")
    assert client.state is State.PLAYING


@pytest.mark.quirk(21)
def test_a_refused_keep_alive_is_replaced() -> None:
    device, client = Device(GET_PARAMETER=["501 Not Implemented"]), new_client()
    run(client, device)
    client.on_timer(client.next_timer_us())
    client.receive(device.answer(client.data_to_send()), 0)
    client.on_timer(client.next_timer_us())
    assert client.data_to_send().startswith(b"OPTIONS")


@pytest.mark.quirk(21)
def test_a_forgotten_session_is_told_and_ended_by_media_alone() -> None:
    device, client = Device(GET_PARAMETER=["454 Session Not Found"]), new_client()
    run(client, device)
    client.on_timer(client.next_timer_us())
    client.receive(device.answer(client.data_to_send()), 0)
    assert client.forgotten
    assert client.state is State.PLAYING
    client.on_timer(client.next_timer_us())
    client.receive(device.answer(client.data_to_send()), 0)
    assert not client.forgotten


@pytest.mark.quirk(49)
def test_refused_transport_too_many_viewers_and_redirects() -> None:
    with pytest.raises(TransportRefused):
        run(new_client(), Device(SETUP=["461 Unsupported Transport"]))
    with pytest.raises(RtspError, match="too many viewers"):
        run(new_client(), Device(SETUP=["453 Not Enough Bandwidth"]))
    with pytest.raises(SessionRedirected) as caught:
        run(new_client(), Device(DESCRIBE=["302 Moved\r\nLocation: rtsp://10.0.0.9:8554/other"]))
    assert caught.value.url == "rtsp://10.0.0.9:8554/other"
    with pytest.raises(RtspError, match="another host"):
        run(new_client(), Device(DESCRIBE=["302 Moved\r\nLocation: rtsp://10.0.0.1/other"]))


@pytest.mark.quirk(47)
@pytest.mark.quirk(48)
def test_sound_that_cannot_be_recorded_leaves_the_picture() -> None:
    sdp = SDP.replace("PCMU/8000", "G723/8000").replace("AVP 0", "AVP 97").replace(":0 ", ":97 ")
    device = Device(DESCRIBE=[f"200 OK\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"])
    client = new_client(audio=True)
    run(client, device)
    assert client.state is State.PLAYING
    assert client.audio_note
    device = Device()
    device.answers["SETUP"].append("404 Not Found")
    client = new_client(audio=True)
    run(client, device)
    assert [track.kind for track in client.tracks] == ["video"]
    assert "404" in client.audio_note


@pytest.mark.quirk(48)
def test_after_refused_sound_it_is_the_picture_that_is_played_by_its_own_address() -> None:
    device = Device(PLAY=["459 Aggregate Operation Not Allowed", "200 OK"])
    device.answers["SETUP"].append("404 Not Found")
    client = new_client(audio=True)
    run(client, device)
    assert client.state is State.PLAYING
    assert device.last("PLAY").startswith(f"PLAY {client.tracks[0].url} ")


def test_udp_asks_for_the_given_ports() -> None:
    device = Device(
        SETUP=[
            "200 OK\r\nSession: 1\r\nTransport: RTP/AVP;unicast;client_port=30000-30001;server_port=6000-6001"
        ]
    )
    client = new_client(udp_ports=((30_000, 30_001),))
    run(client, device)
    assert "client_port=30000-30001" in device.last("SETUP")
    assert client.tracks[0].reply.server_ports == (6000, 6001)


def test_a_silent_device_is_given_up() -> None:
    client = new_client()
    client.start(0)
    client.on_timer(client.next_timer_us() - 1)
    with pytest.raises(RtspError, match="does not answer OPTIONS"):
        client.on_timer(client.next_timer_us())


def test_the_device_may_ask_and_leave() -> None:
    device, client = Device(), new_client()
    run(client, device)
    client.receive(b"OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 9\r\n\r\n", 0)
    assert client.data_to_send().startswith(b"RTSP/1.0 200")
    with pytest.raises(RtspError, match="ended the session"):
        client.receive(b"TEARDOWN rtsp://x RTSP/1.0\r\nCSeq: 10\r\n\r\n", 0)


@pytest.mark.quirk(26)
@pytest.mark.quirk(51)
def test_a_session_that_failed_is_torn_down_too() -> None:
    device, client = Device(PLAY=["500 Internal"]), new_client()
    with pytest.raises(RtspError):
        run(client, device)
    client.teardown(0)
    assert b"Session: 77" in client.data_to_send()
    client.on_timer(client.next_timer_us())
    assert client.state is State.CLOSED


def test_an_answer_after_the_end_is_of_no_matter() -> None:
    client = new_client()
    client.start(0)
    client.teardown(0)
    assert client.state is State.CLOSED
    client.receive(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", 0)
    assert client.state is State.CLOSED


@given(data=st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_answer_raises_only_our_error(data: bytes) -> None:
    client = new_client()
    client.start(0)
    client.data_to_send()
    try:
        client.receive(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n" + data, 0)
        client.receive(data, 0)
    except RtspError:
        client.teardown(0)


def test_the_table_is_whole() -> None:
    assert {state for state, _step in TRANSITIONS} == set(State)
    assert all((state, Step.FAILED) in TRANSITIONS for state in State)
    assert "play --> playing: answered" in diagram()

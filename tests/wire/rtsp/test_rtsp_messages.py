"""Messages, addresses, transports and sign-in: what devices write, and what nobody should."""

from __future__ import annotations

import contextlib
import hashlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.wire.rtsp.auth import Authenticator, parse_challenges
from khupho.wire.rtsp.errors import CredentialsRefused, RtspError
from khupho.wire.rtsp.message import (
    MAX_GARBAGE_BYTES,
    MessageReader,
    Reply,
    ServerRequest,
    request_bytes,
)
from khupho.wire.rtsp.sdp import parse_sdp
from khupho.wire.rtsp.transport import TransportReply, parse_transport
from khupho.wire.rtsp.url import (
    base_url,
    control_urls,
    digest_uri,
    parse_url,
    redirect_target,
)


def replies(data: bytes) -> list[object]:
    reader = MessageReader()
    reader.feed(data)
    found = []
    while (message := reader.next()) is not None:
        found.append(message)
    return found


@pytest.mark.quirk(16)
def test_a_status_line_without_reason_and_a_blank_line_in_the_head() -> None:
    [reply] = replies(b"RTSP/1.0 200\r\nCSeq: 1\r\n \r\nSession: 7\r\n\r\n")
    assert isinstance(reply, Reply)
    assert (reply.status, reply.reason) == (200, "")
    assert reply.headers.get("session") == "7"


@pytest.mark.quirk(29)
def test_stray_line_ends_before_a_reply() -> None:
    assert len(replies(b"\r\n\r\n\0RTSP/1.0 200 OK\nCSeq: 3 \n\n")) == 1


@pytest.mark.quirk(25)
@pytest.mark.quirk(27)
def test_media_and_garbage_before_a_reply_are_passed_over() -> None:
    data = b"$\0\0\3abc" + b"rubbish\xff" * 9 + b"RTSP/1.0 454 Session Not Found\r\nCSeq: 9\r\n\r\n"
    [reply] = replies(data)
    assert isinstance(reply, Reply) and reply.status == 454


def test_bytes_full_of_dollars_take_no_quadratic_time() -> None:
    reader = MessageReader()
    reader.feed(b"x$\0\0\0" * 40_000)
    begin_s = time.thread_time()
    assert reader.next() is None
    assert time.thread_time() - begin_s < 2  # it was 94 s


def test_a_device_may_ask_us() -> None:
    [request] = replies(b"OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n")
    assert isinstance(request, ServerRequest) and request.method == "OPTIONS"


@pytest.mark.parametrize(
    "data",
    [
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"RTSP/1.0 200 OK\r\nA: " + b"b" * 20_000,
        b"x" * (MAX_GARBAGE_BYTES + 100),
    ],
)
def test_bounds_end_the_session(data: bytes) -> None:
    with pytest.raises(RtspError):
        replies(data)


def test_a_header_cannot_be_smuggled_in() -> None:
    with pytest.raises(RtspError):
        request_bytes("SETUP", "rtsp://a/b\r\nX: y", 1, [])


@pytest.mark.quirk(6)
@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("rtsp://rtsp://10.0.0.9:8554/live", "rtsp://10.0.0.9:8554/live"),
        ("10.0.0.9:554/live?a=1", "rtsp://10.0.0.9/live?a=1"),
        ("rtsp://fe80::1/live", "rtsp://[fe80::1]/live"),
        ("RTSP://user:p@ss@cam.lan?x", "rtsp://cam.lan/?x"),
    ],
)
def test_addresses_are_mended(text: str, url: str) -> None:
    assert str(parse_url(text)) == url


@pytest.mark.parametrize(
    "text", ["", "http://a/b", "rtsp://", "rtsp://a:99999/", "rtsp://a b/", "rtsp://a:0000099999/"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RtspError):
        parse_url(text)


def test_a_redirect_leads_only_to_the_same_host() -> None:
    asked = parse_url("rtsp://10.0.0.9/a")
    assert str(redirect_target(asked, "rtsp://10.0.0.9:8554/b")) == "rtsp://10.0.0.9:8554/b"
    with pytest.raises(RtspError):
        redirect_target(asked, "rtsp://10.0.0.1/b")
    assert str(redirect_target(asked, "/b?c")) == "rtsp://10.0.0.9/b?c"
    with pytest.raises(RtspError):
        redirect_target(asked, "/b c")


@pytest.mark.quirk(7)
def test_a_control_is_appended_and_then_joined() -> None:
    assert control_urls("rtsp://h/a/", "/t1") == ("rtsp://h/a/t1", "rtsp://h/t1")
    assert control_urls("rtsp://h/a", "*") == ("rtsp://h/a",)
    other = "rtsp://other/t?x=1"
    assert control_urls("rtsp://h/a", other) == (other, "rtsp://h/t?x=1")


def test_what_only_looks_like_a_host_is_no_bug_of_ours() -> None:
    for control in ("//[", "//[x]/t1"):
        assert len(control_urls("rtsp://h/a", control)) == 1
        assert base_url("rtsp://h/a", control, "") == "rtsp://h/a"
    with pytest.raises(RtspError):
        digest_uri("rtsp://[/a")
    assert digest_uri("rtsp://h/a?b") == "/a?b"


@pytest.mark.quirk(14)
def test_transports_as_devices_answer_them() -> None:
    assert parse_transport("RTP/AVP;unicast;interleaved=4-5").interleaved == (4, 5)
    assert parse_transport("RTP/AVP/TCP;interleaved=2").interleaved == (2, 3)
    udp = parse_transport(
        "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971;source=10.0.0.9"
    )
    assert udp == TransportReply(None, (6970, 6971), "10.0.0.9", None)
    assert parse_transport("RTP/AVP/TCP;interleaved=400-401;ssrc=zz") == TransportReply()


@pytest.mark.quirk(19)
def test_the_strongest_of_several_challenges_is_answered_as_the_rfc_says() -> None:
    # RFC 7616 section 3.9.1: both answers are printed there.
    common = (
        'realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    expected = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for name, response in expected.items():
        auth = Authenticator("Mufasa", "Circle of Life", lambda: cnonce)
        headers = ['Basic realm="x"', "Digest " + common.format("MD5")]
        if name == "SHA-256":
            headers.append("Digest " + common.format("SHA-256"))
        auth.challenged(headers, answered=False)
        header = auth.header("GET", "/dir/index.html")
        assert header is not None and f'response="{response}"' in header
        assert "nc=00000001" in header and "Circle" not in header + repr(auth)


@pytest.mark.quirk(19)
def test_digest_without_qop_as_most_cameras_ask() -> None:
    auth = Authenticator("admin", "12345", lambda: "c")
    auth.challenged(['Digest realm="IP Camera", nonce="abc", stale="FALSE"'], answered=False)

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    wanted = md5(f"{md5('admin:IP Camera:12345')}:abc:{md5('DESCRIBE:rtsp://h/a')}")
    header = auth.header("DESCRIBE", "rtsp://h/a")
    assert header is not None and f'response="{wanted}"' in header and "qop" not in header


@pytest.mark.quirk(20)
def test_a_refused_password_is_said_and_a_stale_nonce_is_not_a_refusal() -> None:
    auth = Authenticator("a", "b", lambda: "c")
    auth.challenged(['Digest realm="r", nonce="1"'], answered=False)
    auth.header("DESCRIBE", "u")
    auth.challenged(['Digest realm="r", nonce="2", stale=true'], answered=True)
    auth.header("DESCRIBE", "u")
    with pytest.raises(CredentialsRefused):
        auth.challenged(['Digest realm="r", nonce="3"'], answered=True)
    with pytest.raises(CredentialsRefused):
        Authenticator("", "", lambda: "c").challenged(['Basic realm="r"'], answered=False)


def test_an_unknown_kind_of_sign_in_is_the_cameras_fault() -> None:
    with pytest.raises(RtspError, match="isn't known") as caught:
        Authenticator("a", "b", lambda: "c").challenged(["Negotiate abc"], answered=False)
    assert not isinstance(caught.value, CredentialsRefused)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from([b"", b"RTSP/1.0 200 OK\r\n", b"$\0", b"a=fmtp:"]))
def test_no_bytes_raise_anything_but_our_own(data: bytes, start: bytes) -> None:
    with contextlib.suppress(RtspError):
        replies(start + data)
    with contextlib.suppress(RtspError):
        parse_sdp(b"m=video 0 RTP/AVP 96\r\n" + start + data)


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_no_text_raises_anything_but_our_own(text: str) -> None:
    parse_challenges([text, "Digest " + text])
    parse_transport(text)
    for act in (lambda: parse_url(text), lambda: control_urls("rtsp://h/a/", text)):
        with contextlib.suppress(RtspError):
            act()

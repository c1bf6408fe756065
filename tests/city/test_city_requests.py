import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.city.login import LoginCheck, LoginScheme, digest_response
from khupho.city.requests import (
    MAX_HEAD_BYTES,
    RequestError,
    RequestReader,
    WantedTransport,
    parse_transports,
    response,
)

REQUESTS = (
    b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    b"$\x01\x00\x03abc"
    b"\r\nSET_PARAMETER rtsp://h/c RTSP/1.0\r\ncseq:  2 \r\nContent-Length: 5\r\n\r\nhello"
    b"PLAY rtsp://h/c RTSP/1.0\r\nCSeq: 3\r\nSession: ab\r\n\r\n"
)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_requests_in_pieces(step):
    reader = RequestReader()
    found = []
    for at in range(0, len(REQUESTS), step):
        found += reader.feed(REQUESTS[at : at + step])
    assert [(r.method, r.url, r.cseq, r.body) for r in found] == [
        ("OPTIONS", "*", "1", b""),
        ("SET_PARAMETER", "rtsp://h/c", "2", b"hello"),
        ("PLAY", "rtsp://h/c", "3", b""),
    ]
    assert reader.interleaved_frames == 1


@pytest.mark.parametrize(
    "data",
    [b"x" * MAX_HEAD_BYTES, b"GET / HTTP/1.1\r\n\r\n", b"PLAY x RTSP/1.0\r\nno colon\r\n\r\n",
     b"PLAY x RTSP/1.0\r\nContent-Length: 999999\r\n\r\n",
     b"PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_refused(data):
    with pytest.raises(RequestError):
        list(RequestReader().feed(data))


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=80) | st.just(b"PLAY x RTSP/1.0\r\n") | st.just(b"\r\n\r\n")))
def test_any_bytes(pieces):
    reader = RequestReader()
    try:
        for piece in pieces:
            for request in reader.feed(piece):
                assert request.method
    except RequestError as error:
        assert error.what


def test_answers():
    assert response(200, "7", [("A", "b")], b"xy") == (
        b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nServer: khupho-city\r\nA: b\r\nContent-Length: 2\r\n\r\nxy"
    )


def test_transports():
    assert parse_transports("RTP/AVP/TCP;unicast;interleaved=2-3") == [
        WantedTransport(True, (2, 3))
    ]
    assert parse_transports("RTP/AVP;multicast;client_port=8-9,RTP/AVP;client_port=8") == [
        WantedTransport(False, (8, 9))
    ]
    assert parse_transports("RTP/AVP/TCP") == [WantedTransport(True, (0, 1))]
    assert parse_transports("RTP/AVP/TCP;interleaved=255") == []
    assert parse_transports("RTP/AVP;client_port=70000-70001") == []
    assert parse_transports("RTP/AVP;unicast") == []


RFC_7616_FIELDS = {
    "username": "Mufasa",
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("md5", "8ca523f5e9506fed4657c9700eebdbec"),
     ("sha256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)  # fmt: skip
def test_digest_as_in_rfc_7616_section_3_9_1(name, wanted):
    def hash_text(text):
        return hashlib.new(name, text.encode()).hexdigest()

    assert digest_response(hash_text, "GET", "Circle of Life", RFC_7616_FIELDS) == wanted


def test_digest_login_and_stale_challenge():
    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()

    check = LoginCheck(LoginScheme.DIGEST, "admin", "geheim")

    def authorization(password: str, challenge: str) -> str:
        nonce = challenge.split('nonce="')[1].split('"')[0]
        realm = challenge.split('realm="')[1].split('"')[0]
        first, second = md5(f"admin:{realm}:{password}"), md5("PLAY:rtsp://x/")
        answer = md5(f"{first}:{nonce}:{second}")
        return (
            f'Digest username="admin", realm="{realm}", nonce="{nonce}", uri="rtsp://x/", '
            f'response="{answer}"'
        )

    challenge = check.challenge(None)
    assert "stale" not in challenge
    assert check.accepts("PLAY", authorization("geheim", challenge))
    assert not check.accepts("SETUP", authorization("geheim", challenge))
    assert not check.accepts("PLAY", authorization("Geheim", challenge))
    assert not check.accepts("PLAY", None)
    assert not check.accepts("PLAY", "Basic YTpi")
    check.forget_nonce()
    old = authorization("geheim", challenge)
    assert not check.accepts("PLAY", old)
    assert check.challenge(old).endswith("stale=true")
    assert check.accepts("PLAY", authorization("geheim", check.challenge(old)))

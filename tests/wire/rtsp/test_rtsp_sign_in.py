"""Signing in, as devices ask for it."""

from __future__ import annotations

import hashlib

import pytest
from rtsp_device import Device, new_client, run

from khupho.wire.rtsp.auth import Authenticator, parse_challenges
from khupho.wire.rtsp.client import RtspClient
from khupho.wire.rtsp.errors import CredentialsRefused, RtspError
from khupho.wire.rtsp.message import MessageReader, Reply, request_bytes
from khupho.wire.rtsp.states import State


def md5(text: str | bytes) -> str:
    return hashlib.md5(text.encode() if isinstance(text, str) else text).hexdigest()


def answer_to(challenge: str, *more: str) -> str:
    auth = Authenticator("admin", "12345", lambda: "c0")
    auth.challenged([challenge, *more], answered=False)
    header = auth.header("DESCRIBE", "rtsp://h/a")
    assert header is not None
    return header


def refused(*challenges: str) -> str:
    lines = "".join(f"\r\nWWW-Authenticate: {text}" for text in challenges)
    return f"401 Unauthorized{lines}"


def played(device: Device, password: str = "12345") -> RtspClient:
    client = new_client(user="admin", password=password)
    run(client, device)
    return client


@pytest.mark.quirk(19)
@pytest.mark.parametrize(
    ("challenges", "begins"),
    [
        (['Digest realm="r",nonce="n"', 'Basic realm="r"'], "Digest "),
        (['Basic realm="r"', 'Digest realm="r", nonce="n", stale="FALSE"'], "Digest "),
        (['Basic realm="r", Digest realm="r", nonce="n"'], "Digest "),
        (['digest REALM="r", NONCE="n"'], "Digest "),
        (['Digest realm=r, nonce=n, algorithm="MD5"'], "Digest "),
        (['Basic realm="Digest, realm=x"'], "Basic "),
        (["Basic"], "Basic "),
        (['Bearer realm="b"', "Negotiate", 'Basic realm="r"'], "Basic "),
        (['Digest realm="r", nonce="n", algorithm=SHA3', 'Basic realm="r"'], "Basic "),
        (['Digest realm="r"', 'Basic realm="r"'], "Basic "),
    ],
)
def test_the_best_of_what_is_offered(challenges: list[str], begins: str) -> None:
    assert answer_to(*challenges).startswith(begins)


@pytest.mark.quirk(19)
@pytest.mark.parametrize(
    ("written", "hashed"),
    [
        ("", ""),
        ("IP Camera(C1214)", "IP Camera(C1214)"),
        (r"a \"quoted\" realm", 'a "quoted" realm'),
        (r"HIK\DS-2CD", r"HIK\DS-2CD"),
        ("Máy ảnh", "Máy ảnh"),
        ("a, b=c", "a, b=c"),
    ],
)
def test_realms_go_back_as_they_came(written: str, hashed: str) -> None:
    header = answer_to(f'Digest realm="{written}", nonce="n+/=="')
    assert f'realm="{written}"' in header
    wanted = md5(f"{md5(f'admin:{hashed}:12345')}:n+/==:{md5('DESCRIBE:rtsp://h/a')}")
    assert f'response="{wanted}"' in header


@pytest.mark.quirk(19)
def test_a_realm_in_another_character_set_goes_back_byte_by_byte() -> None:
    realm = "摄像头".encode("gbk")
    reader = MessageReader()
    reader.feed(
        b'RTSP/1.0 401 X\r\nWWW-Authenticate: Digest realm="' + realm + b'", nonce="n"\r\n\r\n'
    )
    reply = reader.next()
    assert isinstance(reply, Reply)
    header = answer_to(*reply.headers.all("www-authenticate"))
    sent = request_bytes("DESCRIBE", "rtsp://h/a", 1, [("Authorization", header)])
    assert b'realm="' + realm + b'"' in sent
    secret = md5(b"admin:" + realm + b":12345")
    assert md5(f"{secret}:n:{md5('DESCRIBE:rtsp://h/a')}").encode() in sent


@pytest.mark.quirk(19)
@pytest.mark.parametrize(
    ("written", "echoed", "name"),
    [
        ('algorithm="SHA-256"', 'algorithm="SHA-256"', "sha256"),
        ("algorithm=SHA-256", "algorithm=SHA-256", "sha256"),
        ("algorithm=sha256", "algorithm=sha256", "sha256"),
        ('algorithm="MD5"', 'algorithm="MD5"', "md5"),
        ("algorithm=SHA-512-256", "algorithm=SHA-512-256", "sha512_256"),
    ],
)
def test_the_algorithm_is_named_in_the_devices_own_way(
    written: str, echoed: str, name: str
) -> None:
    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    header = answer_to(f'Digest realm="r", nonce="n", {written}')
    assert header.endswith(echoed)
    assert digest(f"{digest('admin:r:12345')}:n:{digest('DESCRIBE:rtsp://h/a')}") in header
    assert "algorithm" not in answer_to('Digest realm="r", nonce="n", algorithm=""')


@pytest.mark.quirk(19)
@pytest.mark.parametrize(
    ("qop", "used", "body"),
    [
        ('qop="auth"', "auth", ""),
        ("qop=auth", "auth", ""),
        ('qop="auth-int,auth"', "auth", ""),
        ('qop="auth, auth-int"', "auth", ""),
        ('qop="auth-int"', "auth-int", ":" + hashlib.md5(b"").hexdigest()),
    ],
)
def test_protection(qop: str, used: str, body: str) -> None:
    header = answer_to(f'Digest realm="r", nonce="n", {qop}')
    assert f'qop={used}, nc=00000001, cnonce="c0"' in header
    asked = md5(f"DESCRIBE:rtsp://h/a{body}")
    assert md5(f"{md5('admin:r:12345')}:n:00000001:c0:{used}:{asked}") in header


@pytest.mark.quirk(19)
def test_md5_sess_is_bound_to_the_session() -> None:
    header = answer_to('Digest realm="r", nonce="n", algorithm=MD5-sess, qop=auth')
    secret = md5(f"{md5('admin:r:12345')}:n:c0")
    assert md5(f"{secret}:n:00000001:c0:auth:{md5('DESCRIBE:rtsp://h/a')}") in header


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_a_device_may_ask_at_any_step(method: str) -> None:
    device = Device()
    device.answers[method].insert(0, refused('Digest realm="r", nonce="n"'))
    assert played(device).state is State.PLAYING
    assert device.methods().count(method) == 2
    assert 'nonce="n"' in device.last("PLAY")


@pytest.mark.quirk(19)
@pytest.mark.parametrize("same", [False, True])
def test_a_device_may_ask_anew_for_each_request(same: bool) -> None:
    device = Device()
    for number, method in enumerate(("OPTIONS", "DESCRIBE", "SETUP", "PLAY")):
        nonce = "n" if same else f"n{number}"
        device.answers[method].insert(0, refused(f'Digest realm="r", nonce="{nonce}"'))
    assert played(device).state is State.PLAYING
    assert [device.methods().count(m) for m in ("OPTIONS", "DESCRIBE", "SETUP", "PLAY")] == [2] * 4


@pytest.mark.quirk(20)
def test_a_wrong_password_is_tried_once_however_many_nonces_there_are() -> None:
    nonces = [refused(f'Digest realm="r", nonce="n{n}"') for n in range(9)]
    device = Device(DESCRIBE=nonces)
    with pytest.raises(CredentialsRefused):
        played(device, "wrong")
    assert device.methods().count("DESCRIBE") == 2


def test_the_next_nonce_is_used() -> None:
    device = Device()
    device.answers["OPTIONS"] = [
        refused('Digest realm="r", nonce="n1", qop="auth"'),
        '200 OK\r\nAuthentication-Info: nextnonce="n2", qop=auth',
    ]
    assert played(device).state is State.PLAYING
    assert 'nonce="n1"' in device.last("OPTIONS")
    assert 'nonce="n2"' in device.last("DESCRIBE")
    assert "nc=00000001" in device.last("DESCRIBE")


def test_basic_alone_is_answered_and_kept() -> None:
    device = Device()
    device.answers["DESCRIBE"].insert(0, refused('Basic realm=""'))
    client = played(device)
    assert client.sign_in == "Basic"
    assert "Authorization: Basic YWRtaW46MTIzNDU=" in device.last("PLAY")


def test_what_cannot_be_answered_names_what_was_offered() -> None:
    with pytest.raises(RtspError, match="isn't known") as caught:
        answer_to('Digest realm="r", nonce="n", algorithm="AKAv1-MD5"')
    assert "AKAv1-MD5" in caught.value.where
    assert parse_challenges(['Digest realm="unended, nonce="n"']) != []


def asked_for_its_password(password: str) -> RtspClient:
    """A client to whose first request the device says 401, and no more."""
    client = new_client(user="admin", password=password)
    client.start(0)
    device = Device(OPTIONS=[refused('Digest realm="r", nonce="n1"')])
    client.receive(device.answer(client.data_to_send()), 0)
    assert client.is_signing_in
    return client


@pytest.mark.quirk(19)
@pytest.mark.parametrize("nonce", ["n1", "n2"])
def test_the_answer_may_be_given_on_another_connection(nonce: str) -> None:
    """Some devices close the connection with their 401; the next one may have a nonce of its own."""
    client = asked_for_its_password("12345")
    again = client.on_another_connection()
    first = "200 OK" if nonce == "n1" else refused(f'Digest realm="r", nonce="{nonce}"')
    device = Device(OPTIONS=[first, "200 OK"])
    run(again, device)
    assert f'nonce="{nonce}"' in device.last("DESCRIBE")
    assert again.state is State.PLAYING
    assert not again.is_signing_in


@pytest.mark.quirk(20)
def test_a_wrong_password_is_told_on_the_other_connection_too() -> None:
    again = asked_for_its_password("wrong").on_another_connection()
    with pytest.raises(CredentialsRefused):
        run(again, Device(OPTIONS=[refused('Digest realm="r", nonce="n1"')] * 3))


@pytest.mark.quirk(20)
def test_an_open_options_does_not_prove_the_password() -> None:
    again = asked_for_its_password("wrong").on_another_connection()
    again.start(0)
    again.receive(Device(OPTIONS=["200 OK"]).answer(again.data_to_send()), 0)
    assert b"DESCRIBE" in again.data_to_send()
    assert again.is_signing_in, "nothing that asks for the password has been let in"

"""Targets of `khupho.wire`."""

from __future__ import annotations

from targets import target

from khupho.errors import KhuphoError
from khupho.wire.rtsp import auth, sdp, tracks, transport, url
from khupho.wire.rtsp.client import RtspClient
from khupho.wire.rtsp.message import MessageReader, reply_bytes

SDP = (
    b"v=0\r\n"
    b"o=- 1 1 IN IP4 127.0.0.1\r\n"
    b"s=Media\r\n"
    b"a=control:*\r\n"
    b"m=video 0 RTP/AVP 96\r\n"
    b"a=control:trackID=0\r\n"
    b"a=rtpmap:96 H264/90000\r\n"
    b"a=framerate:25.0\r\n"
    b"a=fmtp:96 packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LA"
    b"HtsCgL/lwFqDAIMqAAADAAIAAAMAZR4uXIA=,aM48gA==\r\n"
    b"m=video 0 RTP/AVP 97\r\n"
    b"a=rtpmap:97 H265/90000\r\n"
    b"a=fmtp:97 sprop-vps=QAEMAf//AUAAAAMAgAAAAwAAAwB4rAk=;sprop-sps=QgEBAUAAAAMAgAAAA"
    b"wAAAwB4oAPAgBDllm5JMrgEAAADAAQAAAMAZCA=;sprop-pps=RAHBcrRiQA==\r\n"
    b"m=audio 0 RTP/AVP 98\r\n"
    b"a=control:trackID=1\r\n"
    b"a=rtpmap:98 MPEG4-GENERIC/16000/1\r\n"
    b"a=fmtp:98 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength"
    b"=3;indexdeltalength=3;config=1408\r\n"
    b"m=audio 0 RTP/AVP 8\r\n"
    b"a=sendonly\r\n"
)

_REPLY = (
    b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n"
    b"Content-Base: rtsp://10.0.0.7/main/\r\nContent-Length: %d\r\n\r\n%s" % (len(SDP), SDP)
)
_CHALLENGED = (
    b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm="cam", nonce="a\\"b", '
    b'algorithm=SHA-256, qop="auth", stale=FALSE, Basic realm="cam"\r\n\r\n'
)
_CONVERSATION = b"\xff\xff".join(
    (
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, DESCRIBE, GET_PARAMETER\r\n\r\n",
        _CHALLENGED,
        _REPLY,
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 12345678;timeout=30\r\n"
        b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234ABCD\r\n\r\n",
        b"$\0\0\4abcdRTSP/1.0 200 OK\r\nCSeq: 5\r\nRTP-Info: url=rtsp://10.0.0.7/main;seq=1\r\n\r\n$\0\0\1x",
        b"OPTIONS rtsp://10.0.0.7 RTSP/1.0\r\nCSeq: 9\r\n\r\n",
        b"REDIRECT rtsp://10.0.0.7 RTSP/1.0\r\nLocation: rtsp://10.0.0.7:555/other\r\n\r\n",
        b"RTSP/1.0 454 Session Not Found\r\nCSeq: 6\r\n\r\n",
        b"TEARDOWN rtsp://10.0.0.7 RTSP/1.0\r\nCSeq: 10\r\n\r\n",
    )
)


@target("rtsp-messages", _REPLY, _CHALLENGED, _CONVERSATION, b"HTTP/1.1 400 Bad Request\r\n\r\n")
def rtsp_messages(data: bytes) -> object:
    """Cut anywhere or not at all, the same messages come out."""
    whole = _messages([data])
    step = 1 + (len(data) * 7 + sum(data[:8])) % 61
    cut = _messages([data[n : n + step] for n in range(0, len(data), step)])
    assert whole == cut, (whole, cut)
    return whole


def _messages(parts: list[bytes]) -> list[object]:
    reader = MessageReader()
    found: list[object] = []
    try:
        for part in parts:
            reader.feed(part)
            while (message := reader.next()) is not None:
                found.append(message)
                if not hasattr(message, "status"):
                    reply_bytes(200, "OK", message)
    except KhuphoError as error:
        found.append(error.what)
    return found


@target("rtsp-client", _CONVERSATION, _CHALLENGED + b"\xff\xff" + _REPLY)
def rtsp_client(data: bytes) -> object:
    """A device that says `data`, in the pieces between two 0xff bytes."""
    client = RtspClient(
        url.parse_url("rtsp://10.0.0.7/main"), "admin", "secret",
        make_cnonce=lambda: "0123456789abcdef", audio=True,
        udp_ports=((5000, 5001), (5002, 5003)) if len(data) % 2 else (),
    )  # fmt: skip
    now_us = 0
    client.start(now_us)
    try:
        for piece in data.split(b"\xff\xff"):
            client.data_to_send()
            client.receive(piece, now_us)
            now_us += 4_000_000
            client.on_timer(now_us)
    except KhuphoError as error:
        str(error)
    client.rest()
    client.teardown(now_us)
    for piece in data.split(b"\xff\xff")[:2]:
        client.data_to_send()
        client.receive(piece, now_us)
    client.on_timer(now_us + 2_000_000)
    for track in client.tracks:
        tracks.video_format(track.media)
    return client


@target("sdp", SDP, SDP.replace(b"\r\n", b"\n"))
def sdp_text(data: bytes) -> object:
    """A description, and the formats of its tracks."""
    described = sdp.parse_sdp(data)
    for media in described.media:
        tracks.video_format(media)
        if media.kind == "audio":
            try:
                tracks.audio_format(media)
            except KhuphoError as error:
                str(error)
    return described.video(), described.audio()


@target(
    "transport",
    b"RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=1234ABCD",
    b"RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;source=10.0.0.7;ssrc= 1A",
)
def transport_header(data: bytes) -> object:
    """Never raises, and gives numbers in bounds only."""
    reply = transport.parse_transport(data.decode("utf-8", "replace"))
    if reply.interleaved is not None:
        assert all(0 <= channel <= 255 for channel in reply.interleaved)
    if reply.server_ports is not None:
        assert all(0 <= port <= 65_535 for port in reply.server_ports)
    if reply.ssrc is not None:
        assert 0 <= reply.ssrc < 1 << 32
    return reply


@target(
    "challenges",
    b'Digest realm="a, Basic b", nonce="0\\"1", algorithm=MD5-sess, qop="auth,auth-int"',
    b'Basic realm="x",Digest realm="y",nonce="z",algorithm=SHA-512-256,opaque=""',
)
def challenges(data: bytes) -> object:
    """A challenge is read, and answered in one line of printable text if it can be."""
    text = data.decode("utf-8", "replace")
    signer = auth.Authenticator('ad"min', "pass\\word", lambda: "0123456789abcdef")
    auth.parse_challenges([text, text])
    signer.challenged([text], answered=False)
    header = signer.header("DESCRIBE", "rtsp://10.0.0.7/main")
    assert header
    assert signer.scheme
    try:
        signer.challenged([text], answered=True)
    except KhuphoError as error:
        str(error)
    return header


@target(
    "url",
    b"rtsp://admin:pass@10.0.0.7:554/Streaming/Channels/101?a=b\0trackID=1\0/abs\0rtsp://h/x",
    b"rtsp://rtsp://[fe80::1]:8554?x\0//h/path\0../up",
)
def url_text(data: bytes) -> object:
    """An address, and what a device's words make of it."""
    texts = [part.decode("utf-8", "replace") for part in data.split(b"\0")[:8]]
    base = url.parse_url("rtsp://10.0.0.7/main?x=1")
    made: list[object] = []
    for text in texts:
        made.append(url.base_url(str(base), text, texts[-1]))
        for work in (
            lambda text=text: url.parse_url(text),
            lambda text=text: url.control_urls(str(base), text),
            lambda text=text: url.control_urls(url.base_url(str(base), text, ""), texts[-1]),
            lambda text=text: url.redirect_target(base, text),
        ):
            try:
                made.append(work())
            except KhuphoError as error:
                str(error)
    for found in made:
        if isinstance(found, url.RtspUrl):
            assert 0 < found.port < 65_536
            assert url.parse_url(str(found)) == found
            url.digest_uri(str(found))
        elif isinstance(found, tuple):
            for one in found:
                url.digest_uri(one)
    return made

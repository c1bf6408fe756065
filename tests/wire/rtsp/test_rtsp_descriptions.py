"""Descriptions as devices write them: which track, which codec, which parameters, which address.

Each is the least that shows what was seen in the wild; the parameter sets are those of the captures.
"""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media import h264
from khupho.media.formats import Codec
from khupho.wire.rtp.track_spec import TrackSpec
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.sdp import MediaDescription, parse_sdp
from khupho.wire.rtsp.tracks import audio_format, video_format, wanted_tracks
from khupho.wire.rtsp.url import base_url, control_urls

SPS, PPS = "Z00AH5WoFAFuQA==", "aO48gA=="
VPS_265 = "QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ"
SPS_265 = "QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE"
PPS_265 = "RAHAcvAbJA=="


def video(*lines: str, payload: str = "96") -> MediaDescription:
    text = "\r\n".join((f"m=video 0 RTP/AVP {payload}", *lines))
    media = parse_sdp(text.encode()).video()
    assert media is not None
    return media


def size(media: MediaDescription) -> tuple[int, int] | None:
    found = video_format(media)
    return (found.width_px, found.height_px) if found else None


@pytest.mark.quirk(2)
@pytest.mark.parametrize(
    "sets",
    [
        f"{SPS},{PPS}",
        f'"{SPS},{PPS}"',
        f'"{SPS}","{PPS}"',
        f" {SPS} , {PPS} ",
        f"{PPS},{SPS}",
        f"{SPS.rstrip('=')},{PPS.rstrip('=')}",
        f"{SPS[:7]} {SPS[7:]},{PPS}",
        f"{SPS},{PPS},;",
        f"{SPS},{PPS},!!!",
        base64.b64encode(b"\0\0\0\1" + base64.b64decode(SPS)).decode() + f",{PPS}",
        base64.b64encode(
            b"\0\0\0\1" + base64.b64decode(SPS) + b"\0\0\0\1" + base64.b64decode(PPS)
        ).decode(),
        SPS + "," + base64.b64encode(base64.b64decode(PPS) + b"\0\0\0\1").decode(),
        f"Z00=,{SPS},{PPS}",
    ],
)
def test_parameter_sets_are_found_however_they_are_wrapped(sets: str) -> None:
    media = video("a=rtpmap:96 H264/90000", f"a=fmtp:96 sprop-parameter-sets={sets}")
    assert size(media) == (1280, 720)


@pytest.mark.quirk(1)
@pytest.mark.quirk(2)
@pytest.mark.parametrize("sets", ["", ",", SPS, PPS, "AAAA", "6QAAAA==," + PPS, "Z0==,aA=="])
def test_what_is_no_pair_of_parameter_sets_is_waited_for_in_band(sets: str) -> None:
    media = video("a=rtpmap:96 H264/90000", f"a=fmtp:96 sprop-parameter-sets={sets}")
    assert media.encoding == "H264"
    assert video_format(media) is None
    assert TrackSpec.of("video", media, None).format is None


@pytest.mark.quirk(3)
@pytest.mark.parametrize(
    "parameters",
    [
        f"sprop-vps={VPS_265}; sprop-sps={SPS_265}; sprop-pps={PPS_265}",
        f'sprop-pps="{PPS_265}";sprop-sps="{SPS_265}";sprop-vps="{VPS_265}"',
        f"sprop-parameter-sets={VPS_265},{SPS_265},{PPS_265}",
        f"profile-id=1 sprop-vps={VPS_265} ;sprop-sps={SPS_265} ;sprop-pps={PPS_265} ;",
    ],
)
@pytest.mark.parametrize("name", ["H265", "h265", "HEVC", "H.265"])
def test_h265_under_its_names(parameters: str, name: str) -> None:
    media = video(f"a=rtpmap:96 {name}/90000", f"a=fmtp:96 {parameters}")
    assert media.encoding == "H265"
    assert size(media) == (2560, 1440)


@pytest.mark.quirk(4)
@pytest.mark.quirk(5)
def test_an_sps_is_the_same_with_bytes_behind_it_and_read_with_an_odd_tail() -> None:
    sps, pps = base64.b64decode(SPS), base64.b64decode(PPS)
    assert h264.video_format(sps + b"\0\0", pps) == h264.video_format(sps, pps)
    for cut in range(1, 8):
        odd = base64.b64decode(SPS_265)[:-cut] + b"\xff" * cut
        sets = base64.b64encode(odd).decode()
        parameters = f"sprop-vps={VPS_265};sprop-sps={sets};sprop-pps={PPS_265}"
        assert size(video("a=rtpmap:96 H265/90000", f"a=fmtp:96 {parameters}")) == (2560, 1440)


@pytest.mark.quirk(8)
@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:96 H264/90000 ",
        "a = rtpmap : 96  h264 / 90000",
        "a=rtpmap:96\tH264/90000",
        "A=RTPMAP:96 AVC/90000",
        "a=rtpmap:96 H264",
        "a=rtpmap:96 H264/9000",
        "a=rtpmap:96 H264/90000/1\0",
    ],
)
def test_an_rtpmap_with_blanks_and_other_rates(line: str) -> None:
    media = video(line)
    assert (media.encoding, media.clock_hz, media.payload_type) == ("H264", 90_000, 96)


@pytest.mark.quirk(11)
@pytest.mark.parametrize(
    ("parameters", "encoding"),
    [
        (f"packetization-mode=1;sprop-parameter-sets={SPS},{PPS}", "H264"),
        ("profile-level-id=4d001f", "H264"),
        (f"sprop-vps={VPS_265};sprop-sps={SPS_265};sprop-pps={PPS_265}", "H265"),
    ],
)
def test_a_track_without_rtpmap_tells_its_codec_by_its_parameters(
    parameters: str, encoding: str
) -> None:
    media = video(f"a=fmtp:96 {parameters}")
    assert (media.encoding, media.clock_hz) == (encoding, 90_000)


@pytest.mark.quirk(11)
@pytest.mark.parametrize(
    ("payload", "types"),
    [("96", {96}), ("97", {96, 97}), ("", {96}), ("224", {96}), ("smart/1/90000", {96})],
)
def test_payload_types_that_do_not_fit_together(payload: str, types: set[int]) -> None:
    media = video(
        "a=rtpmap:96 H264/90000", f"a=fmtp:96 sprop-parameter-sets={SPS},{PPS}", payload=payload
    )
    assert media.payload_types == types
    assert size(media) == (1280, 720)
    assert TrackSpec.of("video", media, None).payload_types == types


def test_without_any_number_every_dynamic_payload_type_will_do() -> None:
    media = video("a=fmtp:x packetization-mode=1", payload="")
    assert media.payload_types == set(range(96, 128))


@pytest.mark.quirk(11)
@pytest.mark.parametrize(
    "text",
    [
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:t\n",
        "\ufeffv=0\r\rm=video 0 RTP/AVP 96\r\ra=rtpmap:96 H264/90000\r\ra=control:t\r\r",
        "s=B\u00fchne \x85\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t",
        "o=- 1 1 IN\r\nc=IN\r\nm=video 0 RTP/AVP 96\r\nc=IN\r\na=control:t\r\na=rtpmap:96 H264/90000\r\n",
        "a=rtpmap:96 H264/90000\r\nm=Video 0 RTP/AVP 96\r\na=control:t\r\n\0\0\0",
        "m=application 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n",
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_little_and_broken_descriptions_are_read(text: str, charset: str) -> None:
    session = parse_sdp(text.encode(charset, "replace"))
    [(kind, media)], _note = wanted_tracks(session, audio=False)
    assert (kind, media.encoding, media.control) == ("video", "H264", "t")


@pytest.mark.quirk(12)
def test_parameters_with_a_number_of_nobody_or_none_or_another_tracks() -> None:
    fmtp = f"packetization-mode=1;sprop-parameter-sets={SPS},{PPS}"
    for number in ("97 ", "", "96;", "96,"):
        assert size(video("a=rtpmap:96 H264/90000", f"a=fmtp:{number}{fmtp}")) == (1280, 720)
    text = (
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 8\r\n"
        f"a=rtpmap:0 pcma/8000/1\r\na=fmtp:96 {fmtp}\r\n"
    )
    session = parse_sdp(text.encode())
    assert session.media[0].fmtp["packetization-mode"] == "1"
    assert (session.media[1].encoding, session.media[1].fmtp) == ("PCMA", {})
    # A retransmission's parameters are not the picture's.
    media = video(
        "a=rtpmap:96 H264/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", payload="96 97"
    )
    assert media.fmtp == {}


@pytest.mark.quirk(12)
def test_parameters_broken_over_two_lines_are_joined() -> None:
    media = video(
        "a=rtpmap:96 H264/90000",
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPS[:9]}",
        f"{SPS[9:]},{PPS}",
        "a=control:t",
    )
    assert size(media) == (1280, 720)
    assert media.control == "t"


def test_of_several_codecs_and_tracks_the_first_that_can_be_recorded_is_taken() -> None:
    media = video(
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:98 H265/90000",
        "a=rtpmap:97 H264/90000",
        payload="96 97 98",
    )
    assert (media.encoding, media.payload_type) == ("H264", 97)
    text = (
        "m=video 0 RTP/AVP 26\r\na=control:jpeg\r\n"
        "m=video 0 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\na=control:off\r\na=inactive\r\n"
        "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:first\r\n"
        "m=video 0 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\na=control:second\r\n"
    )
    chosen = parse_sdp(text.encode()).video()
    assert chosen is not None and chosen.control == "first"


def test_a_picture_that_cannot_be_recorded_is_said_at_once() -> None:
    with pytest.raises(RtspError, match=r"no H\.264 or H\.265 picture") as caught:
        wanted_tracks(parse_sdp(b"m=video 0 RTP/AVP 26\r\n"), audio=False)
    assert "JPEG" in caught.value.where


@pytest.mark.quirk(47)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a=rtpmap:104 MPEG4-GENERIC/16000\r\na=fmtp:97 mode=AAC-hbr;config=1408", (16_000, 1)),
        ("a=rtpmap:104 mpeg4-generic/44100/2", (44_100, 2)),
        ("a=rtpmap:104 MPEG4-GENERIC/16000\r\na=fmtp:104 config=zzz", (16_000, 1)),
        ('a=rtpmap:104 MPEG4-GENERIC/16000\r\na=fmtp:104 Config="0x1408";', (16_000, 1)),
    ],
)
def test_aac_whose_config_is_elsewhere_or_nowhere(lines: str, expected: tuple[int, int]) -> None:
    media = parse_sdp(f"m=audio 0 RTP/AVP 104\r\n{lines}\r\n".encode()).audio()
    assert media is not None
    found = audio_format(media)
    assert (found.codec, found.clock_hz, found.channels) == (Codec.AAC, *expected)
    assert TrackSpec.of("audio", media, None).format == found


@pytest.mark.quirk(48)
def test_of_the_sounds_the_cameras_own_is_taken() -> None:
    text = (
        "m=audio 0 RTP/AVP 0\r\na=control:talk\r\na=sendonly\r\n"
        "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n"
        "m=audio 0 RTP/AVP 8\r\na=control:microphone\r\na=recvonly\r\n"
    )
    media = parse_sdp(text.encode()).audio()
    assert media is not None and media.control == "microphone"


@pytest.mark.quirk(6)
@pytest.mark.parametrize(
    ("given_base", "base"),
    [
        ("rtsp://10.0.0.9:554/live/", "rtsp://10.0.0.9:554/live/"),
        ("rtsp://CAM.lan/Live/", "rtsp://CAM.lan/Live/"),
        ("rtsp://rtsp://cam.lan:554/stream1/", "rtsp://cam.lan/stream1/"),
        ("rtsp://::ffff:192.168.1.123/p/", "rtsp://[::ffff:c0a8:17b]/p/"),
        ("192.168.253.220:1935/", "rtsp://192.168.253.220:1935/"),
        ("rtsp://admin:secret@10.0.0.9/live/", "rtsp://10.0.0.9/live/"),
        ("/live/", "rtsp://10.0.0.9:8554/live/"),
        ("stream1/", "rtsp://10.0.0.9:8554/a/stream1/"),
        ("*", "rtsp://10.0.0.9:8554/a/b?c"),
        ("rtsp:///live", "rtsp://10.0.0.9:8554/a/b?c"),
        ("rtsp://h/my stream", "rtsp://10.0.0.9:8554/a/b?c"),
    ],
)
def test_a_content_base_is_mended_or_kept_to_the_letter(given_base: str, base: str) -> None:
    assert base_url("rtsp://10.0.0.9:8554/a/b?c", given_base, "") == base
    assert base_url("rtsp://10.0.0.9:8554/a/b?c", "", given_base) == base


@pytest.mark.quirk(7)
@pytest.mark.parametrize(
    ("base", "control", "first"),
    [
        (
            "rtsp://h/cam?channel=1&subtype=0/",
            "trackID=0",
            "rtsp://h/cam?channel=1&subtype=0/trackID=0",
        ),
        ("rtsp://h/a?token=7&trackID=0", "trackID=0", "rtsp://h/a?token=7&trackID=0/trackID=0"),
        ("rtsp://h/a", "?ctype=video", "rtsp://h/a?ctype=video"),
        ("rtsp://h/a/", "?ctype=video", "rtsp://h/a/?ctype=video"),
        ("rtsp://h/a", "/video", "rtsp://h/a/video"),
        ("rtsp://h/a/", "//video", "rtsp://h/a/video"),
        ("rtsp://h/a", "", "rtsp://h/a"),
        ("rtsp://h/a", "*", "rtsp://h/a"),
        ("rtsp://h/a", "track 1", "rtsp://h/a/track%201"),
        ("rtsp://h/a", '"track1"\x01', "rtsp://h/a/track1"),
        ("rtsp://h/a", "rtsp://rtsp://h:554/a/1", "rtsp://h:554/a/1"),
        ("rtsp://h/a", "rtsp://admin:secret@h/a/1", "rtsp://h/a/1"),
        ("rtsp://h/a", "x" * 3_000, "rtsp://h/a"),
    ],
)
def test_the_likeliest_address_of_a_track(base: str, control: str, first: str) -> None:
    assert control_urls(base, control)[0] == first


@pytest.mark.quirk(7)
def test_other_bases_follow_and_a_foreign_host_is_tried_where_the_request_went() -> None:
    assert control_urls("rtsp://h/a/", "t", "rtsp://h/b?c") == (
        "rtsp://h/a/t",
        "rtsp://h/b?c/t",
        "rtsp://h/t",
    )
    assert control_urls("rtsp://h/a", "rtsp://0.0.0.0/a/1?x", "rtsp://10.0.0.9:8554/a") == (
        "rtsp://0.0.0.0/a/1?x",
        "rtsp://10.0.0.9:8554/a/1?x",
    )


LINES = st.sampled_from(
    [
        "m=video 0 RTP/AVP 96",
        "m=audio 0 RTP/AVP 97 0",
        "m=video",
        "a=rtpmap:96 H264/90000",
        "a=rtpmap:97 MPEG4-GENERIC/7/300",
        "a=rtpmap:999 H265",
        f"a=fmtp:96 sprop-parameter-sets={SPS},{PPS}",
        "a=fmtp:97 config=FFFFFFFF",
        "a=fmtp:96",
        "AAAA==",
        "a=control:rtsp://[",
        "a=control:*",
        "",
    ]
)


@given(st.lists(LINES | st.text(max_size=30), max_size=20))
@settings(max_examples=300, deadline=None)
def test_no_description_raises_anything_but_our_own(lines: list[str]) -> None:
    try:
        session = parse_sdp("\r\n".join(lines).encode("utf-8", "surrogatepass"))
        tracks, _note = wanted_tracks(session, audio=True)
    except RtspError:
        return
    for kind, media in tracks:
        TrackSpec.of(kind, media, None)
        assert control_urls("rtsp://h/a", media.control, "rtsp://h/b")

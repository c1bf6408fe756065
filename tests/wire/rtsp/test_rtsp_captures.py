"""Replies captured from real devices: whole, byte by byte, and with bytes behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from khupho.media.formats import Codec
from khupho.wire.rtsp.auth import parse_challenges
from khupho.wire.rtsp.message import MessageReader, Reply
from khupho.wire.rtsp.sdp import SessionDescription, parse_sdp
from khupho.wire.rtsp.tracks import audio_format, video_format, wanted_tracks
from khupho.wire.rtsp.transport import parse_transport
from khupho.wire.rtsp.url import base_url, control_urls

CAPTURES = Path(__file__).parents[2] / "captures" / "rtsp"
REPLIES = sorted(p for p in CAPTURES.glob("*.txt") if not p.name.endswith("_sdp.txt"))


def read(name: str) -> Reply:
    reader = MessageReader()
    reader.feed((CAPTURES / name).read_bytes())
    reply = reader.next()
    assert isinstance(reply, Reply)
    return reply


def described(name: str) -> SessionDescription:
    bare = name.endswith("_sdp.txt")
    return parse_sdp((CAPTURES / name).read_bytes() if bare else read(name).body)


@pytest.mark.parametrize("path", REPLIES, ids=lambda path: path.stem)
def test_a_reply_is_the_same_whole_bytewise_and_followed(path: Path) -> None:
    data = path.read_bytes()
    whole = read(path.name)
    assert whole.status == (401 if path.stem == "longse_unauthorized" else 200)
    assert whole.headers.get("CSEQ").isdigit()
    bytewise = MessageReader()
    replies = []
    for index in range(len(data)):
        bytewise.feed(data[index : index + 1])
        if (message := bytewise.next()) is not None:
            replies.append(message)
    assert replies == [whole]
    followed = MessageReader()
    followed.feed(data + b"$\x00\x00\x04abcd\r\n" + data)
    assert [followed.next(), followed.next(), followed.next()] == [whole, whole, None]
    assert followed.skipped_frames == 1


SIZES = {
    "anpviz_sdp.txt": (704, 576),
    "foscam_describe.txt": (1280, 720),
    "geovision_sdp.txt": (2688, 1520),
    "gw_sub_describe.txt": (720, 480),
    "h264dvr_describe.txt": (1920, 1080),
    "macrovideo_describe.txt": (1280, 720),
    "vstarcam_describe.txt": (1920, 1080),
    "bunny_describe.txt": (160, 240),
    "dahua_describe_h264_aac_onvif.txt": (704, 480),
    "gw_main_describe.txt": (1920, 1080),
    "hikvision_describe.txt": (1920, 1080),
    "ipcam_describe.txt": (1280, 960),
    "reolink_describe.txt": (2560, 1440),
}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_the_picture_size_is_in_the_description(name: str) -> None:
    media = described(name).video()
    assert media is not None
    found = video_format(media)
    assert found is not None
    assert found.codec is Codec.H264
    assert {found.width_px, found.height_px} == set(SIZES[name])


@pytest.mark.parametrize(
    ("name", "shape"),
    [("dahua_describe_h265_pcma.txt", (704, 480)), ("tplink_sdp.txt", (2560, 1440))],
)
def test_h265_with_g711(name: str, shape: tuple[int, int]) -> None:
    session = described(name)
    tracks, note = wanted_tracks(session, audio=True)
    assert [media.encoding for _kind, media in tracks] == ["H265", "PCMA"]
    assert note == ""
    found = video_format(tracks[0][1])
    assert found is not None
    assert (found.codec, found.width_px, found.height_px) == (Codec.H265, *shape)


@pytest.mark.quirk(14)
def test_transports_of_luckfox_and_of_a_dvr() -> None:
    tcp = parse_transport(read("luckfox_rkipc_setup_tcp.txt").headers.get("transport"))
    assert (tcp.interleaved, tcp.ssrc) == ((0, 1), 0x22345684)
    udp = parse_transport(read("luckfox_rkipc_setup_udp.txt").headers.get("transport"))
    assert udp.server_ports == (49_152, 49_153)
    dvr = parse_transport(read("h264dvr_setup_video.txt").headers.get("transport"))
    assert (dvr.server_ports, dvr.source) == ((40_004, 40_005), "127.0.0.1")


@pytest.mark.quirk(8)
@pytest.mark.quirk(19)
def test_longse_asks_without_qop_and_with_a_blank_behind_its_number() -> None:
    [challenge] = parse_challenges(read("longse_unauthorized.txt").headers.all("www-authenticate"))
    assert (challenge.realm, challenge.nonce) == ("Surveillance Server", "98481030")
    assert challenge.rank > 0


@pytest.mark.quirk(3)
def test_h265_without_one_of_its_parameter_sets_is_waited_for_in_band() -> None:
    media = described("anjvision_describe.txt").video()
    assert media is not None
    assert media.encoding == "H265"
    assert media.frame_rate == 5
    assert "sprop-vps" in media.fmtp
    whole = video_format(media)
    assert whole is not None and whole.codec is Codec.H265
    del media.fmtp["sprop-vps"]
    assert video_format(media) is None


@pytest.mark.quirk(8)
def test_blanks_around_values_are_taken_off() -> None:
    media = described("ipcam_describe.txt").video()
    assert media is not None
    assert (media.encoding, media.clock_hz, media.frame_rate) == ("H264", 90_000, 25)
    header = read("hikvision_setup_ssrc_space.txt").headers.get("transport")
    assert parse_transport(header).ssrc == 0xD6D6627


@pytest.mark.quirk(12)
@pytest.mark.quirk(47)
def test_audio_of_each_capture() -> None:
    found = {}
    for name in ("bunny", "reolink", "missing_content_type", "gw_main"):
        media = described(f"{name}_describe.txt").audio()
        assert media is not None
        track = audio_format(media)
        found[name] = (track.codec, track.clock_hz, track.channels)
    assert found == {
        "bunny": (Codec.AAC, 12_000, 2),
        "reolink": (Codec.AAC, 16_000, 1),
        "missing_content_type": (Codec.AAC, 48_000, 2),
        "gw_main": (Codec.PCMA, 8_000, 1),
    }


@pytest.mark.quirk(11)
@pytest.mark.quirk(48)
def test_ubiquiti_has_three_tracks_and_the_known_audio_is_taken() -> None:
    session = parse_sdp((CAPTURES / "ubiquiti_sdp.txt").read_bytes())
    assert [media.encoding for media in session.media] == ["MPEG4-GENERIC", "OPUS", "H264"]
    audio = session.audio()
    assert audio is session.media[0]


@pytest.mark.quirk(13)
def test_a_description_without_content_type_is_read() -> None:
    assert read("missing_content_type_describe.txt").headers.get("content-type") == ""
    assert len(described("missing_content_type_describe.txt").media) == 2


@pytest.mark.quirk(6)
def test_a_content_base_without_scheme_is_mended() -> None:
    base = read("anjvision_describe.txt").headers.get("content-base")
    assert base_url("rtsp://10.0.0.1/x", base, "") == "rtsp://192.168.1.10/stream0/"


@pytest.mark.quirk(7)
def test_dahuas_control_is_appended_behind_the_query_first() -> None:
    base = read("dahua_describe_h264_aac_onvif.txt").headers.get("content-base")
    first, second = control_urls(base, "trackID=0")
    assert first == base + "trackID=0"
    assert second == "rtsp://192.168.5.111:554/cam/trackID=0"

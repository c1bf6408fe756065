"""What a camera answers to DESCRIBE: SDP (RFC 8866) with RFC 6184 and RFC 7798 parameters."""

from __future__ import annotations

from base64 import b64encode

from khupho.city.packets import PAYLOAD_TYPE
from khupho.media import h265
from khupho.media.formats import Codec, VideoFormat

CONTROL = "trackID=0"


def describe(
    name: str, session_number: int, address: str, video: VideoFormat, *, with_parameter_sets: bool
) -> bytes:
    """The SDP of a camera with one video track."""
    family = "IP6" if ":" in address else "IP4"
    anywhere = "::" if family == "IP6" else "0.0.0.0"  # noqa: S104 - SDP for "as set up", not a bind
    encoding = "H264" if video.codec is Codec.H264 else "H265"
    parameters = _parameters(video, with_parameter_sets)
    lines = [
        "v=0",
        f"o=- {session_number} 1 IN {family} {address}",
        f"s={name}",
        f"c=IN {family} {anywhere}",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} {encoding}/90000",
        *([f"a=fmtp:{PAYLOAD_TYPE} {parameters}"] if parameters else []),
        f"a=control:{CONTROL}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n"


def _parameters(video: VideoFormat, with_parameter_sets: bool) -> str:
    encoded = [b64encode(unit).decode() for unit in video.parameter_sets]
    if video.codec is Codec.H264:
        text = "packetization-mode=1"
        if with_parameter_sets:
            text += f";profile-level-id={video.parameter_sets[0][1:4].hex().upper()}"
            text += f";sprop-parameter-sets={','.join(encoded)}"
        return text
    if not with_parameter_sets:
        return ""
    kinds = {h265.NAL_VPS: "vps", h265.NAL_SPS: "sps", h265.NAL_PPS: "pps"}
    sets: dict[str, list[str]] = {"vps": [], "sps": [], "pps": []}
    for unit, text in zip(video.parameter_sets, encoded, strict=True):
        sets[kinds[h265.nal_type(unit[0])]].append(text)
    return ";".join(f"sprop-{kind}={','.join(texts)}" for kind, texts in sets.items())

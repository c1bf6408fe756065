"""What a track's reader must know of it, from the SDP and the answer to SETUP."""

from __future__ import annotations

from dataclasses import dataclass

from khupho.media import aac
from khupho.media.formats import Codec, TrackFormat
from khupho.wire.rtsp.errors import RtspError
from khupho.wire.rtsp.sdp import MediaDescription
from khupho.wire.rtsp.tracks import VIDEO_CODECS, audio_format, video_format

_AAC_FRAME_SAMPLES = 1024
_HBR = {"sizelength": 13, "indexlength": 3, "indexdeltalength": 3}
_LBR = {"sizelength": 6, "indexlength": 2, "indexdeltalength": 2}
_MAX_FIELD_BITS = 32


@dataclass(frozen=True, slots=True)
class AacLayout:
    """How AU headers are laid out (RFC 3640 section 4.1): widths in bits, 0 for an absent field."""

    size_bits: int = 13
    index_bits: int = 3
    index_delta_bits: int = 3
    cts_delta_bits: int = 0
    dts_delta_bits: int = 0
    has_random_access: bool = False
    stream_state_bits: int = 0
    auxiliary_size_bits: int = 0
    constant_size_bytes: int = 0
    frame_ticks: int = _AAC_FRAME_SAMPLES
    """Duration of a frame on the RTP clock."""


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """One track as its reader needs it."""

    kind: str
    """`video` or `audio`."""
    codec: Codec
    payload_types: frozenset[int]
    clock_hz: int
    ssrc: int | None = None
    """As the answer to SETUP told it; often wrong, so it is only a hint (quirk 30)."""
    format: TrackFormat | None = None
    """From the SDP; None for video whose parameter sets come in band."""
    has_decoding_order_numbers: bool = False
    """H.265 payloads carry DONL and DOND fields (RFC 7798 section 4.4)."""
    aac: AacLayout = AacLayout()

    @classmethod
    def of(cls, kind: str, media: MediaDescription, ssrc: int | None) -> TrackSpec:
        """Raises `KhuphoError` for a track that cannot be recorded (it isn't set up then)."""
        payload_types = media.payload_types
        if kind == "video":
            codec = VIDEO_CODECS.get(media.encoding)
            if codec is None:
                raise RtspError(
                    f"The camera sends its picture as {media.encoding or 'an unknown codec'}",
                    advice="Set its stream to H.264 or H.265",
                )
            return cls(
                kind,
                codec,
                payload_types,
                media.clock_hz or 90_000,
                ssrc,
                video_format(media),
                codec is Codec.H265 and _number(media, "sprop-max-don-diff") > 0,
            )
        sound = audio_format(media)
        clock_hz = media.clock_hz or sound.clock_hz
        layout = _aac_layout(media, clock_hz) if sound.codec is Codec.AAC else AacLayout()
        return cls(kind, sound.codec, payload_types, clock_hz, ssrc, sound, aac=layout)


def _aac_layout(media: MediaDescription, clock_hz: int) -> AacLayout:
    """Where the fmtp leaves a width out, that of the mode it names, or of the usual one, counts."""
    defaults = _LBR if "lbr" in media.fmtp.get("mode", "").lower() else _HBR

    def bits(name: str) -> int:
        if name not in media.fmtp and "sizelength" not in media.fmtp:
            return defaults.get(name, 0)
        return min(_number(media, name), _MAX_FIELD_BITS)

    core_hz = aac.parse_config(aac.config_of_fmtp(media.fmtp.get("config", ""))).sampling_hz
    frame_ticks = _number(media, "constantduration")
    if not 0 < frame_ticks <= 10 * clock_hz:
        frame_ticks = _AAC_FRAME_SAMPLES * clock_hz // core_hz or _AAC_FRAME_SAMPLES
    return AacLayout(
        size_bits=bits("sizelength"),
        index_bits=bits("indexlength"),
        index_delta_bits=bits("indexdeltalength"),
        cts_delta_bits=bits("ctsdeltalength"),
        dts_delta_bits=bits("dtsdeltalength"),
        has_random_access=bits("randomaccessindication") > 0,
        stream_state_bits=bits("streamstateindication"),
        auxiliary_size_bits=bits("auxiliarydatasizelength"),
        constant_size_bytes=min(_number(media, "constantsize"), 0xFFFF),
        frame_ticks=frame_ticks,
    )


def _number(media: MediaDescription, name: str) -> int:
    text = media.fmtp.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

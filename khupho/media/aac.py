"""AAC: the AudioSpecificConfig of an SDP, ADTS headers, and the `mp4a` sample entry.

Sources: ISO/IEC 14496-3 sections 1.6.2 and 1.A.2, ISO/IEC 14496-14 section 5.6, RFC 3640
section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from khupho.errors import Fault, KhuphoError
from khupho.media.bits import BitReader, BitsError
from khupho.media.boxes import box, full_box
from khupho.media.formats import AudioFormat, Codec

_RATES_HZ = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_SBR, _PS = 5, 29
_OBJECT_ESCAPE = 31
_MAX_CONFIG_BYTES = 64
_ENTRY = Struct(">6xH8xHH4xI")
_ES, _DECODER_CONFIG, _DECODER_SPECIFIC, _SL_CONFIG = 3, 4, 5, 6


class AudioConfigError(KhuphoError):
    """An audio configuration or ADTS header that cannot be read."""

    fault = Fault.CAMERA


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """The start of an AudioSpecificConfig, as far as a file needs it."""

    object_type: int
    """2 is AAC-LC; 5 and 29 tell explicit SBR and PS."""
    sampling_hz: int
    """Of the core: an SBR decoder puts out `output_hz`."""
    output_hz: int
    channels: int


def parse_config(config: bytes) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig. Raises `AudioConfigError`."""
    if not 2 <= len(config) <= _MAX_CONFIG_BYTES:
        raise AudioConfigError(f"an AAC configuration of {len(config)} bytes")
    bits = BitReader(config)
    try:
        object_type = _object_type(bits)
        sampling_hz = output_hz = _rate(bits)
        channel_code = bits.u(4)
        if object_type in (_SBR, _PS):
            output_hz = _rate(bits)
            _object_type(bits)
    except BitsError as e:
        raise AudioConfigError(f"the AAC configuration is cut short: {e}") from e
    if channel_code not in _CHANNELS:
        raise AudioConfigError(f"AAC channel configuration {channel_code} is not supported")
    if object_type == 0:
        raise AudioConfigError("AAC object type 0")
    return AudioSpecificConfig(object_type, sampling_hz, output_hz, _CHANNELS[channel_code])


def _object_type(bits: BitReader) -> int:
    kind = bits.u(5)
    return 32 + bits.u(6) if kind == _OBJECT_ESCAPE else kind


def _rate(bits: BitReader) -> int:
    index = bits.u(4)
    rate = bits.u(24) if index == 15 else _RATES_HZ[index] if index < len(_RATES_HZ) else 0
    if not 0 < rate <= 192_000:
        raise AudioConfigError(f"AAC sampling rate index {index}, {rate} Hz")
    return rate


def config_of_fmtp(text: str) -> bytes:
    """The bytes of an SDP's `config=` value: hexadecimal digits, with what cameras put around them.

    A trailing `;`, quotes and spaces are taken off. Raises `AudioConfigError` if the rest is not
    hexadecimal.
    """
    digits = text.strip(" \t\r\n;\"'").removeprefix("0x").removeprefix("0X")
    if len(digits) > 2 * _MAX_CONFIG_BYTES:
        raise AudioConfigError(f"an AAC configuration of {len(digits)} digits")
    try:
        return bytes.fromhex(digits)
    except ValueError as e:
        raise AudioConfigError(f"the AAC configuration {digits!r} is not hexadecimal") from e


def config_of_rate(sampling_hz: int, channels: int) -> bytes:
    """The AudioSpecificConfig of AAC-LC, for devices that tell only rate and channels.

    Raises `AudioConfigError` where those are none of AAC's.
    """
    code = next((code for code, count in _CHANNELS.items() if count == channels), 0)
    if sampling_hz not in _RATES_HZ or not code:
        raise AudioConfigError(f"AAC of {sampling_hz} Hz and {channels} channels")
    return (2 << 11 | _RATES_HZ.index(sampling_hz) << 7 | code << 3).to_bytes(2, "big")


def audio_format(config: bytes | str) -> AudioFormat:
    """The format of an AAC track, from its AudioSpecificConfig (bytes, or hex as in the SDP)."""
    raw = config_of_fmtp(config) if isinstance(config, str) else config
    parsed = parse_config(raw)
    decoder_config = bytes((0x40, 0x15)) + bytes(3 + 4 + 4) + _descriptor(_DECODER_SPECIFIC, raw)
    es = bytes((0, TRACK_ES_ID, 0)) + _descriptor(_DECODER_CONFIG, decoder_config)
    es += _descriptor(_SL_CONFIG, b"\x02")
    # The entry's 16.16 rate cannot hold 65536 Hz and more; decoders go by the configuration.
    shown_hz = parsed.output_hz if parsed.output_hz < 1 << 16 else 0
    entry = box(
        b"mp4a",
        _ENTRY.pack(1, parsed.channels, 16, shown_hz << 16),
        full_box(b"esds", 0, 0, _descriptor(_ES, es)),
    )
    return AudioFormat(
        Codec.AAC, parsed.output_hz, parsed.channels, f"mp4a.40.{parsed.object_type}", entry
    )


TRACK_ES_ID = 0
"""`ES_ID` is 0 in files: the track's number stands for it (ISO/IEC 14496-14 section 3.1.2)."""


def _descriptor(tag: int, body: bytes) -> bytes:
    """A descriptor of ISO/IEC 14496-1 section 8.3.3, its size in four bytes."""
    size = len(body)
    lengths = bytes(0x80 | size >> shift & 0x7F for shift in (21, 14, 7))
    return bytes((tag,)) + lengths + bytes((size & 0x7F,)) + body


def config_of_esds(body: bytes) -> bytes:
    """The AudioSpecificConfig inside an `esds` box's descriptors. Raises `AudioConfigError`."""
    es = _descriptor_body(body, _ES)
    if len(es) < 3 or es[2] & 0xE0:
        raise AudioConfigError("the esds has optional fields that are not written here")
    decoder_config = _descriptor_body(es[3:], _DECODER_CONFIG)
    return _descriptor_body(decoder_config[13:], _DECODER_SPECIFIC)


def _descriptor_body(data: bytes, tag: int) -> bytes:
    if not data or data[0] != tag:
        raise AudioConfigError(f"the esds lacks descriptor {tag}")
    size = 0
    for index in range(1, 5):
        if index >= len(data):
            break
        size = size << 7 | data[index] & 0x7F
        if not data[index] & 0x80:
            body = data[index + 1 : index + 1 + size]
            if len(body) == size:
                return body
            break
    raise AudioConfigError(f"the esds' descriptor {tag} is cut short")


def has_adts(frame: bytes | memoryview) -> bool:
    """Whether an access unit begins with an ADTS header that fits its length (quirk 47)."""
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return False
    header = 7 if frame[1] & 1 else 9
    return header <= _adts_length(frame) <= len(frame)


def _adts_length(frame: bytes | memoryview) -> int:
    return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5


def strip_adts(data: bytes | memoryview) -> list[memoryview]:
    """The raw frames of a run of ADTS frames. Raises `AudioConfigError` at what is none.

    Only frames of one raw data block are taken: with several, their lengths cannot be told.
    """
    view = memoryview(data)
    frames: list[memoryview] = []
    while len(view):
        if not has_adts(view):
            raise AudioConfigError("no ADTS header, or its frame is cut short")
        if view[6] & 3:
            raise AudioConfigError("an ADTS frame of several data blocks")
        length = _adts_length(view)
        frames.append(view[7 if view[1] & 1 else 9 : length])
        view = view[length:]
    return frames


def config_of_adts(frame: bytes | memoryview) -> bytes:
    """The AudioSpecificConfig that an ADTS header implies. Raises `AudioConfigError`."""
    if not has_adts(frame):
        raise AudioConfigError("no ADTS header, or its frame is cut short")
    object_type = (frame[2] >> 6) + 1
    rate_index = frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return (object_type << 11 | rate_index << 7 | channels << 3).to_bytes(2, "big")

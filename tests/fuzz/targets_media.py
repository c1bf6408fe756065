"""Targets of `khupho.media`."""

from __future__ import annotations

import base64

from targets import target

from khupho.errors import KhuphoError
from khupho.media import aac, g711, h264, h265
from khupho.media.boxes import boxes_in, boxes_of_file
from khupho.media.fmp4 import (
    Keys,
    fragment_header,
    init_segment,
    mfra_box,
    parse_fragment,
    parse_init,
    parse_mfra,
    read_fragment,
)
from khupho.media.formats import Codec
from khupho.media.init_segment import child_after
from khupho.media.nal import escaped_length, split_annex_b, unescape
from khupho.media.random_access import mfra_size

SPS_264 = base64.b64decode("Z0LAHtsCgL/lwFqDAIMqAAADAAIAAAMAZR4uXIA=")
PPS_264 = base64.b64decode("aM48gA==")
VPS_265 = base64.b64decode("QAEMAf//AUAAAAMAgAAAAwAAAwB4rAk=")
SPS_265 = base64.b64decode("QgEBAUAAAAMAgAAAAwAAAwB4oAPAgBDllm5JMrgEAAADAAQAAAMAZCA=")
PPS_265 = base64.b64decode("RAHBcrRiQA==")


def _format_264():
    return h264.video_format(SPS_264, PPS_264)


def _format_265():
    return h265.video_format(VPS_265, SPS_265, PPS_265)


def a_fragment(samples: int = 3, shifted: bool = False) -> bytes:
    """A fragment as the archive writes it, with its payload."""
    return fragment_header(
        1, 0, [3600] * samples, [8] * samples, data_size=8 * samples, ntp_64=1 << 60,
        media_time_for_prft=0, keys=Keys.FIRST, ctts=[0] * samples if shifted else None,
        facts_type=bytes(range(16)), facts_payload=bytes(64),
    ) + (b"\0\0\0\4\x41abc" * samples)  # fmt: skip


@target("h264-sps", SPS_264, b"\0\0\1" + SPS_264 + b"\0\0")
def h264_sps(data: bytes) -> object:
    return h264.video_format(data, PPS_264)


@target("h264-pps", PPS_264)
def h264_pps(data: bytes) -> object:
    return h264.video_format(SPS_264, [data, PPS_264])


@target("h264-record", b"\x01\x42\xc0\x1e\xff\xe1\0\x1d" + SPS_264 + b"\1\0\4" + PPS_264)
def h264_record(data: bytes) -> object:
    sps, pps = h264.parameter_sets_of_record(data)
    return h264.video_format(sps, pps)


@target("h265-sets", VPS_265 + b"\xff\0" + SPS_265 + b"\xff\0" + PPS_265)
def h265_sets(data: bytes) -> object:
    parts = [*data.split(b"\xff\0"), b"", b""]
    return h265.video_format(parts[0] or VPS_265, parts[1] or SPS_265, parts[2] or PPS_265)


@target("h265-sps", SPS_265)
def h265_sps(data: bytes) -> object:
    return h265.video_format(VPS_265, data, PPS_265)


def _record_265() -> bytes:
    entry = _format_265().sample_entry
    (whole,) = boxes_in(entry)
    hvcc = child_after(entry, whole, 78, b"hvcC")
    return entry[hvcc.payload : hvcc.end]


@target("h265-record", _record_265())
def h265_record(data: bytes) -> object:
    vps, sps, pps = h265.parameter_sets_of_record(data)
    return h265.video_format(vps, sps, pps)


@target("nal", b"\0\0\0\1" + SPS_264 + b"\0\0\1" + PPS_264)
def nal_units(data: bytes) -> object:
    for unit in split_annex_b(data):
        plain = unescape(unit)
        assert len(plain) <= len(unit)
        assert escaped_length(unit, len(plain)) <= len(unit)
    return None


@target("aac-config", bytes.fromhex("1408"), bytes.fromhex("2b8a0800"), b"config=1408")
def aac_config(data: bytes) -> object:
    for work in (
        lambda: aac.audio_format(data),
        lambda: aac.audio_format(data.decode("latin-1")),
        lambda: aac.config_of_esds(data),
        lambda: g711.format_of_entry(data),
    ):
        try:
            work()
        except KhuphoError as error:
            str(error)
    return None


@target(
    "adts", bytes.fromhex("fff15080017ffc") + b"abcd", bytes.fromhex("fff9608002bffc") + bytes(14)
)
def adts(data: bytes) -> object:
    if aac.has_adts(data):
        aac.parse_config(aac.config_of_adts(data))
    return aac.strip_adts(data)


_INITS = (
    init_segment(_format_264()),
    init_segment(_format_265(), edit_media_time_90k=7200),
    init_segment(aac.audio_format("1408")),
    init_segment(g711.audio_format(Codec.PCMA)),
)


@target("init", *_INITS)
def init(data: bytes) -> object:
    """What is read can be written again."""
    return parse_init(data)


@target("fragment", a_fragment(), a_fragment(2, True), a_fragment(1)[:-4])
def fragment(data: bytes) -> object:
    """Through the file or from the buffer, the same header or an error comes out."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    found = []
    for work in (
        lambda: parse_fragment(data, 0, len(data)),
        lambda: read_fragment(read_at, 0, len(data)),
    ):
        try:
            found.append(work())
        except KhuphoError as error:
            found.append(error.what)
    assert type(found[0]) is type(found[1]), found
    if not isinstance(found[0], str):
        assert found[0] == found[1]
        assert found[0].size_bytes <= len(data)
        assert len(found[0].durations) == len(found[0].sizes) == len(found[0].is_key)
    return found


@target("boxes", _INITS[0] + a_fragment(), b"\0\0\0\1mdat\0\0\0\0\0\0\0\x10", b"\0\0\0\0free")
def boxes(data: bytes) -> object:
    """In a buffer or a file, the same boxes come out, and they never overlap or go back."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    found = [[], []]
    for into, walk in zip(
        found, (boxes_in(data), boxes_of_file(read_at, 0, len(data))), strict=True
    ):
        end = 0
        try:
            for one in walk:
                assert one.offset == end and one.size >= 8
                end = one.end
                into.append(one)
        except KhuphoError as error:
            into.append(error.what)
    assert found[0] == found[1]
    return found


_MFRA = mfra_box([(0, 1000), (90_000, 200_000)])


@target("mfra", _MFRA)
def mfra(data: bytes) -> object:
    mfra_size(data[-16:])
    return parse_mfra(data)

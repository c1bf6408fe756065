from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media import aac, g711
from khupho.media.boxes import BoxError, box_at
from khupho.media.formats import AudioFormat, Codec
from khupho.media.init_segment import format_of_entry
from khupho.media.nal import ParameterSetError


# Configurations of cameras in github.com/scottlamb/retina's captures, with the rtpmap beside them.
@pytest.mark.parametrize(
    ("config", "clock_hz", "channels"),
    [
        ("1188;", 48000, 1),
        ("1408", 16000, 1),
        ("119056E500", 48000, 2),
        ('"1490" ;', 12000, 2),
        ("2b920800", 44100, 2),  # explicit SBR: the core at 22,050 Hz
        ("17800bb808", 6000, 1),  # a rate written out
    ],
)
def test_config_of_the_sdp(config: str, clock_hz: int, channels: int):
    made = aac.audio_format(config)
    assert (made.codec, made.clock_hz, made.channels) == (Codec.AAC, clock_hz, channels)
    assert made.rfc6381 == ("mp4a.40.5" if config.startswith("2b") else "mp4a.40.2")
    assert aac.config_of_fmtp(config) in made.sample_entry


@pytest.mark.parametrize(
    "config", ["", "11", "zz88", "1", "118", "1180", "17f0", "0188", "1788", "11" * 65, ";"]
)
def test_bad_config(config: str):
    with pytest.raises(aac.AudioConfigError):
        aac.audio_format(config)


def adts(payload: bytes, *, crc: bool = False, blocks: int = 1) -> bytes:
    """ISO/IEC 14496-3 section 1.A.2: AAC-LC, 48 kHz, mono."""
    size = len(payload) + (9 if crc else 7)
    head = 0xFFF << 44 | (not crc) << 40 | 1 << 38 | 3 << 34 | 1 << 30 | size << 13
    head = head | 0x7FF << 2 | blocks - 1
    return head.to_bytes(7, "big") + (b"CC" if crc else b"") + payload


def test_adts_is_stripped():
    run = adts(b"first") + adts(b"second!", crc=True)
    assert [bytes(frame) for frame in aac.strip_adts(run)] == [b"first", b"second!"]
    assert aac.has_adts(run)
    assert aac.config_of_adts(run).hex() == "1188"
    assert not aac.has_adts(run[:10])
    for bad in (run + b"x", run[:-1], b"\xff\xf1", adts(b"two blocks", blocks=2)):
        with pytest.raises(aac.AudioConfigError):
            aac.strip_adts(bad)


def test_adts_made_by_ffmpeg(clip, tmp_path):
    source = clip("aac")
    path = tmp_path / "a.aac"
    command = ["ffmpeg", "-v", "error", "-i", str(source.path), "-c", "copy", str(path)]
    subprocess.run(command, check=True, timeout=30)
    frames = [bytes(frame) for frame in aac.strip_adts(path.read_bytes())]
    assert frames == [packet.data for packet in source.packets]
    assert aac.config_of_adts(path.read_bytes()) == source.extradata[:2]


@settings(max_examples=200)
@given(st.binary(max_size=40))
def test_adts_of_anything(data: bytes):
    for prefix in (b"", b"\xff\xf1\x4c\x40"):
        try:
            frames = aac.strip_adts(prefix + data)
        except aac.AudioConfigError:
            continue
        assert sum(map(len, frames)) <= len(prefix + data)


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=12))
def test_any_config_gives_a_format_or_our_error(config: bytes):
    try:
        made = aac.audio_format(config)
    except aac.AudioConfigError:
        return
    assert read_back(made) == made
    assert 0 < made.clock_hz <= 192_000 and 0 < made.channels <= 8


def read_back(made: AudioFormat) -> AudioFormat:
    entry = made.sample_entry
    return format_of_entry(entry, box_at(entry, 0, len(entry)))


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_g711(codec: Codec):
    made = g711.audio_format(codec)
    assert made.sample_entry[4:8] == (b"ulaw" if codec is Codec.PCMU else b"alaw")
    assert (made.clock_hz, made.channels) == (8000, 1)
    assert read_back(made) == made
    assert read_back(g711.audio_format(codec, 16000, 2)).clock_hz == 16000


def test_g711_refusals():
    for codec, rate, channels in ((Codec.AAC, 8000, 1), (Codec.PCMU, 0, 1), (Codec.PCMU, 8000, 9)):
        with pytest.raises(ParameterSetError):
            g711.audio_format(codec, rate, channels)


@settings(max_examples=200)
@given(st.integers(8, 72), st.binary(max_size=3), st.sampled_from([0, 1, 2]))
def test_broken_audio_entries(at: int, change: bytes, which: int):
    original = (
        aac.audio_format("1188"),
        g711.audio_format(Codec.PCMU),
        g711.audio_format(Codec.PCMA),
    )[which].sample_entry
    entry = original[:at] + change + original[at + len(change) :]
    try:
        read = format_of_entry(entry, box_at(entry, 0, len(entry)))
    except BoxError:
        return
    assert read.sample_entry == entry[: int.from_bytes(entry[:4], "big")]

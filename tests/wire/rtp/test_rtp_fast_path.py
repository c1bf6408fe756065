"""The fast path gives what the slow path gives, whatever comes and however it is cut."""

from __future__ import annotations

import random
import shutil
import sys
import sysconfig
from dataclasses import replace
from itertools import product
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_by_hand import (
    FRAME_90K,
    OTHER_PPS,
    PPS,
    PPS5,
    QUICK_WAYS,
    SPS,
    SPS5,
    VPS5,
    NumberedPackets,
    Reading,
    Sender,
    fragments,
    frame,
    mp4,
    new_reader,
    read,
    slice5_nal,
    slice_nal,
    video_spec,
)
from rtp_naive import access_units

from khupho.media.formats import Codec
from khupho.wire.rtp import quick_path
from khupho.wire.rtp.quick_path import COMPILED, Maker, QuickPath
from khupho.wire.rtp.track_spec import TrackSpec

CLIPS = ["h264", "h264-b", "h264-slices", "h265", "h265-b"]


def spec_of(codec: Codec) -> TrackSpec:
    return TrackSpec("video", codec, frozenset((96,)), 90_000)


@pytest.mark.quirk(42)
@pytest.mark.parametrize("name", CLIPS)
def test_real_video_comes_out_to_the_byte(packets_of: NumberedPackets, name: str) -> None:
    track, frames = packets_of(name)
    clip = track.clip
    expected = [b"".join(pack(">I", len(nal)) + nal for nal in unit.nals) for unit in clip.units]
    assert [
        data for _time, data in access_units([f[4:] for f in frames], clip.format.codec)
    ] == expected
    random_cuts = [random.Random(1).randrange(1, 40_000) for _ in range(2000)]
    for cuts, maker in product(([], [125_000] * 40, [1400] * 3000, random_cuts), QUICK_WAYS):
        reading = read(
            b"".join(frames), spec_of(clip.format.codec), cuts=cuts, probes=48, maker=maker
        )
        assert reading.units == expected
        assert [sample.is_key for sample in reading.samples] == [unit.is_key for unit in clip.units]
        assert [pts - reading.pts[0] for pts in reading.pts] == [
            unit.pts_90k - clip.units[0].pts_90k for unit in clip.units
        ]
        assert (sorted(reading.pts) == reading.pts) == (not name.endswith("-b"))
        assert set(reading.lost) == {0}
        assert reading.samples[0].format == clip.format
        assert {sample.format for sample in reading.samples[1:]} == {None}
        assert reading.packets == len(frames)


class Counting:
    """A quick path that counts the bytes it takes."""

    def __init__(self, path: QuickPath) -> None:
        self.path = path
        self.taken = 0

    @property
    def puts_off(self) -> bool:
        return self.path.puts_off

    def take(self, scratch: memoryview, position: int, end: int) -> int:
        following = self.path.take(scratch, position, end)
        self.taken += following - position
        return following


@pytest.mark.parametrize("maker", QUICK_WAYS)
@pytest.mark.parametrize("name", CLIPS)
def test_nearly_all_packets_go_the_fast_way(
    packets_of: NumberedPackets, name: str, maker: Maker
) -> None:
    track, frames = packets_of(name, sequence=1)
    counting: list[Counting] = []

    def make(*args: object) -> Counting:
        counting.append(Counting(maker(*args)))
        return counting[0]

    data = b"".join(frames)
    read(data, spec_of(track.clip.format.codec), cuts=[100_000] * 60, maker=make)
    assert counting[0].taken / len(data) > (0.97 if maker is COMPILED else 0.85)


def test_the_packet_loop_is_compiled_where_a_compiler_is() -> None:
    """And from what stands in the source now."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which("cc") is None or not header.exists():
        assert COMPILED is None
        return
    assert COMPILED is not None, "make install"
    source = Path(quick_path.__file__).with_name("packet_loop.py")
    made = Path(sys.modules["khupho.wire.rtp.packet_loop"].__file__ or "")
    assert made.stat().st_mtime >= source.stat().st_mtime, "make install"


@pytest.mark.parametrize("name", ["h264", "h265-b", "h264-slices"])
@pytest.mark.parametrize("seed", range(6))
def test_a_spoiled_stream_is_the_same_either_way(
    packets_of: NumberedPackets, name: str, seed: int
) -> None:
    track, frames = packets_of(name)
    chance = random.Random(seed)
    spoiled = []
    for piece in frames:
        kind = chance.random()
        if kind < 0.004:
            continue
        spoiled.append(piece)
        if kind < 0.008:
            spoiled.append(piece)
        elif kind < 0.012:
            spoiled[-1] = piece[: chance.randrange(len(piece))]
        elif kind < 0.016:
            spoiled.append(chance.randbytes(chance.randrange(40)))
        elif kind < 0.020:
            at = chance.randrange(4, min(len(piece), 24))
            spoiled[-1] = piece[:at] + chance.randbytes(1) + piece[at + 1 :]
    compare(b"".join(spoiled), spec_of(track.clip.format.codec), chance)


def compare(data: bytes, spec: TrackSpec, chance: random.Random, probes: int = 0) -> Reading:
    slow = read(data, spec, fast=False, probes=probes)
    most = max(2, min(50_000, len(data) // 3))
    all_cuts = (
        [],
        [chance.randrange(1, most) for _ in range(200)],
        [chance.randrange(1, 90)] * 99,
    )
    for cuts, maker in product(all_cuts, QUICK_WAYS):
        fast = read(data, spec, cuts=cuts, probes=probes, maker=maker)
        assert fast.samples == slow.samples
        assert fast.units == slow.units
        assert (fast.packets, fast.control, fast.rtsp) == (slow.packets, slow.control, slow.rtsp)
    return slow


CHANGES = st.tuples(
    st.sampled_from(
        ["drop", "twice", "swap", "marker", "time", "source", "type", "byte", "cut", "garbage",
         "padding", "sets", "number", "report"]
    ),
    st.integers(0, 10_000),
    st.integers(0, 255),
)  # fmt: skip


@given(
    codec=st.sampled_from([Codec.H264, Codec.H265]),
    sizes=st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=3), min_size=2, max_size=14),
    keys=st.sets(st.integers(0, 13), max_size=3),
    fragment_bytes=st.sampled_from([9, 20, 30]),
    changes=st.lists(CHANGES, max_size=5),
    sequence=st.sampled_from([0, 65_500, 30_000]),
    probes=st.sampled_from([0, 0, 4]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=250, deadline=None)
def test_anything_at_all_is_the_same_either_way(
    codec: Codec,
    sizes: list[list[int]],
    keys: set[int],
    fragment_bytes: int,
    changes: list[tuple[str, int, int]],
    sequence: int,
    probes: int,
    seed: int,
) -> None:
    sender = Sender(sequence=sequence)
    for number, slices in enumerate(sizes):
        is_key = number in keys or number == 0
        payloads: list[bytes] = []
        for at, size in enumerate(slices):
            if codec is Codec.H264:
                nal = slice_nal(size, key=is_key, first=at == 0)
            else:
                nal = slice5_nal(size, kind=19 if is_key else 1, first=at == 0)
            payloads += (
                [nal] if len(nal) <= fragment_bytes else fragments(nal, fragment_bytes, codec)
            )
        if is_key:
            payloads = (
                [SPS, PPS, *payloads] if codec is Codec.H264 else [VPS5, SPS5, PPS5, *payloads]
            )
        sender.picture(*payloads)
    pieces = [frame(packet) for packet in sender.packets]
    for change in changes:
        pieces = changed(pieces, *change)
    compare(b"".join(pieces), video_spec(codec), random.Random(seed), probes)


def changed(pieces: list[bytes], kind: str, where: int, value: int) -> list[bytes]:
    """One fault in a stream of frames."""
    at = where % len(pieces)
    piece, out = pieces[at], list(pieces)
    if kind == "drop":
        del out[at]
        return out or [b""]
    if kind in ("twice", "garbage", "report", "sets"):
        inserted = {
            "twice": piece,
            "garbage": bytes((value,)) * (value % 7),
            "report": frame(b"\x80\xc8\0\1" + bytes(8), 1),
            "sets": frame(b"\x80\x60" + piece[6:16] + (OTHER_PPS if value % 2 else PPS)),
        }[kind]
        return [*out[:at], inserted, *out[at:]]
    if kind == "swap":
        out[at], out[at - 1] = out[at - 1], out[at]
    elif kind == "cut":
        out[at] = piece[: value % max(1, len(piece))]
    elif kind == "padding":
        out[at] = piece[:4] + bytes((0xA0,)) + piece[5:-1] + bytes((value % 9,))
    elif len(piece) > 20:
        position, length = {
            "marker": (5, 1), "number": (7, 1), "time": (8 + value % 4, 1), "source": (15, 1),
            "type": (5, 1), "byte": (4 + value % (len(piece) - 4), 1),
        }[kind]  # fmt: skip
        new = piece[position] ^ (0x80 if kind == "marker" else 1 + value % 100)
        out[at] = piece[:position] + bytes((new,)) + piece[position + length :]
    return out


@pytest.mark.parametrize("maker", QUICK_WAYS)
def test_lengths_are_written_over_nothing_else(maker: Maker) -> None:
    """The scratch buffer behind what was received is never touched."""
    sender = Sender()
    for n in range(30):
        sender.picture(*fragments(slice_nal(300 + n, key=n == 0), 40))
    data = sender.bytes()
    reader = new_reader(maker=maker)
    memory = bytearray(b"\xee" * (len(data) + 100))
    scratch = memoryview(memory)
    scratch[: len(data)] = data
    reader.feed(scratch, len(data))
    assert memory[len(data) :] == b"\xee" * 100


def test_decoding_order_numbers_are_left_to_the_slow_path() -> None:
    """They stand where the quick ways expect the picture."""
    sender = Sender()
    for n in range(12):
        nal = slice5_nal(30 + n, kind=19 if n == 0 else 1)
        if n == 0:
            sender.next().send([p[:2] + b"\0\0" + p[2:] for p in (VPS5, SPS5, PPS5)], marker=False)
            sender.timestamp -= FRAME_90K
        sender.picture(nal[:2] + b"\x80\7" + nal[2:])
    spec = replace(video_spec(Codec.H265), has_decoding_order_numbers=True)
    assert read(sender.bytes(), spec).units == [
        mp4(slice5_nal(30 + n, kind=19 if n == 0 else 1)) for n in range(11 + 1)
    ]


@pytest.mark.parametrize("maker", QUICK_WAYS)
@pytest.mark.parametrize("begin", [-1, 5])
def test_positions_outside_of_the_buffer_are_refused(maker: Maker, begin: int) -> None:
    """No caller asks for that; compiled code must not depend on it."""
    sender = Sender()
    for n in range(8):
        sender.picture(*fragments(slice_nal(100, key=n == 0), 40))
    data = sender.bytes()
    reader = new_reader(maker=maker)
    scratch = memoryview(bytearray(data))
    reader.feed(scratch, len(data) - 60)
    path = reader._quick
    assert path is not None
    assert path.take(scratch[: len(data) - 4], 0, len(data)) == 0
    assert path.take(memoryview(data), 0, len(data)) == 0
    if maker is COMPILED:
        assert path.take(scratch, begin, len(data) + begin + 1) == begin

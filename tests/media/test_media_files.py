"""Whole files put together by the media room and read by programs that nobody here wrote."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.media import aac, g711, h264, h265
from khupho.media.boxes import BoxError
from khupho.media.fmp4 import (
    Keys,
    RandomAccess,
    fragment_header,
    init_segment,
    mfra_box,
    parse_init,
    read_fragment,
)
from khupho.media.formats import Codec, TrackFormat
from khupho.media.progressive import ProgressiveTrack, SampleRun, progressive_header
from khupho.media.reorder import DecodeTimes, observed_reorder

FRAME_90K = 9000
CLIPS = ["h264-b", "h264-baseline", "h265-b", "aac", "pcmu"]


def format_of(name: str, clip) -> TrackFormat:
    if name.startswith("h264"):
        return h264.video_format(*h264.parameter_sets_of_record(clip.extradata))
    if name.startswith("h265"):
        return h265.video_format(*h265.parameter_sets_of_record(clip.extradata))
    return aac.audio_format(clip.extradata) if name == "aac" else g711.audio_format(Codec.PCMU)


@dataclasses.dataclass
class Track:
    """A clip's packets with decode times of our own making."""

    format: TrackFormat
    lead: int
    pts: list[int]
    dts: list[int]
    durations: list[int]
    packets: list

    @property
    def ctts(self) -> list[int] | None:
        ctts = [p - d for p, d in zip(self.pts, self.dts, strict=True)]
        return ctts if any(ctts) else None


def track_of(name: str, clip) -> Track:
    pts = [p.pts - clip.packets[0].pts for p in clip.packets]
    times = DecodeTimes(observed_reorder(pts), FRAME_90K)
    dts = [times.push(p) + times.lead_90k for p in pts]
    durations = [b - a for a, b in pairwise(dts)] + [clip.packets[-1].duration]
    shifted = [p + times.lead_90k for p in pts]
    return Track(format_of(name, clip), times.lead_90k, shifted, dts, durations, clip.packets)


def fragmented(track: Track, per_fragment: int = 5) -> bytes:
    out = bytearray(init_segment(track.format, edit_media_time_90k=track.lead))
    entries = []
    for first in range(0, len(track.pts), per_fragment):
        part = slice(first, first + per_fragment)
        packets = track.packets[part]
        data = b"".join(p.data for p in packets)
        flags = [p.is_key for p in packets]
        if flags[0]:
            entries.append(RandomAccess(track.pts[first], len(out) + 32))
        out += fragment_header(
            first // per_fragment + 1, track.dts[first], track.durations[part],
            [len(p.data) for p in packets], data_size=len(data), ntp_64=0xE0000000 << 32,
            media_time_for_prft=track.dts[first], ctts=track.ctts and track.ctts[part],
            keys=Keys.ALL if all(flags) else Keys.FIRST if flags[0] else Keys.NONE,
            key_flags=flags if any(flags[1:]) and not all(flags) else None,
            facts_type=b"0123456789abcdef", facts_payload=bytes(60),
        ) + data  # fmt: skip
    return bytes(out + mfra_box(entries))


@pytest.mark.parametrize("name", CLIPS)
def test_fragmented_file_plays(name: str, clip, complaints, packets_of, tmp_path: Path):
    source = clip(name)
    track = track_of(name, source)
    path = tmp_path / "made.mp4"
    path.write_bytes(fragmented(track))
    assert complaints(path) == ""
    made = packets_of(path)
    assert (made.width, made.height) == (source.width, source.height)
    assert [p.data for p in made.packets] == [p.data for p in source.packets]
    assert [p.is_key for p in made.packets] == [p.is_key for p in source.packets]
    # The edit list takes the lead away: the first picture is shown at 0. Audio priming in ffmpeg's
    # own file shifts its times, so only differences are compared.
    assert made.packets[0].pts == 0
    assert [p.pts for p in made.packets] == pytest.approx(
        [p.pts - source.packets[0].pts for p in source.packets], abs=12
    )
    assert [p.dts for p in made.packets] == [d - track.lead for d in track.dts]


@pytest.mark.parametrize("name", CLIPS)
def test_decode_times_are_those_of_ffmpeg(name: str, clip):
    source = clip(name)
    track = track_of(name, source)
    theirs = [p.dts - source.packets[0].dts for p in source.packets]
    assert track.dts == pytest.approx(theirs, abs=12)


@pytest.mark.parametrize("name", CLIPS)
def test_init_segment_round_trip(name: str, clip):
    made = format_of(name, clip(name))
    data = init_segment(
        made, timescale=48_000, edit_media_time_90k=77, creation_utc_s=1_800_000_000
    )
    read = parse_init(data + b"\0\0\0\x08free")
    assert read.format == made
    assert (read.timescale, read.edit_media_time_90k, read.creation_utc_s, read.size_bytes) == (
        48_000, 77, 1_800_000_000, len(data),
    )  # fmt: skip
    assert parse_init(init_segment(made)).edit_media_time_90k == 0
    for size in range(len(data)):
        with pytest.raises(BoxError) as caught:
            parse_init(data[:size])
        assert caught.value.truncated, size


INIT = init_segment(
    h264.video_format(bytes.fromhex("67640033ace802800b59"), bytes.fromhex("68ee3c30")),
    edit_media_time_90k=5,
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(INIT) - 1), st.integers(0, 255)), max_size=4))
def test_spoiled_init_segment(changes: list[tuple[int, int]]):
    data = bytearray(INIT)
    for at, value in changes:
        data[at] = value
    try:
        read = parse_init(bytes(data))
    except BoxError:
        return
    assert read.format.sample_entry
    assert read.size_bytes <= len(data)


def runs_of(track: Track, per_run: int = 7, format_index: int = 0, number: int = 0):
    for first in range(0, len(track.pts), per_run):
        part = slice(first, first + per_run)
        packets = track.packets[part]
        yield (
            SampleRun(
                track.durations[part], [len(p.data) for p in packets],
                [p.is_key for p in packets], track.ctts and track.ctts[part], number, format_index,
            ),
            b"".join(p.data for p in packets),
        )  # fmt: skip


@pytest.mark.parametrize("name", CLIPS)
def test_progressive_file_plays(name: str, clip, complaints, packets_of, tmp_path: Path):
    source = clip(name)
    track = track_of(name, source)
    pairs = list(runs_of(track))
    made = progressive_header(
        [ProgressiveTrack((track.format,), edit_media_time=track.lead)], [run for run, _ in pairs]
    )
    path = tmp_path / "made.mp4"
    path.write_bytes(made.header + b"".join(data for _, data in pairs))
    assert path.stat().st_size == made.size_bytes
    assert complaints(path) == ""
    read = packets_of(path)
    assert [p.data for p in read.packets] == [p.data for p in source.packets]
    assert [p.is_key for p in read.packets] == [p.is_key for p in source.packets]
    assert [p.pts for p in read.packets] == [p - track.lead for p in track.pts]
    assert [p.dts for p in read.packets] == [d - track.lead for d in track.dts]


def test_film_of_two_formats_and_a_gap_with_sound(clip, complaints, tmp_path: Path):
    """Two sample descriptions, a long last duration, audio that begins later."""
    first, second = (
        track_of("h264-b", clip("h264-b")),
        track_of("h264-baseline", clip("h264-baseline")),
    )
    sound = track_of("aac", clip("aac"))
    one, two = list(runs_of(first, 8)), list(runs_of(second, 8, format_index=1))
    gap = 5 * 90_000
    last = one[-1][0]
    # The second run of segments has no lead; its decode times begin where presentation does.
    stretched = [*last.durations[:-1], last.durations[-1] + gap + first.lead]
    one[-1] = dataclasses.replace(last, durations=stretched), one[-1][1]
    pairs = [*one, *two, *runs_of(sound, 40, number=1)]
    made = progressive_header(
        [
            ProgressiveTrack((first.format, second.format), edit_media_time=first.lead),
            ProgressiveTrack((sound.format,), start_90k=90_000),
        ],
        [run for run, _ in pairs],
        creation_utc_s=1_800_000_000,
    )
    path = tmp_path / "made.mp4"
    path.write_bytes(made.header + b"".join(data for _, data in pairs))
    # ffmpeg's decoder follows the change of description; its parser (which has no name) does not,
    # and reads the second description's slices by the first one's parameter sets.
    assert [line for line in complaints(path).splitlines() if not line.startswith("[NULL @")] == []
    with av.open(str(path)) as film:
        frames = [(f.pts, f.time_base, f.width, f.height) for f in film.decode(video=0)]
    pictures = [int(pts * base * 90_000) for pts, base, _, _ in frames]
    count = len(first.pts)
    assert {frame[2:] for frame in frames[:count]} == {(384, 288)}
    assert {frame[2:] for frame in frames[count:]} == {(256, 192)}
    span = sum(first.durations)
    assert pictures == sorted(p - first.lead for p in first.pts) + [
        p + span + gap for p in second.pts
    ]
    with av.open(str(path)) as film:
        audio = next(p for p in film.demux(audio=0))
        assert audio.pts * audio.time_base == 1
        assert film.metadata["creation_time"].startswith("2027-01-15T08:00:00")


@pytest.mark.parametrize("trim", [0, 2 * FRAME_90K])
def test_film_that_begins_after_its_key_frame(clip, tmp_path: Path, trim: int):
    track = track_of("h264-b", clip("h264-b"))
    pairs = list(runs_of(track))
    made = progressive_header(
        [ProgressiveTrack((track.format,), edit_media_time=track.lead + trim)],
        [run for run, _ in pairs],
    )
    path = tmp_path / "made.mp4"
    path.write_bytes(made.header + b"".join(data for _, data in pairs))
    with av.open(str(path)) as film:
        assert film.duration == (sum(track.durations) - trim) * 100 // 9
        pictures = [int(f.pts * f.time_base * 90_000) for f in film.decode(video=0)]
    assert pictures == [p - track.lead - trim for p in sorted(track.pts)][trim // FRAME_90K :]


def test_wide_offsets_and_sizes():
    """Past 4 GiB the payload gets a 64-bit size, and chunk offsets are wide anyway."""
    format = parse_init(INIT).format
    run = SampleRun([3600], [3_000_000_000], [True])
    made = progressive_header([ProgressiveTrack((format,))], [run, run])
    assert made.data_size == 6_000_000_000
    assert made.header[-16:-8] == b"\0\0\0\1mdat"
    assert int.from_bytes(made.header[-8:], "big") == 6_000_000_016
    at = made.header.index(b"co64")
    rows = made.header[at + 12 : at + 28]
    assert [int.from_bytes(rows[i : i + 8], "big") for i in (0, 8)] == [
        len(made.header), len(made.header) + 3_000_000_000,
    ]  # fmt: skip


def test_progressive_refusals():
    format = parse_init(INIT).format
    good = SampleRun([3600], [5], [True])
    for tracks, runs in (
        ([], []),
        ([ProgressiveTrack((format,))], []),
        ([ProgressiveTrack((format,))] * 2, [good]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, track=1)]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, format=1)]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, sizes=[])]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, ctts=[0, 0])]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, durations=[1 << 32])]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, durations=[-1])]),
        ([ProgressiveTrack((format,))], [dataclasses.replace(good, ctts=[1 << 31])]),
    ):
        with pytest.raises(BoxError):
            progressive_header(tracks, runs)


def test_fragments_of_a_file_are_found_again(clip):
    track = track_of("h264-b", clip("h264-b"))
    data = fragmented(track)
    init = parse_init(data)
    assert init.edit_media_time_90k == track.lead
    offset, sizes, dts, ctts, keys = init.size_bytes, [], [], [], []
    while data[offset + 4 : offset + 8] == b"prft":
        header = read_fragment(lambda o, s: data[o : o + s], offset, len(data))
        assert sum(header.sizes) == header.data_size
        assert header.base_decode_time_90k == track.dts[len(sizes)]
        sizes += header.sizes
        keys += header.is_key
        ctts += header.ctts or ()
        dts.append(header.end_decode_time_90k)
        offset += header.size_bytes
    assert sizes == [len(p.data) for p in track.packets]
    assert keys == [p.is_key for p in track.packets]
    assert ctts == track.ctts
    assert data[offset + 4 : offset + 8] == b"mfra"

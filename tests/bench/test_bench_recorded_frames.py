"""The look at recorded files finds every missing frame, in MP4 and in raw interleaved RTP."""

import subprocess

import av
import pytest
from recorded_frames import in_interleaved, in_mp4, video_rate

from khupho.city.clip import load_clip
from khupho.city.packets import OPEN_FIELDS, PacketTrack


def test_rate_of_a_video(bench_video):
    frames_per_s, bytes_per_s = video_rate(bench_video)
    assert frames_per_s == 25
    assert bytes_per_s == pytest.approx(bench_video.stat().st_size / 2, rel=0.1)


def without_frames(source, target, dropped):
    """A copy in which some packets are missing."""
    with av.open(str(source)) as given, av.open(str(target), "w", format="mp4") as made:
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        for n, packet in enumerate(given.demux(stream)):
            if packet.dts is not None and n not in dropped:
                packet.stream = copy
                made.mux(packet)
    return target


def test_whole_mp4(bench_video):
    found = in_mp4([bench_video], 25, is_one_line=False)
    assert (found.frames, found.holes) == (50, 0)
    assert found.seconds(25) == 2


@pytest.mark.parametrize(("dropped", "holes"), [({7}, 1), ({7, 8, 9}, 1), ({7, 20}, 2)])
def test_holes_in_mp4(bench_video, tmp_path, dropped, holes):
    path = without_frames(bench_video, tmp_path / "holes.mp4", dropped)
    found = in_mp4([path], 25, is_one_line=False)
    assert (found.frames, found.holes) == (50 - len(dropped), holes)


def test_hole_between_segments_of_one_line(bench_video, tmp_path):
    def part(name, begin, end):
        return without_frames(
            bench_video, tmp_path / name, {n for n in range(50) if not begin <= n < end}
        )

    first, second, late = part("a.mp4", 0, 25), part("b.mp4", 25, 50), part("c.mp4", 30, 50)
    for path in (second, late):
        times = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "packet=dts_time", "-of", "csv=p=0", path],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        assert float(times[0].strip(",")) > 0.9, "the copy keeps its times"
    assert in_mp4([first, second], 25, is_one_line=True).holes == 0
    assert in_mp4([first, late], 25, is_one_line=True).holes == 1
    assert in_mp4([first, late], 25, is_one_line=False).holes == 0


@pytest.fixture
def interleaved(bench_video):
    """The clip as interleaved packets, numbered from 65,530 on."""
    track = PacketTrack(load_clip(bench_video))
    sequence = 65_530
    packets = []
    for unit in range(len(track)):
        for offset in track.patch_offsets[unit]:
            OPEN_FIELDS.pack_into(track.buffer, offset, sequence & 0xFFFF, track.pts_90k[unit], 7)
            sequence += 1
        packets += [bytes(track.view[begin:end]) for begin, end in track.packet_spans(unit)]
    return packets


def test_whole_interleaved(interleaved, tmp_path):
    report = b"$\x01\x00\x04abcd"
    path = tmp_path / "whole.rtp"
    path.write_bytes(b"".join(interleaved[:9]) + report + b"".join(interleaved[9:])[:-5])
    found = in_interleaved(path)
    assert found.holes == 0
    assert found.frames == 50


def test_holes_in_interleaved(interleaved, tmp_path):
    path = tmp_path / "holes.rtp"
    path.write_bytes(b"".join(interleaved[:20] + interleaved[21:30] + interleaved[33:]))
    assert in_interleaved(path).holes == 2


def test_garbage_in_interleaved_is_a_hole(interleaved, tmp_path):
    path = tmp_path / "garbage.rtp"
    path.write_bytes(b"".join(interleaved[:20]) + b"garbage" + b"".join(interleaved[20:]))
    assert in_interleaved(path).holes == 1

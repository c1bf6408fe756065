"""Segments as they lie on the disk, in programs that nobody here wrote: every picture, to the tick."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import pytest
from segments_by_hand import Recording, batch_of

from khupho.archive.events import CloseCause
from khupho.media import h264, h265
from khupho.media.formats import VideoFormat
from khupho.media.samples import Sample

ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"],
    "h264-b": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
             "-x265-params", "log-level=error:bframes=0:repeat-headers=0"],
    "h265-b": ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
               "-x265-params", "log-level=error:b-adapt=0:bframes=3:repeat-headers=0:open-gop=0"],
}  # fmt: skip


class Frame(NamedTuple):
    pts: int
    is_key: bool
    data: bytes


class Source(NamedTuple):
    format: VideoFormat
    frames: list[Frame]


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    command = [
        "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25", "-t", "6",
        "-pix_fmt", "yuv420p", "-g", "20", *ENCODERS[request.param], str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base * 90_000
        frames = [
            Frame(int(packet.pts * base), packet.is_keyframe, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]
        record = bytes(stream.codec_context.extradata)
    if request.param.startswith("h264"):
        track = h264.video_format(*h264.parameter_sets_of_record(record))
    else:
        track = h265.video_format(*h265.parameter_sets_of_record(record))
    return Source(track, frames)


def record(source: Source, root: Path, *, batch: int = 11) -> Recording:
    recording = Recording(root / "archive")
    writer = recording.writer()
    frames = source.frames
    for begin in range(0, len(frames), batch):
        part = frames[begin : begin + batch]
        samples = [
            Sample(f.pts, len(f.data), f.is_key, format=source.format if f is frames[0] else None)
            for f in part
        ]
        recording.clock.advance(len(part) * 40_000)
        following = frames[begin + batch].pts if begin + batch < len(frames) else None
        writer.write(batch_of(samples, [f.data for f in part], following), recording.arrival())
    writer.close(CloseCause.STOPPED, recording.arrival())
    return recording


def ffmpeg(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", *map(str, arguments)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stderr + (f"exit {done.returncode}" if done.returncode else "")


def test_ffmpeg_finds_every_picture_at_its_tick(source: Source, tmp_path: Path):
    recording = record(source, tmp_path)
    (opened,) = recording.opened
    path = recording.root / opened.segment.relative_path
    assert ffmpeg("-i", path, "-c", "copy", "-f", "null", "-") == ""
    assert ffmpeg("-err_detect", "explode", "-i", path, "-f", "null", "-") == ""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base.denominator == 90_000
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert [bytes(packet) for packet in packets] == [frame.data for frame in source.frames]
    assert [packet.is_keyframe for packet in packets] == [f.is_key for f in source.frames]
    first = source.frames[0].pts
    assert [packet.pts for packet in packets] == [frame.pts - first for frame in source.frames]
    dts = [packet.dts for packet in packets]
    assert all(before < after for before, after in pairwise(dts))
    counted = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
         "stream=nb_read_frames", "-of", "csv=p=0", str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert counted.stdout.strip() == str(len(source.frames))


def test_a_segment_that_was_cut_off_plays_as_far_as_it_goes(source: Source, tmp_path: Path):
    recording = record(source, tmp_path)
    (opened,) = recording.opened
    path = recording.root / opened.segment.relative_path
    end = recording.committed[6]
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(path.read_bytes()[: end.offset + end.size_bytes])
    assert ffmpeg("-i", torn, "-c", "copy", "-f", "null", "-") == ""
    with av.open(str(torn)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == sum(event.frames for event in recording.committed[:7])

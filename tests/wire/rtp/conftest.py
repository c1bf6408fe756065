"""Clips made by ffmpeg at test time, and the packets that a simulated camera makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from rtp_by_hand import NumberedPackets

from khupho.city.clip import load_clip
from khupho.city.packets import OPEN_FIELDS, PacketTrack

REAL_VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"],
    "h264-b": ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0"],
    "h264-slices": ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-slices", "4"],
    "h265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=0"],
    "h265-b": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=3"],
}  # fmt: skip


@pytest.fixture(scope="session")
def packets_of(tmp_path_factory: pytest.TempPathFactory) -> NumberedPackets:
    """`packets_of(name)`: a clip of five seconds, and its interleaved frames, numbered and timed."""
    directory = tmp_path_factory.mktemp("rtp-clips")
    tracks: dict[str, PacketTrack] = {}

    def make(name: str, *, sequence: int = 65_000) -> tuple[PacketTrack, list[bytes]]:
        if name not in tracks:
            path = directory / f"{name}.mp4"
            source = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=5"]
            if REAL_VIDEO.exists():
                source = ["-r", "25", "-i", str(REAL_VIDEO), "-vf", "scale=640:360", "-t", "5"]
            command = ["ffmpeg", "-v", "error", "-y", *source, "-pix_fmt", "yuv420p", "-g", "25"]
            command += [*ENCODERS[name], "-b:v", "2M", str(path)]
            subprocess.run(command, check=True, timeout=100)
            tracks[name] = PacketTrack(load_clip(path))
        track = tracks[name]
        frames = []
        for unit, offsets in enumerate(track.patch_offsets):
            for offset in offsets:
                timestamp = (track.pts_90k[unit] - 90_000) & 0xFFFFFFFF  # wraps in the first second
                OPEN_FIELDS.pack_into(track.buffer, offset, sequence & 0xFFFF, timestamp, 77)
                sequence += 1
            frames += [bytes(track.view[a:b]) for a, b in track.packet_spans(unit)]
        return track, frames

    return make

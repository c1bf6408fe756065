"""Segments written by hand from a clip that ffmpeg made, for tests of what reads them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av

from khupho.archive.events import CloseCause
from khupho.archive.segments.stored_segment import StoredFragment, StoredSegment
from khupho.media import h264
from khupho.media.fmp4 import Keys, fragment_header, init_segment, parse_fragment
from khupho.media.formats import TrackFormat

FRAME_US = 40_000
FRAME_90K = 3_600
GOP = 12


class Frame(NamedTuple):
    """In decoding order."""

    pts: int
    dts: int
    is_key: bool
    data: bytes


@dataclass
class Film:
    """A film whose every picture is another, 25 a second, with B-frames."""

    path: Path
    format: TrackFormat
    frames: list[Frame]
    pictures: list[str]
    """A hash of each decoded picture, in the order of presentation."""


def make_film(
    path: Path, *, size: str = "160x120", seconds: int = 8, b_frames: int = 2, refs: int = 1
) -> Film:
    """With three references or more, B-frames refer to B-frames."""
    command = [
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25",
        "-t", str(seconds), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast",
        "-bf", str(b_frames), "-b_strategy", "0", "-refs", str(refs), "-g", str(GOP), "-sc_threshold", "0",
        "-threads", "1", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        base = stream.time_base * 90_000
        packets = [packet for packet in container.demux(stream) if packet.size]
        first_dts = int(packets[0].dts * base)
        frames = [
            Frame(
                int(packet.pts * base) - first_dts,
                int(packet.dts * base) - first_dts,
                packet.is_keyframe,
                bytes(packet),
            )
            for packet in packets
        ]
        sps, pps = h264.parameter_sets_of_record(bytes(stream.codec_context.extradata or b""))
        return Film(path, h264.video_format(sps, pps), frames, pictures_of(path))


def pictures_of(path: Path) -> list[str]:
    """A hash of each picture that ffmpeg shows."""
    return [digest for _, _, digest in shown_by(path)]


def shown_by(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Beginning and length in seconds, and hash, of each picture that ffmpeg shows."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough",
               "-enc_time_base", "1:90000", "-f", "framemd5", "-"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    base = Fraction(1)
    shown = []
    for line in done.stdout.splitlines():
        if line.startswith("#tb 0:"):
            base = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            _, _, pts, duration, _, digest = (part.strip() for part in line.split(","))
            shown.append((int(pts) * base, int(duration) * base, digest))
    return shown


@dataclass
class HandMadeArchive:
    """Some segments in a directory; what `export` wants of an archive."""

    root: Path
    stored: dict[str, StoredSegment] = field(default_factory=dict)
    archive_id: str = "00112233445566778899aabbccddeeff"
    reads: int = 0

    def segments(self, camera: str, stream: str, start_utc_us: int, end_utc_us: int) -> list[str]:
        return sorted(self.stored)

    def read(self, relative_path: str) -> StoredSegment:
        self.reads += 1
        return self.stored[relative_path]

    def open(self, relative_path: str) -> int:
        return os.open(self.root / relative_path, os.O_RDONLY)

    def record(
        self,
        film: Film,
        first: int,
        stop: int,
        start_utc_us: int,
        *,
        cause: CloseCause | None = CloseCause.AGE,
        drop: Sequence[int] = (),
        ppm: int = 0,
        fragment_frames: int = 7,
    ) -> StoredSegment:
        """One segment of the film's frames `first` to `stop` (in decoding order, at key frames).

        `drop` are frames lost on the way (not key frames). `ppm` moves the anchor from fragment to
        fragment.
        """
        chosen = [frame for n, frame in enumerate(film.frames[first:stop], first) if n not in drop]
        base = chosen[0].dts
        edit = chosen[0].pts - base
        name = f"gate-main-{len(self.stored):03d}.mp4"
        init = init_segment(film.format, edit_media_time_90k=edit)
        data = bytearray(init)
        cuts = [0]
        for n, frame in enumerate(chosen):
            if n and (frame.is_key or n - cuts[-1] >= fragment_frames):
                cuts.append(n)
        cuts.append(len(chosen))
        end_dts = chosen[-1].dts + FRAME_90K
        fragments = []
        for sequence, (begin, end) in enumerate(pairwise(cuts), 1):
            part = chosen[begin:end]
            payload = b"".join(frame.data for frame in part)
            following = chosen[end].dts if end < len(chosen) else end_dts
            # A loss before a fragment is a jump of its decode time, not a long picture.
            lost = end < len(chosen) and following - part[-1].dts > FRAME_90K
            ends = [
                *(frame.dts for frame in part[1:]),
                part[-1].dts + FRAME_90K if lost else following,
            ]
            offset_us = (part[0].dts - base) * 100 // 9
            start_us = start_utc_us + offset_us + offset_us * ppm // 1_000_000
            header = fragment_header(
                sequence,
                part[0].dts - base,
                [later - frame.dts for frame, later in zip(part, ends, strict=True)],
                [len(frame.data) for frame in part],
                data_size=len(payload),
                ntp_64=0,
                media_time_for_prft=part[0].dts - base,
                keys=Keys.FIRST if part[0].is_key else Keys.NONE,
                ctts=[frame.pts - frame.dts for frame in part] if edit else None,
            )
            previous_end = fragments[-1].header.end_decode_time_90k if fragments else 0
            missing = (part[0].dts - base - previous_end) // FRAME_90K
            fragments.append(
                StoredFragment(
                    len(data),
                    parse_fragment(header + payload),
                    start_us,
                    missing,
                    False,
                    False,
                    sha256(payload).digest(),
                )
            )
            data += header + payload
        (self.root / name).write_bytes(data)
        length_us = (end_dts - base) * 100 // 9
        made = StoredSegment(
            name, "gate", "main", start_utc_us, start_utc_us + length_us + length_us * ppm // 1_000_000,
            film.format, 90_000, edit, len(init), cause, fragments,
        )  # fmt: skip
        self.stored[name] = made
        return made

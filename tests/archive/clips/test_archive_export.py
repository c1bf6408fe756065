"""Exported clips: to the picture, true in time, whole or not there."""

from __future__ import annotations

import errno
import json
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from footage_by_hand import FRAME_US, GOP, Film, HandMadeArchive, make_film, pictures_of, shown_by

from khupho.archive.clips.export import (
    ClipRequest,
    ExportCancelledError,
    ExportedClip,
    ExportError,
    export_clip,
)
from khupho.archive.events import CloseCause
from khupho.errors import Fault
from khupho.units import US_PER_S, format_utc, parse_utc

T0_US = parse_utc("2026-11-24T01:00:00Z")
MADE_US = parse_utc("2026-11-25T00:00:00Z")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def archive(tmp_path: Path) -> HandMadeArchive:
    root = tmp_path / "archive"
    root.mkdir()
    return HandMadeArchive(root)


def export(archive: HandMadeArchive, out: Path, start_us: int, end_us: int, **how) -> ExportedClip:
    request = ClipRequest("gate", "main", T0_US + start_us, T0_US + end_us, out, **how)
    return export_clip(archive, request, made_utc_us=MADE_US)


def at(frame: int) -> int:
    return frame * FRAME_US


def report_of(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    ("first", "stop"),
    [(0, 200), (0, 36), (24, 60), (30, 77), (31, 32), (11, 13), (12, 24), (155, 190), (199, 200)],
)
def test_it_begins_and_ends_at_the_asked_picture(
    film: Film, archive: HandMadeArchive, tmp_path: Path, first: int, stop: int
) -> None:
    archive.record(film, 0, 96, T0_US)
    archive.record(film, 96, 200, T0_US + at(96))
    made = export(archive, tmp_path / "clip.mp4", at(first), at(stop))
    (part,) = made.parts
    shown = shown_by(part.path)
    assert [digest for _, _, digest in shown] == film.pictures[first:stop]
    assert [begin for begin, _, _ in shown] == [Fraction(n, 25) for n in range(stop - first)]
    assert (part.start_utc_us, part.end_utc_us) == (T0_US + at(first), T0_US + at(stop))
    assert not made.gaps
    assert part.frames == stop - first
    report = report_of(part.path)
    assert report["start"] == format_utc(T0_US + at(first))
    assert report["asked"]["covered_ms"] == report["asked"]["ms"] == 40 * (stop - first)
    assert report["size_bytes"] == part.path.stat().st_size


@pytest.mark.parametrize("stop", range(37, 50))
def test_decode_times_advance_up_to_the_end(archive: HandMadeArchive, tmp_path: Path, stop: int):
    """References of the last pictures are decoded before the end, though they are shown after it."""
    film = make_film(tmp_path / "film.mp4", seconds=2, b_frames=3, refs=4)
    archive.record(film, 0, 50, T0_US)
    (part,) = export(archive, tmp_path / "clip.mp4", 0, at(stop)).parts
    assert pictures_of(part.path) == film.pictures[:stop]
    with av.open(str(part.path)) as container:
        times = [packet.dts for packet in container.demux(video=0) if packet.size]
    assert all(before < after for before, after in pairwise(times))


def test_a_time_between_pictures_begins_with_the_one_that_stands(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    archive.record(film, 0, 96, T0_US)
    made = export(archive, tmp_path / "clip.mp4", at(30) + 39_000, at(40) + 1)
    assert pictures_of(made.parts[0].path) == film.pictures[30:41]
    assert made.parts[0].start_utc_us == T0_US + at(30)


def test_the_anchors_own_drift_is_followed(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    # 20,000 ppm, far more than ever is, so that it shows: picture 100 lies 80 ms late.
    archive.record(film, 0, 192, T0_US, ppm=20_000)
    made = export(archive, tmp_path / "clip.mp4", at(84) * 102 // 100, at(120) * 102 // 100)
    assert pictures_of(made.parts[0].path)[0] == film.pictures[84]
    assert abs(made.parts[0].start_utc_us - T0_US - at(84) * 102 // 100) < 10


def test_without_b_frames(archive: HandMadeArchive, tmp_path: Path) -> None:
    plain = make_film(tmp_path / "plain.mp4", seconds=2, b_frames=0)
    archive.record(plain, 0, 50, T0_US)
    made = export(archive, tmp_path / "clip.mp4", at(5), at(33))
    assert pictures_of(made.parts[0].path) == plain.pictures[5:33]
    made = export(archive, tmp_path / "key.mp4", at(12), at(33))
    assert pictures_of(made.parts[0].path) == plain.pictures[12:33]


def test_gaps_make_a_file_for_each_run(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    archive.record(film, 0, 48, T0_US, cause=CloseCause.CONNECTION)
    archive.record(film, 96, 144, T0_US + at(96), cause=CloseCause.AGE)
    archive.record(film, 144, 192, T0_US + at(144), cause=None)
    made = export(archive, tmp_path / "clip.mp4", at(-25), at(250))
    assert [part.path.name for part in made.parts] == ["clip-1.mp4", "clip-2.mp4"]
    assert pictures_of(made.parts[0].path) == film.pictures[:48]
    assert pictures_of(made.parts[1].path) == film.pictures[96:192]
    spans = [
        ((gap.start_utc_us - T0_US) // FRAME_US, (gap.end_utc_us - T0_US) // FRAME_US)
        for gap in made.gaps
    ]
    assert spans == [(-25, 0), (48, 96), (192, 250)]
    assert "connection" in made.gaps[1].cause
    report = report_of(made.parts[1].path)
    assert (report["part"], report["parts"], len(report["gaps"])) == (2, 2, 3)
    assert report["asked"]["covered_ms"] == 40 * 144
    assert [one["path"] for one in report["segments"]] == list(archive.stored)[1:]


def test_joined_time_stays_true(film: Film, archive: HandMadeArchive, tmp_path: Path) -> None:
    archive.record(film, 0, 48, T0_US)
    # Not on the camera's grid: a new session has its own phase.
    archive.record(film, 96, 144, T0_US + at(96) + 13_000)
    made = export(archive, tmp_path / "clip.mp4", at(5), at(110) + 13_000, joined=True)
    (part,) = made.parts
    shown = shown_by(part.path)
    assert [digest for _, _, digest in shown] == film.pictures[5:48] + film.pictures[96:110]
    assert shown[42][0] == Fraction(42, 25)
    assert shown[43][0] == Fraction(91, 25) + Fraction(13, 1000)
    assert len(made.gaps) == 1


def test_lost_frames_keep_their_time(film: Film, archive: HandMadeArchive, tmp_path: Path) -> None:
    # Two whole groups of pictures are lost in the middle of a segment.
    archive.record(film, 0, 96, T0_US, drop=range(24, 48))
    made = export(archive, tmp_path / "clip.mp4", at(10), at(60))
    shown = shown_by(made.parts[0].path)
    assert [digest for _, _, digest in shown] == film.pictures[10:24] + film.pictures[48:60]
    assert shown[14][0] == Fraction(38, 25)
    report = report_of(made.parts[0].path)
    assert report["lost_packets"] == 24
    assert report["missing_frames_ms"] == 24 * 40
    assert report["missing_frames"] == [
        {"start": format_utc(T0_US + at(24)), "end": format_utc(T0_US + at(48))}
    ]


def test_another_format_begins_another_file(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    other = make_film(tmp_path / "other.mp4", size="320x240", seconds=2)
    archive.record(film, 0, 48, T0_US, cause=CloseCause.FORMAT)
    archive.record(other, 0, 48, T0_US + at(48))
    made = export(archive, tmp_path / "clip.mp4", 0, at(96))
    assert len(made.parts) == 2
    assert not made.gaps
    joined = export(archive, tmp_path / "joined.mp4", 0, at(96), joined=True)
    assert [report_of(part.path)["width_px"] for part in joined.parts] == [160, 320]


def test_whole_fragments_are_copied_as_they_lie(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    archive.record(film, 0, 96, T0_US)
    archive.record(film, 96, 192, T0_US + at(96))
    made = export(archive, tmp_path / "clip.mp4", at(30), at(120), whole_fragments=True)
    assert [part.path.name for part in made.parts] == ["clip-1.mp4", "clip-2.mp4"]
    # From the group of the asked picture to the end of the fragment that holds the last one.
    assert pictures_of(made.parts[0].path) == film.pictures[24:96]
    assert pictures_of(made.parts[1].path)[:24] == film.pictures[96:120]
    first = archive.stored[min(archive.stored)]
    lies = (archive.root / first.relative_path).read_bytes()
    made_of = made.parts[0].path.read_bytes()
    begin = next(one.offset for one in first.fragments if one.start_utc_us == T0_US + at(24))
    assert made_of == lies[: first.init_size] + lies[begin:]


def test_no_key_frame_before_the_start(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    segment = archive.record(film, 0, 96, T0_US)
    # As if the segment's first group had been cut away: it begins in the middle of one.
    headless = [one for one in segment.fragments if one.start_utc_us >= T0_US + at(7)]
    assert not headless[0].header.is_key[0]
    archive.stored[segment.relative_path] = type(segment)(
        **{name: getattr(segment, name) for name in segment.__slots__} | {
            "fragments": headless, "start_utc_us": headless[0].start_utc_us
        }
    )  # fmt: skip
    made = export(archive, tmp_path / "clip.mp4", at(8), at(30))
    assert pictures_of(made.parts[0].path) == film.pictures[GOP:30]
    assert [(gap.end_utc_us - T0_US) // FRAME_US for gap in made.gaps] == [GOP]


def test_changed_bytes_are_told(film: Film, archive: HandMadeArchive, tmp_path: Path) -> None:
    segment = archive.record(film, 0, 48, T0_US)
    path = archive.root / segment.relative_path
    data = bytearray(path.read_bytes())
    data[segment.fragments[2].offset + segment.fragments[2].header.data_offset + 9] ^= 1
    path.write_bytes(data)
    made = export(archive, tmp_path / "clip.mp4", 0, at(48))
    assert made.parts[0].blemishes.bad_hashes == [
        (segment.relative_path, segment.fragments[2].offset)
    ]
    assert len(report_of(made.parts[0].path)["changed_since_recorded"]) == 1


def test_each_payload_lies_where_the_report_says(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    from hashlib import sha256

    archive.record(film, 0, 48, T0_US)
    for how in ({}, {"whole_fragments": True}):
        out = tmp_path / f"clip{len(how)}.mp4"
        export(archive, out, at(3), at(40), **how)
        data = out.read_bytes()
        report = report_of(out)
        assert sha256(data).hexdigest() == report["sha256"]
        whole = [one for one in report["fragments"] if "part_only" not in one]
        assert len(whole) >= len(report["fragments"]) - 1 > 3
        for one in whole:
            payload = data[one["offset"] : one["offset"] + one["size"]]
            assert sha256(payload).hexdigest() == one["sha256"]


def nothing_but(tmp_path: Path, *names: str) -> None:
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(("archive", *names))


@pytest.mark.parametrize("signal", [ExportCancelledError("enough"), KeyboardInterrupt()])
def test_cancelled_leaves_nothing(
    film: Film, archive: HandMadeArchive, tmp_path: Path, signal: BaseException
) -> None:
    archive.record(film, 0, 48, T0_US)
    archive.record(film, 96, 144, T0_US + at(96))
    seen = []

    def progress(done_bytes: int, total_bytes: int) -> None:
        seen.append(done_bytes)
        if done_bytes > total_bytes * 3 // 4:
            raise signal

    request = ClipRequest("gate", "main", T0_US, T0_US + at(144), tmp_path / "clip.mp4")
    with pytest.raises(type(signal)):
        export_clip(archive, request, made_utc_us=MADE_US, progress=progress)
    assert seen == sorted(seen)
    nothing_but(tmp_path)


def test_progress_reaches_the_total(film: Film, archive: HandMadeArchive, tmp_path: Path) -> None:
    archive.record(film, 0, 48, T0_US)
    for number, how in enumerate(({}, {"whole_fragments": True})):
        seen = []
        request = ClipRequest(
            "gate", "main", T0_US, T0_US + at(40), tmp_path / f"c{number}.mp4", **how
        )
        export_clip(
            archive, request, made_utc_us=MADE_US, progress=lambda *both, s=seen: s.append(both)
        )
        assert seen[-1][0] == seen[-1][1] > 0


def test_disk_full_leaves_nothing(
    film: Film, archive: HandMadeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.record(film, 0, 96, T0_US)
    written = 0
    real_write = os.write

    def write(file: int, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(ExportError, match="disk is full") as raised:
        export(archive, tmp_path / "clip.mp4", 0, at(96))
    assert raised.value.fault is Fault.DISK
    nothing_but(tmp_path)


def test_too_little_room_is_known_before(
    film: Film, archive: HandMadeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.record(film, 0, 96, T0_US)
    status = os.statvfs(tmp_path)
    small = os.statvfs_result((*status[:2], status[2], 1, 1, *status[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: small)
    with pytest.raises(ExportError, match="are free"):
        export(archive, tmp_path / "clip.mp4", 0, at(96))
    nothing_but(tmp_path)


def test_nothing_is_overwritten_unasked(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    archive.record(film, 0, 48, T0_US)
    (tmp_path / "clip.json").write_text("mine")
    with pytest.raises(ExportError, match="already"):
        export(archive, tmp_path / "clip.mp4", 0, at(48))
    nothing_but(tmp_path, "clip.json")
    export(archive, tmp_path / "clip.mp4", 0, at(48), replace_existing=True)
    nothing_but(tmp_path, "clip.json", "clip.mp4")
    assert report_of(tmp_path / "clip.mp4")["camera"] == "gate"


def test_what_cannot_be_exported(film: Film, archive: HandMadeArchive, tmp_path: Path) -> None:
    archive.record(film, 0, 48, T0_US)
    clip = tmp_path / "clip.mp4"
    for start_us, end_us, out, how in [
        (at(60), at(90), clip, {}),
        (at(9), at(9), clip, {}),
        (0, 8 * 86_400 * US_PER_S, clip, {}),
        (0, at(9), tmp_path / "clip.avi", {}),
        (0, at(9), clip, {"joined": True, "whole_fragments": True}),
        (0, at(9), tmp_path / "nowhere" / "clip.mp4", {}),
    ]:
        with pytest.raises(ExportError) as raised:
            export(archive, out, start_us, end_us, **how)
        assert raised.value.fault is Fault.USER
    nothing_but(tmp_path)


def test_a_gap_longer_than_a_picture_can_stand(
    film: Film, archive: HandMadeArchive, tmp_path: Path
) -> None:
    archive.record(film, 0, 48, T0_US)
    archive.record(film, 96, 144, T0_US + 14 * 3600 * US_PER_S)
    day_us = 86_400 * US_PER_S
    with pytest.raises(ExportError, match="joined"):
        export(archive, tmp_path / "clip.mp4", 0, day_us, joined=True)
    assert len(export(archive, tmp_path / "clip.mp4", 0, day_us).parts) == 2

"""Clips that are nowhere: byte for byte what the export writes, in whatever pieces they are read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from viewing_footage import ENCODERS, FILM_FRAMES, FRAME_US, T0_US, Films, RealArchive

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.clips.export import ClipRequest, export_clip
from khupho.archive.events import CloseCause
from khupho.errors import Fault
from khupho.recorder.viewing import clip_file, segment_files
from khupho.recorder.viewing.clip_file import (
    ClipError,
    ClipFile,
    FootageGoneError,
    NoFootageError,
    open_clip,
)
from khupho.units import US_PER_DAY, US_PER_S

END_US = FILM_FRAMES * FRAME_US


@pytest.fixture
def reader(archive: RealArchive) -> Iterator[ArchiveReader]:
    with archive.reader() as reader:
        yield reader


def opened(reader: ArchiveReader, start_us: int, end_us: int, **how) -> ClipFile:
    return open_clip(reader, "gate", "main", T0_US + start_us, T0_US + end_us, **how)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def whole(clip: ClipFile) -> bytes:
    return b"".join(clip.chunks(0, clip.size_bytes))


def exported(reader: ArchiveReader, out: Path, start_us: int, end_us: int) -> bytes:
    request = ClipRequest("gate", "main", T0_US + start_us, T0_US + end_us, out, joined=True)
    (part,) = export_clip(reader, request, made_utc_us=T0_US).parts
    return part.path.read_bytes()


def frames_shown(data: bytes, path: Path) -> int:
    """Pictures that ffmpeg decodes and shows, every complaint an error."""
    path.write_bytes(data)
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v",
               "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    command = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(path),
               "-f", "null", "-"]  # fmt: skip
    played = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert not played.stderr
    return int(done.stdout)


def pictures(path: Path, first: int = 0, stop: int | None = None) -> list[str]:
    """Hashes of the pictures that ffmpeg shows."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough",
               "-f", "framemd5", "-"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return [line.rpartition(",")[2].strip() for line in lines][first:stop]


@pytest.mark.parametrize("codec", sorted(ENCODERS))
@pytest.mark.parametrize(("first", "stop"), [(0, 150), (31, 107), (20, 21), (59, 62)])
def test_it_is_what_the_export_writes_and_shows_the_asked_pictures(
    films: Films, archive: RealArchive, tmp_path: Path, codec: str, first: int,
    stop: int,
) -> None:  # fmt: skip
    film = films(codec)
    archive.record(film)
    with archive.reader() as reader:
        start_us = archive.start_of()
        shift_us = start_us - T0_US
        asked = shift_us + first * FRAME_US, shift_us + stop * FRAME_US
        with opened(reader, *asked) as clip:
            data = whole(clip)
            assert len(data) == clip.size_bytes
            assert data == exported(reader, tmp_path / "clip.mp4", *asked)
            assert clip.frames == stop - first == frames_shown(data, tmp_path / "out.mp4")
            assert pictures(tmp_path / "out.mp4") == pictures(film.path, first, stop)
            assert (clip.start_utc_us, clip.end_utc_us) == (T0_US + asked[0], T0_US + asked[1])


def test_several_segments_with_a_gap(
    films: Films, archive: RealArchive, reader: ArchiveReader, tmp_path: Path
) -> None:
    for _ in range(3):
        archive.record(films("h264-b"))
        archive.pause(7.5)
    end_us = 3 * END_US + 2 * 7_500_000
    with opened(reader, -US_PER_S, end_us + US_PER_S) as clip:
        data = whole(clip)
        assert data == exported(reader, tmp_path / "clip.mp4", -US_PER_S, end_us + US_PER_S)
        assert frames_shown(data, tmp_path / "out.mp4") == clip.frames == 3 * FILM_FRAMES
        assert clip.end_utc_us - clip.start_utc_us == pytest.approx(end_us, abs=50_000)
        moment = subprocess.run(
            ["date", "-d", f"@{clip.start_utc_us // US_PER_S}", "+%Y-%m-%d_%H%M%S"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        assert clip.name == f"gate-{moment}.mp4"


@pytest.fixture(scope="module")
def long_clip(
    films: Films, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ClipFile, bytes]]:
    """Of ten segments: more than are held open."""
    archive = RealArchive(tmp_path_factory.mktemp("long") / "archive")
    for _ in range(10):
        archive.record(films("h264-b"))
        archive.pause(1)
    with archive.reader() as reader:
        clip = opened(reader, US_PER_S, 100 * US_PER_S)
    # The reader is closed, as the library closes its own now and then.
    yield clip, whole(clip)
    clip.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_range_is_that_part_of_the_whole(
    long_clip: tuple[ClipFile, bytes], data: st.DataObject
) -> None:
    clip, all_bytes = long_clip
    offset = data.draw(st.integers(0, clip.size_bytes + 10))
    size = data.draw(st.one_of(st.integers(0, 2_000), st.integers(0, clip.size_bytes + 10)))
    chunk = data.draw(st.integers(max(1, size // 50), 1 << 20))
    assert clip.read(offset, size) == all_bytes[offset : offset + size]
    pieces = list(clip.chunks(offset, size, chunk))
    assert b"".join(pieces) == all_bytes[offset : offset + size]
    assert all(len(piece) == chunk for piece in pieces[:-1])
    assert len(clip._files._open) <= segment_files.MOST_OPEN


def test_each_boundary(long_clip: tuple[ClipFile, bytes]) -> None:
    clip, all_bytes = long_clip
    header = len(clip._header)
    for begin in clip._ranges.begins:
        for offset in (header + begin - 1, header + begin, header + begin + 1):
            assert clip.read(offset, 2) == all_bytes[offset : offset + 2]
    for bad in ((-1, 5), (0, -1)):
        with pytest.raises(ValueError, match="bytes at"):
            clip.read(*bad)


def test_it_is_gone_on_with_after_new_footage(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    """The last segment is being written, then grows, then is closed: to the asker it is one file."""
    film = films("h264-b")
    archive.record(film)
    archive.pause(1)
    writer = archive.writer()
    archive.play(writer, film, 0, 90)
    start_us, end_us = 2 * US_PER_S, END_US + US_PER_S + 50 * FRAME_US
    with opened(reader, start_us, end_us) as clip:
        tag, size_bytes, name = clip.etag, clip.size_bytes, clip.name
        first_half = clip.read(0, size_bytes // 2)
    archive.play(writer, film, 90, FILM_FRAMES)
    with opened(reader, start_us, end_us) as clip:
        assert (clip.etag, clip.size_bytes, clip.name) == (tag, size_bytes, name)
    writer.close(CloseCause.STOPPED, archive.arrival())
    with archive.reader() as later, opened(later, start_us, end_us) as clip:
        assert (clip.etag, clip.size_bytes) == (tag, size_bytes)
        rest = b"".join(clip.chunks(size_bytes // 2, size_bytes))
        assert first_half + rest == whole(clip)
    with opened(reader, start_us, end_us + FRAME_US) as other:
        assert other.etag != tag


def test_other_bytes_have_another_tag(films: Films, archive: RealArchive, tmp_path: Path) -> None:
    """Same times, same sizes, same segment names: only what was recorded differs."""
    film = films("h264")
    changed = [frame._replace(data=frame.data[:-1] + b"\x55") for frame in film.frames]
    other = RealArchive(tmp_path / "other")
    archive.record(film)
    other.record(film._replace(frames=changed))
    with (
        archive.reader() as one, other.reader() as two,
        opened(one, 0, END_US) as a, opened(two, 0, END_US) as b,
    ):  # fmt: skip
        assert a._header == b._header
        assert a.etag != b.etag
        assert a.etag[0] == a.etag[-1] == '"'
        # The same bytes of footage with another first picture.
        with opened(one, FRAME_US, END_US) as c:
            assert list(c._ranges.offsets) == list(a._ranges.offsets)
            assert c.etag != a.etag


def test_what_is_deleted_while_open_is_served_or_said_to_be_gone(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    for _ in range(12):
        archive.record(films("h264"))
    with opened(reader, 0, 12 * END_US) as clip:
        data = whole(clip)
    with opened(reader, 0, 12 * END_US) as clip:
        paths = archive.segments()
        half = clip.size_bytes // 2
        for path in paths[:6]:  # the oldest goes first
            path.unlink()
        assert clip.read(0, half) == data[:half]
        # Those at the end weren't open any longer; a file of the same name is not the same file.
        paths[-1].rename(paths[-1].with_suffix(".old"))
        paths[-1].write_bytes(paths[0].with_name(paths[-1].name).with_suffix(".old").read_bytes())
        with pytest.raises(FootageGoneError, match="deleted") as raised:
            whole(clip)
        assert raised.value.fault is Fault.ARCHIVE
        paths[-1].unlink()
        with pytest.raises(FootageGoneError):
            clip.read(clip.size_bytes - 5, 5)


def test_a_segment_that_was_cut_is_gone(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    archive.record(films("h264"))
    with opened(reader, 0, END_US) as clip:
        size = archive.segments()[0].stat().st_size
        os.truncate(archive.segments()[0], size // 2)
        assert clip.read(0, 1_000)
        with pytest.raises(FootageGoneError):
            whole(clip)


def test_closed_it_holds_nothing_and_reads_nothing(
    films: Films, archive: RealArchive, reader: ArchiveReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    archive.record(films("h264"))
    before = open_files()
    clip = opened(reader, 0, END_US)
    assert open_files() == before + 1
    clip.close()
    clip.close()
    assert open_files() == before
    with pytest.raises(ClipError, match="closed"):
        clip.read(0, 10)

    # Closed by another thread in the midst of a read: that one still gets its bytes.
    clip = opened(reader, 0, END_US)
    real_read = clip._files.read

    def read(path: str, offset: int, size: int) -> bytes:
        clip.close()
        return real_read(path, offset, size)

    monkeypatch.setattr(clip._files, "read", read)
    assert len(clip.read(clip.size_bytes - 100, 100)) == 100
    assert open_files() == before


def test_what_cannot_be_a_clip(films: Films, archive: RealArchive, reader: ArchiveReader) -> None:
    archive.record(films("h264"))
    archive.record(films("h264", "320x240"))
    before = open_files()
    for start_us, end_us, kind in [
        (0, 0, ClipError),
        (5, 0, ClipError),
        (0, US_PER_DAY + 1, ClipError),
        (3 * END_US, 4 * END_US, NoFootageError),
        (0, 2 * END_US, ClipError),
    ]:
        with pytest.raises(kind) as raised:
            opened(reader, start_us, end_us)
        assert raised.value.fault is Fault.USER
    assert "changed its format at 2026-11-24T01:00:0" in str(raised.value)
    assert open_files() == before


def test_a_camera_without_any_footage(archive: RealArchive, reader: ArchiveReader) -> None:
    with pytest.raises(NoFootageError, match="no footage"):
        open_clip(reader, "yard", "main", T0_US, T0_US + END_US)


def test_a_gap_longer_than_a_picture_can_stand(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    archive.record(films("h264"))
    archive.pause(14 * 3600)
    archive.record(films("h264"))
    with pytest.raises(ClipError, match="gap") as raised:
        opened(reader, 0, US_PER_DAY)
    assert "two clips" in raised.value.advice


def test_a_segment_that_has_just_been_begun_is_nothing_yet(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    archive.record(films("h264"))
    (archive.segments()[0].parent / "010007.000Z.mp4").touch()
    with opened(reader, 0, 2 * END_US) as clip:
        assert clip.frames == FILM_FRAMES


def test_progress_is_told_and_may_end_it(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    for _ in range(3):
        archive.record(films("h264"))
    told: list[tuple[int, int]] = []
    opened(reader, 0, 3 * END_US, progress=lambda *both: told.append(both)).close()
    assert told[0] == (1, 3)
    assert told[-1] == (3, 3)

    def enough(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    before = open_files()
    with pytest.raises(KeyboardInterrupt):
        opened(reader, 0, 3 * END_US, progress=enough)
    assert open_files() == before


def test_more_segments_than_are_kept_are_read_twice(
    films: Films, archive: RealArchive, reader: ArchiveReader,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(clip_file, "_MOST_KEPT", 1)
    monkeypatch.setattr(segment_files, "MOST_OPEN", 1)
    for _ in range(4):
        archive.record(films("h265-b"))
    with opened(reader, 0, 4 * END_US) as clip:
        assert whole(clip) == exported(reader, tmp_path / "clip.mp4", 0, 4 * END_US)

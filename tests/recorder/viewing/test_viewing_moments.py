"""The key frame of a moment: found in closed and growing segments, never across a hole."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from viewing_footage import (
    ENCODERS,
    FILM_FRAMES,
    FRAME_US,
    GOP,
    OPEN_GOP,
    T0_US,
    Film,
    Films,
    RealArchive,
)

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.events import CloseCause
from khupho.media import g711
from khupho.media.formats import Codec
from khupho.media.samples import Sample, SampleBatch
from khupho.recorder.newest_picture import KeyFrame, NewestPictures
from khupho.recorder.viewing.moments import (
    HOLE_US,
    GrowingSegments,
    find_key,
    frame_at,
    read_key,
)
from khupho.units import US_PER_DAY, US_PER_S

END_US = FILM_FRAMES * FRAME_US
SECOND_90K = 90_000


@pytest.fixture
def reader(archive: RealArchive) -> Iterator[ArchiveReader]:
    with archive.reader() as reader:
        yield reader


def key_number(frame: KeyFrame | None, film: Film) -> int | None:
    """Which of the film's frames it is; None for no frame."""
    if frame is None:
        return None
    keys = [number for number, one in enumerate(film.frames) if one.is_key]
    (found,) = [number for number in keys if film.frames[number].data == frame.data]
    return found


@pytest.mark.parametrize("codec", sorted(ENCODERS | OPEN_GOP))
@pytest.mark.parametrize("is_closed", [True, False])
def test_the_key_frame_at_or_before_each_moment(
    films: Films, archive: RealArchive, reader: ArchiveReader, codec: str, is_closed: bool
) -> None:
    film = films(codec)
    writer = archive.writer()
    archive.play(writer, film)
    if is_closed:
        writer.close(CloseCause.STOPPED, archive.arrival())
    start_us = archive.start_of()
    growing = GrowingSegments()
    assert frame_at(reader, "gate", "main", start_us - 1) is None
    last = 0
    for number, frame in enumerate(film.frames[:120]):
        at_us = start_us + frame.pts * 100 // 9
        if frame.is_key:
            before = frame_at(reader, "gate", "main", at_us - 1, growing)
            assert key_number(before, film) == (last if number else None)
            last = number
        shown = max(
            (other for other in range(FILM_FRAMES)
             if film.frames[other].is_key and film.frames[other].pts <= frame.pts),
            key=lambda other: film.frames[other].pts,
        )  # fmt: skip
        found = frame_at(reader, "gate", "main", at_us, growing)
        assert key_number(found, film) == shown
        assert found is not None
        assert found.taken_utc_us == start_us + film.frames[shown].pts * 100 // 9
        assert found.format == film.format


def test_it_agrees_with_the_newest_picture(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    archive.record(films("h265-b"))
    now_us = archive.clock.utc_us()
    assert frame_at(reader, "gate", "main", now_us) == NewestPictures(archive.root).find("gate")


def test_a_hole_of_more_than_ten_seconds_has_no_picture(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    film = films("h264")
    archive.record(film)
    end_us = archive.start_of() + END_US
    archive.pause(60)
    archive.record(film)
    later_us = archive.start_of(1)
    for at_us, expected in [
        (end_us, 140),
        (end_us + HOLE_US, 140),
        (end_us + HOLE_US + 1, None),
        (later_us - 1, None),
        (later_us, 0),
        (later_us + US_PER_S, GOP),
        (later_us + END_US + HOLE_US + 1, None),
        (end_us + US_PER_DAY * 3, None),
    ]:
        assert key_number(frame_at(reader, "gate", "main", at_us), film) == expected


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_hole_inside_a_segment(
    films: Films, archive: RealArchive, reader: ArchiveReader, is_closed: bool
) -> None:
    """The connection held, but nothing came for 15 s; then it goes on in the midst of a group of pictures."""
    film = films("h264")
    writer = archive.writer()
    archive.play(writer, film, 0, 55)
    archive.pause(15)
    archive.play(writer, film, 55, FILM_FRAMES, pts=15 * SECOND_90K, lost_packets=9)
    if is_closed:
        writer.close(CloseCause.STOPPED, archive.arrival())
    assert len(archive.segments()) == 1
    start_us = archive.start_of()
    break_us = start_us + 55 * FRAME_US
    for at_us, expected in [
        (break_us, 40),
        (break_us + 9 * US_PER_S, 40),
        (break_us + 11 * US_PER_S, None),
        (break_us + 15 * US_PER_S + FRAME_US, None),
        (break_us + 15 * US_PER_S + 5 * FRAME_US, 60),
    ]:
        assert key_number(frame_at(reader, "gate", "main", at_us), film) == expected


def test_a_segment_that_begins_without_a_key_frame(
    films: Films, archive: RealArchive, reader: ArchiveReader
) -> None:
    """What stands then is the last key frame of the segment before."""
    film = films("h264")
    archive.record(film, 0, 60)
    start_us = archive.start_of()
    path = archive.segments()[0]
    stored = reader.read(str(path.relative_to(archive.root)))
    # Cut after its last group of pictures but one, and cut the head of that off: as after damage.
    data = path.read_bytes()
    cut = next(one for one in stored.fragments if one.start_utc_us > start_us + 41 * FRAME_US)
    later = path.parent / "010001.800Z.mp4"
    assert not cut.header.is_key[0]
    later.write_bytes(data[: stored.init_size] + data[cut.offset :])
    path.write_bytes(data[: cut.offset])
    assert len(reader.segments("gate", "main", T0_US, T0_US + END_US)) == 2
    found = frame_at(reader, "gate", "main", start_us + 59 * FRAME_US)
    assert key_number(found, film) == 40


def test_it_costs_few_reads(
    films: Films, archive: RealArchive, reader: ArchiveReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = films("h264")
    writer = archive.writer()
    for turn in range(40):
        archive.play(writer, film, pts=turn * 6 * SECOND_90K)
    reads = 0
    real_pread = os.pread

    def pread(file: int, size: int, offset: int) -> bytes:
        nonlocal reads
        reads += 1
        return real_pread(file, size, offset)

    monkeypatch.setattr(os, "pread", pread)

    def reads_of(at_us: int, growing: GrowingSegments) -> int:
        nonlocal reads
        reads = 0
        assert frame_at(reader, "gate", "main", T0_US + at_us, growing) is not None
        return reads

    growing = GrowingSegments()
    assert reads_of(100 * US_PER_S, growing) > 500
    assert reads_of(100 * US_PER_S, growing) < 40
    assert reads_of(230 * US_PER_S, growing) < 40
    writer.close(CloseCause.STOPPED, archive.arrival())
    assert len(archive.segments()) == 1
    assert reads_of(170 * US_PER_S, GrowingSegments()) < 60


def test_what_has_no_picture(films: Films, archive: RealArchive, reader: ArchiveReader) -> None:
    film = films("h264")
    sound = archive.writer("gate", "audio")
    archive.clock.advance(US_PER_S)
    track = g711.audio_format(Codec.PCMU)
    data = bytes(8_000)
    sample = Sample(0, len(data), True, format=track)
    batch = SampleBatch([memoryview(data)], [sample], SECOND_90K, len(data))
    sound.write(batch, archive.arrival())
    sound.close(CloseCause.STOPPED, archive.arrival())
    now_us = archive.clock.utc_us()
    assert frame_at(reader, "gate", "audio", now_us) is None
    archive.record(film)
    now_us = archive.clock.utc_us()
    found = find_key(reader, "gate", "main", now_us)
    assert found is not None
    garbage = archive.segments()[0].parent / "010006.500Z.mp4"
    garbage.write_bytes(b"garbage" * 1_000)
    assert find_key(reader, "gate", "main", now_us) == found
    archive.segments()[0].unlink()
    assert read_key(reader, found) is None
    assert frame_at(reader, "gate", "main", now_us) is None


def test_a_camera_without_any_footage(archive: RealArchive, reader: ArchiveReader) -> None:
    assert frame_at(reader, "yard", "main", T0_US) is None

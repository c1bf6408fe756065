"""Key-frame ranges: from the table and from the headers they must be the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from viewing_footage import FILM_FRAMES, FRAME_US, GOP, T0_US, Films, RealArchive

from khupho.archive.events import CloseCause
from khupho.archive.segments.facts import CLOSING_FACTS_BYTES
from khupho.archive.segments.reader import walk_segment
from khupho.recorder.viewing.segment_index import SegmentIndex, SegmentIndexes, range_at


def path_of(archive: RealArchive, index: int = 0) -> str:
    return str(archive.segments()[index].relative_to(archive.root))


def index_of(archive: RealArchive, number: int = 0) -> SegmentIndex:
    with archive.reader() as reader:
        made = SegmentIndexes().of(reader, path_of(archive, number))
    assert made is not None
    return made


@pytest.mark.parametrize("codec", ["h264", "h264-b", "h265", "h265-b"])
def test_the_table_tells_what_the_headers_tell(
    archive: RealArchive, films: Films, codec: str
) -> None:
    archive.record(films(codec))
    from_table = index_of(archive)
    assert from_table.is_closed
    whole = archive.segments()[0].read_bytes()
    walked = walk_segment(archive.root, path_of(archive))
    # Without its table the headers must be walked.
    archive.segments()[0].write_bytes(whole[: walked.good_bytes])
    from_headers = index_of(archive)
    assert not from_headers.is_closed
    assert list(from_headers.ranges) == list(from_table.ranges)
    assert from_table.init_bytes == walked.init.size_bytes
    assert (from_table.width_px, from_table.height_px) == (192, 144)
    assert from_table.codec == films(codec).format.rfc6381


@pytest.mark.parametrize("codec", ["h264", "h265-b"])
def test_ranges_fill_the_footage(archive: RealArchive, films: Films, codec: str) -> None:
    archive.record(films(codec))
    made, walked = index_of(archive), walk_segment(archive.root, path_of(archive))
    ranges = made.ranges
    assert len(ranges) == -(-FILM_FRAMES // GOP)
    assert ranges[0].offset == walked.segment.init_size
    assert ranges[-1].offset + ranges[-1].size_bytes == walked.good_bytes
    assert sum(piece.duration_us for piece in ranges) == FILM_FRAMES * FRAME_US
    for before, after in pairwise(ranges):
        assert before.offset + before.size_bytes == after.offset
        assert abs(before.start_utc_us + before.duration_us - after.start_utc_us) <= 1
    assert abs(ranges[0].start_utc_us - walked.facts.start_utc_us) <= 1
    size_bits = (walked.good_bytes - walked.segment.init_size) * 8
    assert made.bits_per_s == size_bits // 6
    assert made.peak_bits_per_s >= made.bits_per_s


def test_one_that_grows_is_read_on(archive: RealArchive, films: Films) -> None:
    indexes, film = SegmentIndexes(), films("h264")
    writer = archive.writer()
    archive.play(writer, film, 0, 3 * GOP)
    with archive.reader() as reader:
        first = indexes.of(reader, path_of(archive))
        archive.play(writer, film, 3 * GOP, FILM_FRAMES)
        second = indexes.of(reader, path_of(archive))
        writer.close(CloseCause.AGE, archive.arrival())
        third = indexes.of(reader, path_of(archive))
        assert indexes.of(reader, path_of(archive)) is third
    assert first is not None
    assert second is not None
    assert third is not None
    assert [first.is_closed, second.is_closed, third.is_closed] == [False, False, True]
    assert list(second.ranges[: len(first.ranges) - 1]) == list(first.ranges[:-1])
    assert list(third.ranges[:-1]) == list(second.ranges[: len(third.ranges) - 1])
    assert list(third.ranges) == list(index_of(archive).ranges)


def test_a_hole_before_a_key_frame_ends_the_range_before(
    archive: RealArchive, films: Films
) -> None:
    film, writer = films("h264"), archive.writer()
    archive.play(writer, film, 0, 2 * GOP - 5)
    archive.clock.advance(5 * FRAME_US)
    archive.play(writer, film, 2 * GOP, FILM_FRAMES, lost_packets=9)
    writer.close(CloseCause.AGE, archive.arrival())
    ranges = index_of(archive).ranges
    holes = [piece for piece in ranges if piece.is_after_hole]
    assert len(holes) == 1
    before = ranges[ranges.index(holes[0]) - 1]
    missing_us = holes[0].start_utc_us - before.start_utc_us - before.duration_us
    assert abs(missing_us - 5 * FRAME_US) < 10_000
    assert sum(piece.duration_us for piece in ranges) == (FILM_FRAMES - 5) * FRAME_US


def test_a_broken_table_is_not_believed(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    right, file = index_of(archive), archive.segments()[0]
    data = bytearray(file.read_bytes())
    table = walk_segment(archive.root, path_of(archive)).good_bytes + CLOSING_FACTS_BYTES
    rows = table + 8 + 8 + 4 + 12
    data[rows + 8 : rows + 16] = (1 << 60).to_bytes(8, "big")  # the first offset
    file.write_bytes(data)
    assert list(index_of(archive).ranges) == list(right.ranges)


def test_every_cut_of_a_file_is_survived(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"), 0, GOP)
    file = archive.segments()[0]
    whole = file.read_bytes()
    with archive.reader() as reader:
        for size in range(0, len(whole), 131):
            file.write_bytes(whole[:size])
            made = SegmentIndexes().of(reader, path_of(archive))
            assert made is None or all(
                piece.offset + piece.size_bytes <= size for piece in made.ranges
            )


def test_none_where_the_file_is_gone(archive: RealArchive, tmp_path: Path) -> None:
    with archive.reader() as reader:
        assert SegmentIndexes().of(reader, "gate/main/2026-11-24/010000.000Z.mp4") is None


def test_range_at(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    ranges = index_of(archive).ranges
    assert range_at(ranges, T0_US - 5_000_000) == 0
    assert range_at(ranges, ranges[2].start_utc_us) == 2
    assert range_at(ranges, ranges[3].start_utc_us - 2) == 2
    assert range_at(ranges, ranges[-1].start_utc_us + 10_000_000) == len(ranges)
    assert range_at([], T0_US) == 0

"""Segments cut at every byte, flipped at every byte, and made whole again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segments_by_hand import Camera, Recording

from khupho.archive.events import CloseCause
from khupho.archive.segments.payload_check import payload_fault
from khupho.archive.segments.reader import (
    SegmentError,
    WalkedSegment,
    counts_of,
    end_of,
    fragments_from,
    random_access_of,
    read_segment,
    reader_of,
    walk_segment,
)
from khupho.archive.segments.recovery import Recovered, SegmentRemovedError, recover_segment

NAME = "gate/main/2026-11-24/010000.000Z.mp4"


@dataclass(frozen=True)
class Closed:
    """A closed segment's bytes, and where its fragments end."""

    data: bytes
    walk: WalkedSegment

    @property
    def ends(self) -> list[int]:
        return [f.offset + f.header.size_bytes for f in self.walk.segment.fragments]


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Closed:
    recording = Recording(tmp_path_factory.mktemp("closed") / "archive")
    writer = recording.writer()
    camera = Camera(recording, writer, gop=5)
    for _ in range(3):
        camera.play(7)
    writer.close(CloseCause.AGE, recording.arrival())
    (walk,) = recording.walks()
    assert walk.segment.relative_path == NAME
    return Closed((recording.root / NAME).read_bytes(), walk)


def put(root: Path, data: bytes) -> Path:
    path = root / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def is_whole(root: Path, recovered: Recovered) -> None:
    walk = walk_segment(root, NAME)
    assert walk.is_closed
    assert walk.fault is None
    segment = walk.segment
    assert recovered.segment == segment
    assert recovered.size_bytes == walk.size_bytes == (root / NAME).stat().st_size
    assert walk.random_access == random_access_of(segment.fragments)
    assert walk.closing is not None
    assert walk.closing[2:] == counts_of(segment.fragments)
    assert segment.end_utc_us == end_of(segment.fragments, segment.start_utc_us, segment.timescale)


def test_every_prefix_gives_exactly_its_whole_fragments(closed: Closed, tmp_path: Path):
    for size in range(len(closed.data)):
        path = put(tmp_path, closed.data[:size])
        whole = [end for end in closed.ends if end <= size]
        if not whole:
            with pytest.raises(SegmentRemovedError):
                recover_segment(tmp_path, NAME)
            assert not path.exists()
            continue
        seen = walk_segment(tmp_path, NAME)
        assert not seen.is_closed
        assert (seen.good_bytes, len(seen.segment.fragments)) == (whole[-1], len(whole))
        assert seen.fault is None or seen.fault.truncated
        recovered = recover_segment(tmp_path, NAME)
        assert recovered.was_open
        assert recovered.cut_bytes == size - whole[-1]
        assert recovered.cut_fragments == 0
        is_whole(tmp_path, recovered)
        fragments = closed.walk.segment.fragments
        assert recovered.segment.fragments == fragments[: len(whole)]
        # Closing facts that were whole keep their word; only mfra was missing then.
        was_closing = size >= closed.ends[-1] + 64
        assert recovered.segment.cause is (CloseCause.AGE if was_closing else CloseCause.RECOVERED)
        if len(whole) == len(fragments) and was_closing:
            assert path.read_bytes() == closed.data


def test_recovery_that_is_killed_itself_recovers_again(closed: Closed, tmp_path: Path):
    put(tmp_path, closed.data[: closed.ends[2] + 100])
    first = recover_segment(tmp_path, NAME)
    done = (tmp_path / NAME).read_bytes()
    for size in range(closed.ends[2], len(done)):
        put(tmp_path, done[:size])
        again = recover_segment(tmp_path, NAME)
        assert again.segment == first.segment
        assert (tmp_path / NAME).read_bytes() == done
    nothing = recover_segment(tmp_path, NAME, 0)
    assert (nothing.was_open, nothing.cut_bytes, nothing.segment) == (False, 0, first.segment)


def test_every_flipped_byte_is_found(closed: Closed, tmp_path: Path):
    """Headers by their checksums, payloads by their hash, the rest by what it must be."""
    segment = closed.walk.segment
    for at in range(len(closed.data)):
        data = bytearray(closed.data)
        data[at] ^= 0x10
        put(tmp_path, bytes(data))
        try:
            walk = walk_segment(tmp_path, NAME)
        except SegmentError:
            assert at < segment.init_size
            continue
        assert at >= segment.init_size
        file = os.open(tmp_path / NAME, os.O_RDONLY)
        try:
            faults = [
                payload_fault(reader_of(file), fragment, segment.format)
                for fragment in walk.segment.fragments
            ]
        finally:
            os.close(file)
        found = (
            walk.fault is not None
            or any(faults)
            or walk.random_access != random_access_of(walk.segment.fragments)
            or not walk.is_closed
        )
        assert found, f"byte {at}"


@pytest.mark.parametrize("verify_from", [None, 0])
def test_after_a_power_cut_the_bytes_themselves_are_looked_at(
    closed: Closed, tmp_path: Path, verify_from: int | None
):
    """Pages that never came to the disk are zeros; the headers before and after may be there."""
    third = closed.walk.segment.fragments[3]
    data = bytearray(closed.data[: closed.ends[-1]])
    begin = third.offset + third.header.data_offset
    data[begin : begin + third.header.data_size] = bytes(third.header.data_size)
    put(tmp_path, bytes(data))
    recovered = recover_segment(tmp_path, NAME, verify_from)
    kept = 3 if verify_from == 0 else len(closed.ends)
    assert len(recovered.segment.fragments) == kept
    assert recovered.cut_fragments == len(closed.ends) - kept
    is_whole(tmp_path, recovered)


def test_what_was_flushed_is_not_read_again(closed: Closed, tmp_path: Path):
    second = closed.walk.segment.fragments[1]
    data = bytearray(closed.data)
    data[second.offset + second.header.data_offset + 3] ^= 1
    put(tmp_path, bytes(data))
    assert not recover_segment(tmp_path, NAME, closed.ends[1]).was_open
    recovered = recover_segment(tmp_path, NAME, closed.ends[1] - 1)
    assert (recovered.was_open, len(recovered.segment.fragments)) == (True, 1)


@settings(max_examples=60)
@given(st.data())
def test_torn_pages_never_bring_back_what_was_not_whole(
    closed: Closed, tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
):
    root = tmp_path_factory.mktemp("torn")
    size = draw.draw(st.integers(closed.ends[0], len(closed.data)))
    data = bytearray(closed.data[:size])
    page = draw.draw(st.integers(closed.ends[0], size))
    end = draw.draw(st.integers(page, size))
    data[page:end] = bytes(end - page)
    put(root, bytes(data))
    recovered = recover_segment(root, NAME, 0)
    is_whole(root, recovered)
    originals = closed.walk.segment.fragments
    whole = [i for i, stop in enumerate(closed.ends) if bytes(data[:stop]) == closed.data[:stop]]
    assert recovered.segment.fragments == originals[: len(whole)]


def test_damage_at_the_beginning_is_told_and_the_file_stays(closed: Closed, tmp_path: Path):
    data = bytearray(closed.data)
    data[60] ^= 1
    path = put(tmp_path, bytes(data))
    with pytest.raises(SegmentError) as caught:
        recover_segment(tmp_path, NAME)
    assert not isinstance(caught.value, SegmentRemovedError)
    assert path.read_bytes() == bytes(data)


def test_a_file_of_zeros_goes(tmp_path: Path):
    path = put(tmp_path, bytes(9_000))
    with pytest.raises(SegmentRemovedError):
        recover_segment(tmp_path, NAME)
    assert not path.exists()


def test_a_missing_segment_is_told_as_missing(tmp_path: Path):
    with pytest.raises(SegmentError, match="not there"):
        read_segment(tmp_path, NAME)


def test_reading_below_a_descriptor(closed: Closed, tmp_path: Path):
    put(tmp_path, closed.data)
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        assert read_segment(root, NAME) == closed.walk.segment
    finally:
        os.close(root)


def test_a_segment_that_is_being_written_is_followed(closed: Closed, tmp_path: Path):
    segment = closed.walk.segment
    path = put(tmp_path, closed.data[: closed.ends[1] + 5])
    with path.open("rb") as file:
        read_at = reader_of(file.fileno())
        seen = []
        with pytest.raises(Exception, match="cut short"):
            seen.extend(fragments_from(read_at, segment.init_size, closed.ends[1] + 5))
        assert seen == list(segment.fragments[:2])
        put(tmp_path, closed.data)
        rest = list(fragments_from(read_at, closed.ends[1], len(closed.data), 3))
        assert seen + rest == list(segment.fragments)
        with pytest.raises(Exception, match="is numbered 3"):
            next(fragments_from(read_at, closed.ends[1], len(closed.data), 7))


def test_bytes_after_the_end_are_told(closed: Closed, tmp_path: Path):
    put(tmp_path, closed.data + b"more")
    walk = walk_segment(tmp_path, NAME)
    assert walk.fault is not None
    assert walk.whole_bytes == len(closed.data)
    assert not walk.is_closed
    recovered = recover_segment(tmp_path, NAME)
    assert recovered.segment.cause is CloseCause.AGE
    assert (tmp_path / NAME).read_bytes() == closed.data

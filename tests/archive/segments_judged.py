"""Segments on the disk, held against themselves, their neighbours and what was told of them."""

from __future__ import annotations

import os
from itertools import pairwise

from segments_by_hand import Recording

from khupho.archive.events import FragmentCommitted, SegmentClosed, SegmentOpened
from khupho.archive.place.segment_names import parse_segment_path
from khupho.archive.segments.payload_check import payload_fault
from khupho.archive.segments.reader import WalkedSegment, random_access_of, reader_of
from khupho.media.fmp4 import parse_fragment
from khupho.units import US_PER_S


def whole(recording: Recording) -> list[WalkedSegment]:
    """All segments, each held against itself, its neighbours and what was told of it."""
    walks = recording.walks()
    files = sorted(str(path.relative_to(recording.root)) for path in recording.root.rglob("*.mp4"))
    assert files == sorted(walk.segment.relative_path for walk in walks)
    ends: dict[tuple[str, str], int] = {}
    for walk in walks:
        segment = walk.segment
        assert walk.fault is None
        assert walk.is_closed
        name = parse_segment_path(segment.relative_path)
        assert name == (segment.camera, segment.stream, segment.start_utc_us // 1000)
        assert segment.start_utc_us >= ends.get((segment.camera, segment.stream), 0)
        ends[segment.camera, segment.stream] = segment.end_utc_us
        assert walk.random_access == random_access_of(segment.fragments)
        _line_holds(walk)
        file = os.open(recording.root / segment.relative_path, os.O_RDONLY)
        try:
            for fragment in segment.fragments:
                assert payload_fault(reader_of(file), fragment, segment.format) is None
        finally:
            os.close(file)
    _events_hold(recording, walks)
    # What a record of the proof log holds.
    assert all(event.duration_us < 1 << 32 for event in recording.committed)
    return walks


def _line_holds(walk: WalkedSegment) -> None:
    """Invariant 5, and the parts of 4 that only a whole segment shows."""
    segment = walk.segment
    assert segment.fragments[0].start_utc_us == segment.start_utc_us
    assert segment.fragments[0].header.base_decode_time_90k == 0
    for before, fragment in pairwise(segment.fragments):
        missing = fragment.header.base_decode_time_90k - before.header.end_decode_time_90k
        assert missing >= 0
        assert not missing or fragment.lost_packets
        assert fragment.start_utc_us > before.start_utc_us
    for fragment in segment.fragments:
        assert min(fragment.header.durations) > 0
        assert not any(fragment.header.is_key[1:]) or segment.stream == "audio"


def _events_hold(recording: Recording, walks: list[WalkedSegment]) -> None:
    """Opened, then each fragment in order, then closed; and nothing that isn't in the file."""
    for walk in walks:
        path = walk.segment.relative_path
        events = [event for event in recording.events if event.segment.relative_path == path]
        opened, *committed, closed = events
        assert isinstance(opened, SegmentOpened)
        assert opened.header_bytes == walk.segment.init_size
        assert isinstance(closed, SegmentClosed)
        assert (closed.cause, closed.end_utc_us) == (walk.segment.cause, walk.segment.end_utc_us)
        assert closed.size_bytes == walk.size_bytes
        assert closed.segment.file == -1
        data = (recording.root / path).read_bytes()
        for event, fragment in zip(committed, walk.segment.fragments, strict=True):
            assert isinstance(event, FragmentCommitted)
            header = fragment.header
            assert event.header == data[event.offset : event.offset + header.header_size]
            assert parse_fragment(event.header) == header
            assert (event.offset, event.size_bytes) == (fragment.offset, header.size_bytes)
            assert event.start_utc_us == fragment.start_utc_us
            assert event.duration_us == header.duration_90k * US_PER_S // walk.segment.timescale
            assert (event.frames, event.key_frames) == (len(header.sizes), sum(header.is_key))
            assert event.lost_packets == fragment.lost_packets
            assert (event.damaged, event.clock_wrong) == (fragment.damaged, fragment.clock_wrong)


def numbers(recording: Recording, walk: WalkedSegment) -> list[int]:
    """Which pictures a segment holds."""
    data = (recording.root / walk.segment.relative_path).read_bytes()
    found = []
    for fragment in walk.segment.fragments:
        at = fragment.offset + fragment.header.data_offset
        for size in fragment.header.sizes:
            found.append(int.from_bytes(data[at + 5 : at + 9], "big"))
            at += size
    return found

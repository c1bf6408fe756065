from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from segments_by_hand import FRAME_US, T0_US, Camera, Recording

from khupho.archive.catalog.minutes import MinuteFlags, MinuteFold, MinuteRow
from khupho.archive.events import CloseCause
from khupho.units import US_PER_MINUTE

MINUTE = T0_US // US_PER_MINUTE


def take(fold: MinuteFold, start_us: int, duration_us: int, **more) -> None:
    values = {"size_bytes": 100, "frames": 10, "key_frames": 1, "lost_packets": 0}
    values |= {"damaged": False, "clock_wrong": False} | more
    fold.take(T0_US + start_us, duration_us, **values)


def test_time_is_cut_at_the_minute_and_counts_go_where_a_fragment_begins():
    fold = MinuteFold()
    take(fold, 59_700_000, 400_000, damaged=True, clock_wrong=True)
    assert fold.rows() == [
        MinuteRow(MINUTE, 300_000, 10, 1, 100, 0, 300_000, MinuteFlags.CLOCK_WRONG),
        MinuteRow(MINUTE + 1, 100_000, 0, 0, 0, 0, 100_000, MinuteFlags.CLOCK_WRONG),
    ]


def test_unbroken_footage_covers_a_minute_exactly_however_the_anchor_moves():
    for slew_us in (-200, 0, 200):
        fold = MinuteFold()
        start_us = -1_000_000
        while start_us < 121_000_000:
            take(fold, start_us, 400_000)
            start_us += 400_000 + slew_us
        covered = [row.covered_us for row in fold.rows()]
        assert covered[1:-1] == [60_000_000] * (len(covered) - 2)


def test_a_loss_is_not_covered():
    fold = MinuteFold()
    take(fold, 0, 400_000)
    take(fold, 1_400_000, 400_000, lost_packets=7)
    (row,) = fold.rows()
    assert (row.covered_us, row.lost_packets, row.flags) == (800_000, 7, MinuteFlags.BROKEN)


def test_a_broken_file_cannot_fill_the_memory():
    fold = MinuteFold()
    take(fold, 0, 10**15)
    assert len(fold.rows()) <= 24 * 60 + 1


FRAGMENTS = st.lists(
    st.tuples(
        st.integers(-300, 300), st.integers(1, 90_000_000), st.sampled_from([0, 0, 3]),
        st.integers(0, 100_000_000), st.booleans(), st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


@given(FRAGMENTS, st.sets(st.integers(0, 30)))
def test_flushes_make_no_difference(fragments: list, flushes: set[int]):
    whole, flushed = MinuteFold(), MinuteFold()
    table: dict[int, MinuteRow] = {}
    start_us = 0
    for index, (slew_us, duration_us, lost, gap_us, damaged, wrong) in enumerate(fragments):
        start_us += slew_us + (gap_us if lost else 0)
        for fold in (whole, flushed):
            take(fold, start_us, duration_us, lost_packets=lost, damaged=damaged, clock_wrong=wrong)
        start_us += duration_us
        if index in flushes:
            table |= {row.minute: row for row in flushed.changed()}
            flushed.forget_changed()
            assert not flushed.changed()
    table |= {row.minute: row for row in flushed.changed()}
    assert [table[minute] for minute in sorted(table)] == whole.rows()
    flushed.mark_changed()
    assert flushed.changed() == whole.rows()
    for row in whole.rows():
        assert 0 <= row.damaged_us <= row.covered_us <= US_PER_MINUTE
    assert sum(row.frames for row in whole.rows()) == 10 * len(fragments)


def test_recording_and_rebuild_say_the_same(tmp_path: Path):
    recording = Recording(tmp_path / "archive")
    recording.clock.advance(55_000_000)
    writer = recording.writer()
    camera = Camera(recording, writer)
    for number in range(40):
        recording.clock_wrong = number == 20
        if number == 30:
            camera.skip(9)
        camera.play(
            12, change=lambda s, n=number: s._replace(lost_packets=int(n == 30), damaged=n == 31)
        )
    writer.close(CloseCause.STOPPED, recording.arrival())
    live, rebuilt = MinuteFold(), MinuteFold()
    for event in recording.committed:
        live.take(
            event.start_utc_us, event.duration_us, event.size_bytes, event.frames,
            event.key_frames, event.lost_packets, event.damaged, event.clock_wrong,
        )  # fmt: skip
    (walk,) = recording.walks()
    for fragment in walk.segment.fragments:
        rebuilt.take_stored(fragment, walk.segment.timescale)
    assert live.rows() == rebuilt.rows()
    # Nothing is missing but what was lost (nine frames, and each lost frame's uncertain length).
    length_us = walk.segment.end_utc_us - walk.segment.start_utc_us
    missing_us = length_us - sum(row.covered_us for row in live.rows())
    assert missing_us == 0 or 8 * FRAME_US <= missing_us <= 10 * FRAME_US
    assert {b.minute - a.minute for a, b in pairwise(live.rows())} == {1}

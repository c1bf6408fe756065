"""What lands on the disk: cut, timed and told as the design says."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segments_by_hand import (
    FRAME_90K,
    FRAME_US,
    H264,
    OTHER_H264,
    PCMU,
    T0_US,
    Camera,
    Recording,
    batch_of,
    picture,
)
from segments_judged import numbers, whole

from khupho.archive.events import CloseCause
from khupho.archive.place.segment_names import segment_path
from khupho.archive.segments.reader import WalkedSegment
from khupho.archive.segments.track_writer import BatchError
from khupho.media.samples import Sample
from khupho.units import US_PER_MINUTE, US_PER_S


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "archive")


def shown(walk: WalkedSegment) -> list[int]:
    """Presentation times of a segment's samples, from its first one's, in ticks."""
    times = []
    for fragment in walk.segment.fragments:
        at = fragment.header.base_decode_time_90k - walk.segment.edit_media_time
        for index, duration in enumerate(fragment.header.durations):
            times.append(at + (fragment.header.ctts[index] if fragment.header.ctts else 0))
            at += duration
    if walk.segment.fragments[0].header.ctts is None and walk.segment.edit_media_time == 0:
        return times
    return times


def test_fragments_end_before_key_frames_and_with_the_batch(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer, gop=10)
    for _ in range(6):
        camera.play(12)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    frames = [len(fragment.header.sizes) for fragment in walk.segment.fragments]
    assert frames == [10, 2, 8, 4, 6, 6, 4, 8, 2, 10, 10, 2]
    assert numbers(recording, walk) == list(range(72))
    assert shown(walk) == [n * FRAME_90K for n in range(72)]
    assert walk.segment.end_utc_us - walk.segment.start_utc_us == 72 * FRAME_US
    assert walk.segment.start_utc_us == T0_US
    assert walk.closing is not None
    assert (walk.closing.frames, walk.closing.key_frames, walk.closing.fragments) == (72, 8, 12)


def test_a_sessions_first_half_second_is_held_and_not_lost(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(2)
    camera.play(2)
    assert recording.events == []
    writer.close(CloseCause.CONNECTION, recording.arrival())
    (walk,) = whole(recording)
    assert numbers(recording, walk) == [0, 1, 2, 3]


def test_a_burst_at_the_beginning_is_dated_by_its_newest_picture(recording: Recording):
    """Many cameras send what they have since their last key frame, all at once."""
    writer = recording.writer()
    camera = Camera(recording, writer, gop=1000)
    camera.play(3, delay_us=2_000_000)
    for _ in range(5):
        recording.clock.advance(1_000)
        camera.play(10, delay_us=2_000_000 - camera.number * FRAME_US)
    camera.play(1)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert abs(walk.segment.start_utc_us - T0_US) < 300_000


@pytest.mark.quirk(38)
def test_long_pictures_are_long_and_not_gaps(recording: Recording):
    """Quirk 38: a third of a second at night, and less regular things."""
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    lengths = [3_000, 30_000, 3_000, 45_000, 90_000, 3_001, 3_600]
    for length in lengths:
        camera.frame_90k = length
        recording.clock.advance(length * 100 // 9 - FRAME_US if length > 3_600 else 0)
        camera.play(1)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert [d for fragment in walk.segment.fragments for d in fragment.header.durations] == lengths
    assert not any(fragment.lost_packets for fragment in walk.segment.fragments)


def test_a_loss_is_a_jump_of_the_line(recording: Recording):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=50)
    camera.play(10)
    # In the midst of a batch, and again where the batch's end knows of it.
    lost_at = camera.number + 4
    camera.play(
        8,
        change=lambda s: _later(s, camera.number >= lost_at, 5, camera.number == lost_at),
        next_pts=camera.pts + (8 + 5) * FRAME_90K,
    )
    camera.pts += 5 * FRAME_90K
    recording.clock.advance(5 * FRAME_US)
    camera.play(6, next_lost=3, next_pts=camera.pts + (6 + 7) * FRAME_90K)
    camera.skip(7)
    first = camera.number
    camera.play(6, change=lambda s: s._replace(lost_packets=3 if camera.number == first else 0))
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    lost = [(f.lost_packets, len(f.header.sizes)) for f in walk.segment.fragments]
    assert lost == [(0, 10), (0, 4), (9, 4), (0, 6), (3, 6)]
    assert {d for f in walk.segment.fragments for d in f.header.durations} == {FRAME_90K}
    jumps = [
        b.header.base_decode_time_90k - a.header.end_decode_time_90k
        for a, b in pairwise(walk.segment.fragments)
    ]
    assert jumps == [0, 5 * FRAME_90K, 0, 7 * FRAME_90K]


def _later(sample: Sample, is_later: bool, frames: int, is_first: bool) -> Sample:
    if not is_later:
        return sample
    return sample._replace(
        pts_90k=sample.pts_90k + frames * FRAME_90K, lost_packets=9 if is_first else 0
    )


def test_a_picture_that_never_came_whole_leaves_no_hole(recording: Recording):
    """The next access unit had begun and was dropped, without a loss: the line goes on, true to the tick."""
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=50)
    camera.play(4)
    camera.pts += FRAME_90K
    camera.play(4)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert shown(walk) == [n * FRAME_90K for n in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert [f.lost_packets for f in walk.segment.fragments] == [0, 0]


def test_damage_clock_and_salt_are_told(recording: Recording):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(5)
    recording.clock_wrong = True
    camera.play(5, change=lambda s: s._replace(damaged=camera.number == 7))
    camera.play(5)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert [f.damaged for f in walk.segment.fragments] == [False, True, False]
    assert [f.clock_wrong for f in walk.segment.fragments] == [False, True, True]
    salts = {event.header[-64:-48] for event in recording.committed}
    assert len(salts) == 3


@pytest.mark.parametrize("loses", [False, True])
def test_a_jump_of_timestamps_begins_a_segment(recording: Recording, loses: bool):
    writer = recording.writer()
    camera = Camera(recording, writer)
    for _ in range(3):
        camera.play(10)
    camera.pts += 77_000_000
    first = camera.number
    camera.play(
        10,
        change=lambda s: s._replace(
            discontinuity=camera.number == first, lost_packets=int(loses and camera.number == first)
        ),
    )
    camera.play(10)
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert recording.causes == [CloseCause.TIMELINE, CloseCause.STOPPED]
    assert numbers(recording, before) == list(range(30))
    assert after.segment.start_utc_us == before.segment.end_utc_us == T0_US + 30 * FRAME_US


def test_a_jump_in_the_midst_of_a_batch(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer, gop=1000)
    camera.play(20)
    jump_at = camera.number + 4

    def change(sample: Sample) -> Sample:
        moved = sample.pts_90k - 500_000 if camera.number >= jump_at else sample.pts_90k
        return sample._replace(pts_90k=moved, discontinuity=camera.number == jump_at)

    camera.play(10, change=change, next_pts=camera.pts + 10 * FRAME_90K - 500_000)
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert numbers(recording, before) == list(range(24))
    assert numbers(recording, after) == list(range(24, 30))
    assert after.segment.end_utc_us == T0_US + 30 * FRAME_US


@pytest.mark.parametrize("at_end", [False, True])
def test_media_time_that_leaps_ahead_of_its_arrival_is_a_jump(recording: Recording, at_end: bool):
    """Quirk 36: nobody flagged it, but a picture cannot arrive before it was taken."""
    writer = recording.writer()
    camera = Camera(recording, writer, gop=10)
    for _ in range(4):
        camera.play(10)
    jump_at = camera.number + (10 if at_end else 5)
    camera.play(
        10,
        change=lambda s: _later(s, camera.number >= jump_at, 100, False),
        next_pts=camera.pts + 110 * FRAME_90K,
    )
    camera.pts += 100 * FRAME_90K
    for _ in range(4):
        camera.play(10)
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert recording.causes[0] is CloseCause.TIMELINE
    assert numbers(recording, after)[0] == jump_at
    assert abs(after.segment.end_utc_us - T0_US - 90 * FRAME_US) < 1_000
    assert before.segment.end_utc_us - before.segment.start_utc_us == jump_at * FRAME_US


@pytest.mark.parametrize("leap", [10**9, -(10**9), 2**40])
@pytest.mark.parametrize("at", [0, 4, 10])
def test_media_time_that_leaps_for_hours_is_a_jump(recording: Recording, leap: int, at: int):
    """Quirk 34, if the wire let it through: in a batch, at its beginning, or in what is told of the next."""
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer, gop=1000)
    camera.play(10)
    begin = camera.number
    told = camera.pts + 10 * FRAME_90K
    camera.play(
        10,
        change=lambda s: s._replace(
            pts_90k=s.pts_90k + (leap if camera.number >= begin + at else 0)
        ),
        next_pts=told + leap,
    )
    camera.pts += leap
    camera.play(10)
    writer.close(CloseCause.STOPPED, recording.arrival())
    _, after = whole(recording)
    assert recording.causes == [CloseCause.TIMELINE, CloseCause.STOPPED]
    assert numbers(recording, after)[0] == begin + at
    assert abs(after.segment.end_utc_us - T0_US - 30 * FRAME_US) < 1_000


def test_a_change_of_format_begins_a_segment(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(20)
    first = camera.number
    changed = lambda s: s._replace(format=OTHER_H264 if camera.number >= first + 10 else None)  # noqa: E731
    camera.play(20, change=changed)
    camera.play(10, change=lambda s: s._replace(format=OTHER_H264))
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert recording.causes == [CloseCause.FORMAT, CloseCause.STOPPED]
    assert (before.segment.format, after.segment.format) == (H264, OTHER_H264)
    assert len(numbers(recording, after)) == 20
    assert after.segment.start_utc_us == before.segment.end_utc_us


def test_a_new_era_of_the_clock_begins_a_segment(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(25)
    recording.clock.step(3_600 * US_PER_S)
    recording.era = 1
    camera.play(20)
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert recording.causes[0] is CloseCause.CLOCK
    assert (before.facts.era, after.facts.era) == (0, 1)
    assert after.segment.start_utc_us == T0_US + 25 * FRAME_US + 3_600 * US_PER_S


def test_segments_are_ten_minutes_and_staggered(recording: Recording):
    starts = {}
    for name in ("gate", "yard", "alley-7"):
        writer = recording.writer(name)
        camera = Camera(recording, writer, gop=50)
        recording.clock.step(T0_US - recording.clock.utc_us())
        for _ in range(1_500):
            camera.play(25)
        writer.close(CloseCause.STOPPED, recording.arrival())
        mine = [walk for walk in recording.walks() if walk.segment.camera == name]
        lengths = [walk.segment.end_utc_us - walk.segment.start_utc_us for walk in mine]
        assert 5 * US_PER_MINUTE <= lengths[0] <= 10 * US_PER_MINUTE + 2 * US_PER_S
        assert lengths[1] == 10 * US_PER_MINUTE
        assert all(walk.segment.fragments[0].header.is_key[0] for walk in mine)
        assert [a.segment.end_utc_us for a in mine[:-1]] == [
            b.segment.start_utc_us for b in mine[1:]
        ]
        starts[name] = mine[1].segment.start_utc_us
    assert len(set(starts.values())) == 3
    assert set(recording.causes) == {CloseCause.AGE, CloseCause.STOPPED}
    whole(recording)


def test_a_stream_without_key_frames_is_cut_in_the_end(recording: Recording):
    """Quirk 46: intra refresh. Its first picture is no key frame either."""
    writer = recording.writer()
    camera = Camera(recording, writer, gop=10**9, number=1)
    for _ in range(1_300):
        camera.play(25)
    writer.close(CloseCause.STOPPED, recording.arrival())
    walks = whole(recording)
    assert [walk.segment.cause for walk in walks] == [CloseCause.AGE, CloseCause.STOPPED]
    assert walks[0].closing is not None
    assert walks[0].closing.key_frames == 0
    assert sum(len(numbers(recording, walk)) for walk in walks) == 1_300 * 25


def test_sessions_follow_each_other_without_overlap(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(30)
    writer.close(CloseCause.CONNECTION, recording.arrival())
    # Another writer of the same stream, whose clock reading lags the footage that is there.
    recording.clock.step(-300_000)
    again = recording.writer()
    camera = Camera(recording, again, number=30)
    camera.play(20)
    again.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert after.segment.start_utc_us == before.segment.end_utc_us
    assert recording.causes == [CloseCause.CONNECTION, CloseCause.STOPPED]


def test_two_beginnings_in_one_millisecond_get_two_names(recording: Recording):
    path = recording.root / segment_path("gate", "main", T0_US)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody else's")
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(20)
    writer.close(CloseCause.STOPPED, recording.arrival())
    assert path.read_bytes() == b"somebody else's"
    (walk,) = recording.walks()
    assert walk.segment.start_utc_us == T0_US + 1_000


def test_names_are_checked(recording: Recording):
    for camera, stream in (("../etc", "main"), ("Gate", "main"), ("gate", "third"), ("", "sub")):
        with pytest.raises(ValueError, match="no stream is called"):
            recording.writer(camera, stream)


def test_a_batch_that_lacks_bytes_never_becomes_a_file(recording: Recording):
    writer = recording.writer(settle_us=0)
    camera = Camera(recording, writer)
    camera.play(10)
    bits = picture(10, is_key=False)
    for size in (len(bits) + 1, 10 * len(bits)):
        batch = batch_of([Sample(camera.pts, size, False)], [bits], None)
        with pytest.raises(BatchError):
            writer.write(batch, recording.arrival())
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert numbers(recording, walk) == list(range(10))


def test_audio_has_its_own_time_scale(recording: Recording):
    writer = recording.writer(stream="audio")
    frame_90k = 14_400  # 160 ms of 8 kHz sound
    pts = 123
    for number in range(30):
        bits = bytes(1_280)
        first = PCMU if number == 0 else None
        recording.clock.advance(160_000)
        samples = [Sample(pts, len(bits), True, format=first)]
        writer.write(batch_of(samples, [bits], pts + frame_90k), recording.arrival())
        pts += frame_90k
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert walk.segment.timescale == 8_000
    assert {d for f in walk.segment.fragments for d in f.header.durations} == {1_280}
    assert all(all(f.header.is_key) for f in walk.segment.fragments)
    assert walk.segment.end_utc_us - walk.segment.start_utc_us == 30 * 160_000


def test_aac_frames_keep_their_length_though_90_khz_cannot_tell_it(recording: Recording):
    from khupho.media import aac

    track = aac.audio_format("1208")  # 44,100 Hz
    writer = recording.writer(stream="audio")
    for batch in range(20):
        samples, data = [], []
        for index in range(20):
            n = batch * 20 + index
            pts = (n * 1024 * 90_000 + 22_050) // 44_100
            samples.append(Sample(pts, 7, True, format=track if n == 0 else None))
            data.append(bytes(7))
        following = ((batch + 1) * 20 * 1024 * 90_000 + 22_050) // 44_100
        recording.clock.advance(464_399)
        writer.write(batch_of(samples, data, following), recording.arrival())
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = whole(recording)
    assert walk.segment.timescale == 44_100
    assert {d for f in walk.segment.fragments for d in f.header.durations} == {1_024}
    assert [len(f.header.sizes) for f in walk.segment.fragments] == [20] * 20


def test_b_frames_keep_their_times(recording: Recording):
    writer = recording.writer()
    order = [0, 3, 1, 2]
    pts = [gop * 12 + part * 3 + n for gop in range(5) for part in range(4) for n in order[1:]]
    recorded = _play_order(recording, writer, [0, *pts], keys_at=lambda n: n % 12 == 1)
    writer.close(CloseCause.STOPPED, recording.arrival())
    walks = whole(recording)
    (walk,) = walks
    assert walk.segment.edit_media_time == FRAME_90K
    assert shown(walk) == [p * FRAME_90K for p in recorded]
    assert all(f.header.ctts and min(f.header.ctts) >= 0 for f in walk.segment.fragments)


def _play_order(
    recording: Recording, writer, order: list[int], *, keys_at, batch: int = 10
) -> list[int]:
    """Pictures with these presentation times (in frames), in decoding order."""
    for begin in range(0, len(order), batch):
        part = order[begin : begin + batch]
        samples, data = [], []
        for index, number in enumerate(part, begin):
            is_key = index == 0 or keys_at(index)
            data.append(picture(number, is_key=is_key))
            told = H264 if index == 0 else None
            samples.append(Sample(number * FRAME_90K, len(data[-1]), is_key, format=told))
        recording.clock.advance(len(part) * FRAME_US)
        following = order[begin + batch] * FRAME_90K if begin + batch < len(order) else None
        writer.write(batch_of(samples, data, following), recording.arrival())
    return order


def test_reordering_that_shows_late_begins_a_segment_at_the_next_key_frame(recording: Recording):
    writer = recording.writer()
    plain = list(range(30))
    shuffled = [30 + 3 * n + k for n in range(20) for k in (2, 0, 1)]
    _play_order(recording, writer, plain + shuffled, keys_at=lambda n: n % 15 == 0)
    writer.close(CloseCause.STOPPED, recording.arrival())
    before, after = whole(recording)
    assert recording.causes[0] is CloseCause.FORMAT
    assert before.segment.edit_media_time == 0
    assert after.segment.edit_media_time > 0
    assert after.segment.fragments[0].header.is_key[0]
    pictures = numbers(recording, before) + numbers(recording, after)
    assert pictures == plain + shuffled
    # Known from now on, also to the next session.
    again = recording.writer()
    _play_order(recording, again, plain, keys_at=lambda n: n == 0)
    again.close(CloseCause.STOPPED, recording.arrival())
    assert whole(recording)[2].segment.edit_media_time > 0


def test_hashes_are_of_the_payload(recording: Recording):
    writer = recording.writer()
    camera = Camera(recording, writer)
    camera.play(20)
    writer.close(CloseCause.STOPPED, recording.arrival())
    (walk,) = recording.walks()
    data = (recording.root / walk.segment.relative_path).read_bytes()
    for fragment in walk.segment.fragments:
        begin = fragment.offset + fragment.header.data_offset
        payload = data[begin : begin + fragment.header.data_size]
        assert sha256(payload).digest() == fragment.payload_sha256


FRAMES = st.fixed_dictionaries(
    {
        "step": st.sampled_from(
            [3_600] * 8 + [0, 1, -7_200, 30_000, 3_000, 400_000, 40_000_000, -(10**11), 10**11]
        ),
        "is_key": st.sampled_from([True, False, False, False]),
        "lost": st.sampled_from([0] * 6 + [1, 70_000]),
        "damaged": st.booleans(),
        "format": st.sampled_from([None] * 6 + [H264, OTHER_H264]),
        "jump": st.sampled_from([False] * 9 + [True]),
        "size": st.integers(6, 90),
    }
)
BATCHES = st.lists(
    st.tuples(
        st.lists(FRAMES, min_size=1, max_size=9),
        st.integers(0, 900_000),
        st.sampled_from([None, 3_600, 0, -90_000, 500_000, 10**11, -(10**11)]),
        st.integers(0, 2),
        st.sampled_from([False] * 8 + [True]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BATCHES, st.sampled_from([0, 500_000]))
def test_whatever_a_camera_sends(
    tmp_path_factory: pytest.TempPathFactory, batches: list, settle_us: int
):
    """No picture is lost or doubled, and every invariant of a segment holds."""
    recording = Recording(tmp_path_factory.mktemp("any") / "archive")
    writer = recording.writer(settle_us=settle_us)
    sent: list[bytes] = []
    pts = 0
    for frames, pause_us, following, next_lost, closes in batches:
        samples, data = [], []
        for frame in frames:
            bits = picture(len(sent), is_key=frame["is_key"], size_bytes=max(frame["size"], 9))
            sent.append(bits)
            data.append(bits)
            told = frame["format"] or (H264 if len(sent) == 1 else None)
            samples.append(
                Sample(
                    pts, len(bits), frame["is_key"], frame["lost"], frame["damaged"], told,
                    frame["jump"],
                )
            )  # fmt: skip
            pts += frame["step"]
        recording.clock.advance(pause_us)
        next_pts = None if following is None else pts + following
        writer.write(batch_of(samples, data, next_pts, next_lost), recording.arrival())
        if closes:
            writer.close(CloseCause.CONNECTION, recording.arrival())
    writer.close(CloseCause.STOPPED, recording.arrival())
    stored = []
    for walk in whole(recording):
        data_bytes = (recording.root / walk.segment.relative_path).read_bytes()
        for fragment in walk.segment.fragments:
            at = fragment.offset + fragment.header.data_offset
            for size in fragment.header.sizes:
                stored.append(data_bytes[at : at + size])
                at += size
    assert stored == sent

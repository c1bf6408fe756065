"""The comparison of recorded samples with the source's, held against recordings spoiled on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comparison import Hole, Shift, best_source, compare
from film import FRAME_90K, Unit, is_set_or_delimiter, nal_units, unit_digest

COUNT = 40
KEYS = 10


def units(count: int = COUNT, seed: bytes = b"film") -> list[Unit]:
    return [
        Unit(seed + bytes([number]), number * FRAME_90K, number % KEYS == 0, 100 + number)
        for number in range(count)
    ]


def shifted(samples: list[Unit], by_90k: int) -> list[Unit]:
    return [replace(sample, pts_90k=sample.pts_90k + by_90k) for sample in samples]


def test_a_whole_recording_has_no_fault():
    result = compare(units(), shifted(units()[10:35], -7_777))
    assert result.faults == []
    assert (result.first, result.last, result.matched, result.lost) == (10, 34, 25, 0)


def test_reordered_pictures_are_no_disorder():
    source = units()
    for first in range(1, COUNT - 3, 3):
        # Decoded as 3 1 2, shown as 1 2 3.
        part = source[first : first + 3]
        times = [part[2].pts_90k, part[0].pts_90k, part[1].pts_90k]
        source[first : first + 3] = [
            replace(unit, pts_90k=pts) for unit, pts in zip(part, times, strict=True)
        ]
    assert compare(source, shifted(source, 5)).faults == []


def test_nothing_recorded_is_a_fault():
    assert compare(units(), []).faults == ["nothing of the source was recorded"]
    assert len(compare(units(), units(seed=b"other")).faults) == 2


def test_holes_are_told_with_their_place():
    recorded = [unit for number, unit in enumerate(units()) if number not in (5, 6, 7, 20)]
    result = compare(units(), recorded)
    assert result.holes == [Hole(4, 3), Hole(19, 1)]
    assert result.lost == 4
    assert result.faults and not result.shifts, "a hole alone moves no time"


def test_a_hole_closed_up_shows_as_wrong_times():
    recorded = units()
    del recorded[12]
    recorded[12:] = shifted(recorded[12:], -FRAME_90K)
    result = compare(units(), recorded)
    assert result.holes == [Hole(11, 1)]
    assert len(result.shifts) == COUNT - 13
    assert result.shifts[0] == Shift(13, -FRAME_90K)


def test_duplicates():
    recorded = units()
    recorded.insert(9, recorded[8])
    result = compare(units(), recorded)
    assert result.duplicates == [9]
    assert result.matched == COUNT and not result.disorder


def test_disorder():
    recorded = units()
    recorded[20], recorded[21] = recorded[21], recorded[20]
    result = compare(units(), recorded)
    assert result.disorder == [21]
    assert not result.holes


def test_strangers():
    recorded = units()
    recorded[3] = replace(recorded[3], digest=b"spoiled")
    result = compare(units(), recorded)
    assert result.strangers == [3]
    assert result.holes == [Hole(2, 1)]


def test_one_time_wrong_and_drift():
    recorded = units()
    recorded[7] = replace(recorded[7], pts_90k=recorded[7].pts_90k + 2)
    assert compare(units(), recorded).shifts == [Shift(7, 2)]
    assert not compare(units(), recorded, slack_90k=2).shifts
    drifting = [replace(unit, pts_90k=unit.pts_90k + n) for n, unit in enumerate(units())]
    assert compare(units(), drifting, slack_90k=1).shifts[0] == Shift(2, 2)


def test_wrong_key_flags():
    recorded = units()
    recorded[10] = replace(recorded[10], is_key=False)
    recorded[11] = replace(recorded[11], is_key=True)
    assert compare(units(), recorded).wrong_keys == [10, 11]


def test_best_source():
    films = [units(seed=b"one"), units(seed=b"two")]
    assert best_source(films, films[1][5:9]) is films[1]


SLICE_264, SLICE_265 = b"\x65slice", b"\x26\x01slice"


@pytest.mark.parametrize(
    ("codec", "picture", "sets"),
    [
        ("h264", SLICE_264, [b"\x67sps", b"\x68pps", b"\x09\xf0"]),
        ("h265", SLICE_265, [b"\x40\x01vps", b"\x42\x01sps", b"\x44\x01pps", b"\x46\x01\x50"]),
    ],
)
def test_digest_is_of_the_picture_alone(codec: str, picture: bytes, sets: list[bytes]):
    assert all(is_set_or_delimiter(nal, codec) for nal in sets)
    assert not is_set_or_delimiter(picture, codec)

    def lengths(*nals: bytes) -> bytes:
        return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)

    bare = unit_digest(lengths(picture, picture), codec)
    assert unit_digest(lengths(*sets, picture, picture), codec) == bare
    start_codes = b"".join(b"\0\0\0\1" + nal for nal in [*sets, picture, picture])
    assert unit_digest(start_codes, codec) == bare
    assert unit_digest(lengths(picture), codec) != bare
    assert unit_digest(lengths(picture + picture), codec) != bare


@pytest.mark.parametrize("size", [1, 256, 300, 511, 0x0101])
def test_a_length_that_looks_like_a_start_code(size: int):
    nals = [b"\x65" * size, b"\x41" * 7]
    assert list(nal_units(b"".join(len(n).to_bytes(4, "big") + n for n in nals))) == nals


def test_a_sample_cut_short_is_refused():
    with pytest.raises(ValueError, match="NAL unit"):
        list(nal_units(b"\0\0\0\5abcde\0\0\0\6abc"))

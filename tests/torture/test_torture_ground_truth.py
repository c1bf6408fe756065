"""The comparison itself: it finds every kind of missing, doubled or wrong picture."""

from __future__ import annotations

import pytest
from ground_truth import Digests, Expected, Missing, Recorded, compare


def sent(*lossy: int, count: int = 20) -> list[Expected]:
    return [
        Expected(100 + n, b"%d" % (n % 30), n * 3600, n % 5 == 0, (7000 + n,) * (n in lossy), n in lossy)
        for n in range(count)
    ]  # fmt: skip


def kept(*numbers: int, lost_before: dict[int, int] | None = None) -> list[Recorded]:
    lost_before = lost_before or {}
    return [
        Recorded(
            "x.mp4", n, b"%d" % (n % 30), n * 40_000, 40_000, n % 5 == 0, True,
            lost_before.get(n, 0), False,
        )
        for n in numbers
    ]  # fmt: skip


def test_all_there():
    found = compare(sent(), kept(*range(20)))
    assert (found.head, found.tail, found.missing, found.whole_missing) == (0, 0, [], 0)


def test_head_and_tail():
    found = compare(sent(), kept(*range(5, 17)))
    assert (found.head, found.tail, found.tail_us()) == (5, 3, 120_000)
    assert found.first.number == 105
    assert found.last.number == 116


def test_after_a_loss_all_up_to_the_next_key_frame_is_dropped():
    rest = [n for n in range(20) if n not in (7, 8, 9)]
    found = compare(sent(7, 8), kept(*rest, lost_before={10: 2}))
    assert found.missing == [Missing(107, 3, 0)]
    assert (found.lost_packets, found.declared_lost, found.whole_missing) == (2, 2, 0)
    found = compare(sent(7), kept(*(n for n in rest if n != 10)))
    assert found.whole_missing == 1


def test_the_time_tells_which_round_of_the_clip_it_is():
    lossy = sent(2, 5, 10, 15, 20, 25, 30, count=60)
    found = compare(lossy, kept(0, 1, *range(35, 60)))
    assert found.missing == [Missing(102, 33, 0)]


def test_a_whole_picture_that_is_missing_is_told():
    found = compare(sent(), kept(*(n for n in range(20) if n != 11)))
    assert found.whole_missing == 1


@pytest.mark.parametrize(
    "wrong",
    [kept(0, 1, 2, 2, 3), kept(0, 2, 1), [kept(3)[0]._replace(digest=b"other")],
     [kept(5)[0]._replace(is_key=False)]],
)  # fmt: skip
def test_doubled_disordered_and_foreign_pictures_are_refused(wrong):
    with pytest.raises(AssertionError):
        compare(sent(), wrong)


def test_a_picture_that_lost_a_packet_must_not_be_there():
    with pytest.raises(AssertionError, match="dropped"):
        compare(sent(3), kept(*range(20)))


def test_the_clip_shows_no_picture_twice(torture_clip):
    assert len(set(Digests(torture_clip).by_unit)) == 200

"""Sessions against the simulated street: what it sent is what the writers get, frame for frame."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from keeping_room import Kept, keeping_room, source
from recorder_street import Street, street

from khupho.archive.events import CloseCause
from khupho.errors import Fault
from khupho.recorder.snapshot import Phase


def sent(street: Street, number: int = 1, stream: str = "main") -> list[dict[str, Any]]:
    truth = street.truth(number, stream)
    assert truth is not None
    units: list[dict[str, Any]] = truth["units"]
    return units


def same_line(kept: Kept, units: list[dict[str, Any]]) -> None:
    """Each sample is the unit in its place: key flags, and distances in time."""
    assert len(kept.samples) == len(units)
    assert [s.is_key for s in kept.samples] == [u["is_key"] for u in units]
    start, began = kept.samples[0].pts_90k, units[0]["pts_90k"]
    assert [s.pts_90k - start for s in kept.samples] == [u["pts_90k"] - began for u in units]
    assert not any(s.lost_packets or s.damaged for s in kept.samples)


@pytest.fixture(scope="module")
def two(clip_file) -> Iterator[Street]:
    with street(clip_file(), "--count", "4", "--sub-video", str(clip_file("h264", "160x120"))) as s:
        yield s


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_that_was_sent_is_written_to_the_last(two: Street, transport: str) -> None:
    async def scene() -> None:
        async with keeping_room(source(two, transport=transport)) as made:
            await made.until(lambda: made.frames("c1") >= 60)
            assert made.stream("c1").transport == transport
            await made.engine.stop()
            kept = made.kept["c1", "main"]
            units = sent(two)
            # A few may leave the camera while TEARDOWN is on its way to it; what had come is there.
            assert 0 <= len(units) - len(kept.samples) <= 5
            same_line(kept, units[: len(kept.samples)])
            assert kept.closed == [CloseCause.STOPPED]
            assert len(set(kept.hashes)) > 50

    asyncio.run(scene())


def test_a_reload_touches_no_unchanged_camera_to_the_frame(two: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(two, 1), source(two, 2), source(two, 3)) as made:
            await made.until(lambda: all(made.frames(f"c{n}") >= 20 for n in (1, 2, 3)))
            sessions = two.truth(1)
            assert sessions is not None
            for turn in range(3):
                changed = source(two, 2, audio=bool(turn % 2))
                added = [source(two, 4)] if turn % 2 else []
                await made.engine.apply([source(two, 1), changed, *added])
            before = made.frames("c1")
            await made.until(lambda: made.frames("c1") >= before + 40)
            await made.engine.stop()
            kept = made.kept["c1", "main"]
            truth = two.truth(1)
            assert truth is not None
            assert truth["session"] == sessions["session"]
            same_line(kept, truth["units"][: len(kept.samples)])
            assert kept.closed == [CloseCause.STOPPED]
            # c2 began anew each time that it changed, c3 was ended for good.
            assert made.kept["c2", "main"].closed.count(CloseCause.STOPPED) >= 2
            assert made.kept["c3", "main"].closed == [CloseCause.STOPPED]
            assert made.frames("c4") or made.frames("c2")

    asyncio.run(scene())


def test_small_streams_run_beside(two: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(two), source(two, stream="sub")) as made:
            await made.until(lambda: made.frames("c1") > 30 and made.frames("c1", "sub") > 30)
            main, sub = made.stream("c1"), made.stream("c1", "sub")
            assert (main.width_px, sub.width_px) == (320, 160)
            assert main.phase is sub.phase is Phase.PLAYING

    asyncio.run(scene())


def test_sound_that_is_not_offered_is_a_note_not_a_failure(two: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(two, audio=True)) as made:
            await made.until(lambda: made.frames("c1") > 5)
            assert made.stream("c1").audio_note == "the camera offers no sound that can be recorded"

    asyncio.run(scene())


def test_a_camera_that_restarts_is_found_again_and_another_never_notices(two: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(two, 1), source(two, 2)) as made:
            await made.until(lambda: made.frames("c1") > 10 and made.frames("c2") > 10)
            two.fault("camera-0001:reboot=1.5")
            kept = made.kept["c1", "main"]
            await made.until(lambda: kept.closed)
            await made.until(lambda: made.stream("c1").trouble is not None)
            gone = made.stream("c1")
            assert gone.trouble is not None
            assert gone.trouble.fault in (Fault.CAMERA, Fault.NETWORK)
            at_break = kept.breaks[0]
            await made.until(lambda: made.frames("c1") > at_break + 10)
            assert kept.closed == [CloseCause.CONNECTION]
            assert kept.samples[at_break].is_key
            await made.until(lambda: made.stream("c1").trouble is None)
            await made.engine.stop()
            other = made.kept["c2", "main"]
            same_line(other, sent(two, 2)[: len(other.samples)])

    asyncio.run(scene())

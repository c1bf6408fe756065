"""A picture that the end of a reading cuts is put off, once, and nothing of it is lost."""

from __future__ import annotations

import pytest
from rtp_by_hand import (
    FRAME_90K,
    Reading,
    Sender,
    fragments,
    frame,
    key_picture,
    mp4,
    new_reader,
    slice_nal,
)

from khupho.wire.rtp.fast_path import FastPath
from khupho.wire.rtp.interleaved import InterleavedReader

FRAGMENT = 40
PICTURES = 8
PER_PICTURE = 5
SCRATCH = memoryview(bytearray(1 << 17))


def feed(reader: InterleavedReader, reading: Reading, data: bytes) -> None:
    start = reader.begin(SCRATCH)
    SCRATCH[start : start + len(data)] = data
    reading.take(reader.feed(SCRATCH, start + len(data)))


def street(ticks: int = FRAME_90K) -> tuple[list[bytes], list[bytes]]:
    """Frames, and the samples that they are: a key frame, and pictures of five fragments."""
    sender = Sender()
    units = [key_picture(sender)]
    for _ in range(PICTURES):
        nal = slice_nal(FRAGMENT * PER_PICTURE - 10)
        sender.picture(*fragments(nal, FRAGMENT), ticks=ticks)
        units.append(mp4(nal))
    return [frame(packet) for packet in sender.packets], units


@pytest.mark.parametrize("there", range(1, PER_PICTURE))
@pytest.mark.parametrize("cut_bytes", [0, 1, 30])
def test_a_cut_picture_waits_for_its_end(there: int, cut_bytes: int) -> None:
    frames, units = street()
    data = b"".join(frames)
    rest = b"".join(frames[there - PER_PICTURE :])
    at = len(data) - len(rest) + cut_bytes
    reader, reading = new_reader(maker=FastPath), Reading()
    feed(reader, reading, data[:at])
    assert reading.packets == len(frames) - PER_PICTURE
    feed(reader, reading, data[at:])
    assert reading.packets == len(frames)
    reading.take(reader.finish())
    assert reading.units == units
    assert set(reading.lost) == {0}


def test_the_same_picture_is_put_off_only_once() -> None:
    frames, units = street()
    reader, reading = new_reader(maker=FastPath), Reading()
    feed(reader, reading, b"".join(frames[:-3]))
    assert reading.packets == len(frames) - PER_PICTURE
    feed(reader, reading, frames[-3])
    assert reading.packets == len(frames) - 2
    feed(reader, reading, frames[-2] + frames[-1])
    reading.take(reader.finish())
    assert reading.units == units
    assert reading.packets == len(frames)


def test_what_was_put_off_when_the_session_ends_is_taken() -> None:
    """Of a picture that never came whole nothing is handed out, but the one before it is, and the packets
    are counted."""
    frames, units = street()
    reader, reading = new_reader(maker=FastPath), Reading()
    feed(reader, reading, b"".join(frames[:-2]))
    assert len(reading.units) == len(units) - 2
    reading.take(reader.finish())
    assert reading.units == units[:-1]
    assert reading.packets == len(frames) - 2
    assert reader.reception(0).received == len(frames) - 2


def test_a_large_picture_is_not_put_off() -> None:
    frames, units = street()
    sender = Sender(sequence=100 + len(frames), timestamp=1_000_000 + 3600 * (PICTURES + 1))
    large = fragments(slice_nal(FRAGMENT * 1500), FRAGMENT)
    sender.picture(*large)
    reader, reading = new_reader(maker=FastPath), Reading()
    begun = [frame(packet) for packet in sender.packets[:1400]]
    feed(reader, reading, b"".join(frames + begun))
    assert reading.packets == len(frames) + len(begun)
    assert reading.units == units


def test_at_few_pictures_a_second_nothing_is_put_off() -> None:
    """Or the one before would wait for long."""
    frames, units = street(ticks=90_000)
    reader, reading = new_reader(maker=FastPath), Reading()
    feed(reader, reading, b"".join(frames[:-2]))
    assert reading.units == units[:-1]
    assert reading.packets == len(frames) - 2

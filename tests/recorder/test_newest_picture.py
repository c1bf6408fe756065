"""The newest key frame on the disk is found, read whole and decoded; damage ends in no picture."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import av
import pytest

from khupho.clock import ManualClock
from khupho.media import h264
from khupho.media.fmp4 import Keys, fragment_header, init_segment
from khupho.media.formats import VideoFormat
from khupho.recorder import still_process
from khupho.recorder.newest_picture import KeyFrame, NewestPictures
from khupho.recorder.still_process import answer, to_jpeg
from khupho.recorder.stills import FRESH_US, IDLE_US, Stills
from khupho.units import US_PER_S, utc_us_to_ntp

START_UTC_US = 1_795_000_000_000_000
FRAME_90K = 3_600
GOP = 12


class Film:
    """A clip's format and frames."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            sps, pps = h264.parameter_sets_of_record(bytes(stream.codec_context.extradata or b""))
            self.format: VideoFormat = h264.video_format(sps, pps)
            self.frames = [bytes(packet) for packet in container.demux(stream) if packet.size]

    def fragment(self, sequence: int, first: int, count: int, *, key: bool) -> bytes:
        """Frames from `first` on; only the first of them may be a key frame."""
        chosen = self.frames[first : first + count]
        header = fragment_header(
            sequence,
            first * FRAME_90K,
            [FRAME_90K] * count,
            [len(frame) for frame in chosen],
            data_size=sum(map(len, chosen)),
            ntp_64=utc_us_to_ntp(START_UTC_US + first * 40_000),
            media_time_for_prft=first * FRAME_90K,
            keys=Keys.FIRST if key else Keys.NONE,
        )
        return header + b"".join(chosen)


@pytest.fixture(scope="module")
def film(clip_file) -> Film:  # type: ignore[no-untyped-def]  # a function
    return Film(clip_file())


def segment(root: Path, name: str = "2026-11-18/000000.000Z.mp4", camera: str = "gate") -> Path:
    path = root / camera / "main" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_the_last_key_frame_of_the_newest_segment_is_the_one(tmp_path: Path, film: Film) -> None:
    old = segment(tmp_path, "2026-11-17/235000.000Z.mp4")
    old.write_bytes(init_segment(film.format) + film.fragment(1, 0, GOP, key=True))
    new = segment(tmp_path)
    new.write_bytes(
        init_segment(film.format)
        + film.fragment(1, 0, GOP, key=True)
        + film.fragment(2, GOP, 5, key=True)
        + film.fragment(3, GOP + 5, 7, key=False)
    )
    frame = NewestPictures(tmp_path).find("gate")
    assert frame is not None
    assert frame.taken_utc_us == START_UTC_US + GOP * 40_000
    assert frame.data == film.frames[GOP]
    assert frame.format == film.format


def test_a_segment_that_grows_is_read_on_from_where_it_was(tmp_path: Path, film: Film) -> None:
    path = segment(tmp_path)
    whole = init_segment(film.format) + film.fragment(1, 0, GOP, key=True)
    path.write_bytes(whole)
    pictures = NewestPictures(tmp_path)
    first = pictures.find("gate")
    more = film.fragment(2, GOP, GOP, key=True)
    path.write_bytes(whole + more[: len(more) // 2])  # being written at this moment
    assert pictures.find("gate") == first
    path.write_bytes(whole + more)
    second = pictures.find("gate")
    assert second is not None
    assert second.data == film.frames[GOP]


def test_an_older_segment_serves_while_the_newest_has_no_key_frame(
    tmp_path: Path, film: Film
) -> None:
    segment(tmp_path, "2026-11-18/000000.000Z.mp4").write_bytes(
        init_segment(film.format) + film.fragment(1, 0, GOP, key=True)
    )
    segment(tmp_path, "2026-11-18/001000.000Z.mp4").write_bytes(
        init_segment(film.format) + film.fragment(1, 1, 4, key=False)
    )
    segment(tmp_path, "2026-11-18/002000.000Z.mp4").write_bytes(b"garbage")
    frame = NewestPictures(tmp_path).find("gate")
    assert frame is not None
    assert frame.data == film.frames[0]
    assert NewestPictures(tmp_path).find("nobody") is None


def test_it_decodes_to_a_small_jpeg(film: Film) -> None:
    jpeg = to_jpeg(KeyFrame(film.format, 0, film.frames[0]), 160)
    assert jpeg is not None
    with av.open(io.BytesIO(jpeg)) as container:
        [picture] = list(container.decode(video=0))
    assert (picture.width, picture.height) == (160, 120)
    # A test picture in colour is not grey.
    assert len(set(bytes(picture.reformat(format="gray").planes[0]))) > 50


@pytest.mark.parametrize("data", [b"", b"\0\0\0\5abc", b"\xff" * 64, b"\0\0\0\1\x65" * 50])
def test_what_a_hostile_camera_sends_is_no_picture(film: Film, data: bytes) -> None:
    assert to_jpeg(KeyFrame(film.format, 0, data)) is None


def test_nothing_new_costs_no_decoding(
    tmp_path: Path, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(tmp_path).write_bytes(init_segment(film.format) + film.fragment(1, 0, 3, key=True))
    pictures = NewestPictures(tmp_path)
    head, jpeg = answer(pictures, "gate", 0)
    assert head == {"taken_utc_us": START_UTC_US, "size": len(jpeg)}
    monkeypatch.setattr(still_process, "to_jpeg", None)  # called, it would raise
    assert answer(pictures, "gate", START_UTC_US) == (
        {"taken_utc_us": START_UTC_US, "size": 0}, b"",
    )  # fmt: skip
    assert answer(pictures, "nobody", 5) == ({"taken_utc_us": 0, "size": 0}, b"")


def test_the_process_answers_is_asked_seldom_and_goes_when_nobody_looks(
    tmp_path: Path, film: Film
) -> None:
    segment(tmp_path).write_bytes(init_segment(film.format) + film.fragment(1, 0, 3, key=True))
    clock = ManualClock()

    async def scene() -> None:
        stills = Stills(tmp_path, clock)
        first = await stills.newest("gate")
        assert first is not None
        assert first.taken_utc_us == START_UTC_US
        assert await stills.newest("nobody") is None
        segment(tmp_path, "2026-11-18/001000.000Z.mp4").write_bytes(
            init_segment(film.format) + film.fragment(1, GOP, 3, key=True)
        )
        assert await stills.newest("gate") == first
        clock.advance(FRESH_US)
        second = await stills.newest("gate")
        assert second is not None
        assert second.taken_utc_us == START_UTC_US + GOP * 40_000
        process = stills._process
        assert process is not None
        assert process.returncode is None
        clock.advance(IDLE_US + US_PER_S)
        await stills.forget(frozenset({"gate"}))
        assert process.returncode is not None
        clock.advance(FRESH_US)
        assert await stills.newest("gate") is not None  # begun anew
        await stills.close()

    asyncio.run(scene())


def test_a_decoder_that_dies_or_hangs_costs_one_picture(
    tmp_path: Path, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(tmp_path).write_bytes(init_segment(film.format) + film.fragment(1, 0, 3, key=True))
    monkeypatch.setattr("khupho.recorder.stills.PATIENCE_S", 10)
    clock = ManualClock()

    async def scene() -> None:
        stills = Stills(tmp_path, clock)
        first = await stills.newest("gate")
        assert first is not None
        process = stills._process
        assert process is not None
        process.kill()
        await process.wait()
        clock.advance(FRESH_US)
        assert await stills.newest("gate") == first
        await stills.close()

    asyncio.run(scene())

"""Stills of moments: the source's pictures, each made once, and no work for who went away."""

from __future__ import annotations

import asyncio
import io
import math
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import pytest
from viewing_footage import FRAME_US, GOP, Films, RealArchive

from khupho.archive.archive_reader import ArchiveReader
from khupho.clock import ManualClock, SystemClock
from khupho.errors import Fault
from khupho.recorder.newest_picture import KeyFrame
from khupho.recorder.stills import Still, StillError, Stills
from khupho.recorder.viewing import moments
from khupho.recorder.viewing.library import Library, LibraryBusyError
from khupho.recorder.viewing.moments import MomentStills, StillsBusyError, frame_at
from khupho.units import US_PER_S


def luma(jpeg_or_path: bytes | Path, width: int, number: int = 0) -> tuple[bytes, int, int]:
    """Grey values of a picture, full range, scaled to so wide; and its size before."""
    source = io.BytesIO(jpeg_or_path) if isinstance(jpeg_or_path, bytes) else str(jpeg_or_path)
    with av.open(source) as container:
        picture = next(p for n, p in enumerate(container.decode(video=0)) if n == number)
    was = picture.width, picture.height
    height = picture.height * width // picture.width & ~1
    small = picture.reformat(width, height, "gray", interpolation="AREA")
    plane = small.planes[0]
    rows = bytes(plane)
    pixels = b"".join(
        rows[row * plane.line_size : row * plane.line_size + width] for row in range(height)
    )
    return pixels, *was


def psnr_db(one: bytes, other: bytes) -> float:
    assert len(one) == len(other)
    error = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(one)
    return math.inf if not error else 10 * math.log10(255 * 255 / error)


def play_scene(archive: RealArchive, scene: Callable[[MomentStills], Awaitable[None]]) -> None:
    """With the real process."""

    async def run() -> None:
        library = Library(archive.root, SystemClock())
        stills = Stills(archive.root, SystemClock())
        shown = MomentStills(library, stills)
        try:
            await scene(shown)
        finally:
            await shown.close()
            await stills.close()
            library.close()

    asyncio.run(run())


@pytest.mark.parametrize("codec", ["h264-b", "h265"])
def test_stills_are_the_sources_pictures(films: Films, archive: RealArchive, codec: str) -> None:
    film = films(codec, "640x480")
    archive.record(film)
    start_us = archive.start_of()

    async def scene(stills: MomentStills) -> None:
        for asked, width, height in [
            (160, 160, 120), (161, 320, 240), (320, 320, 240), (0, 640, 480), (640, 640, 480),
            (1280, 640, 480), (5_000, 640, 480),
        ]:  # fmt: skip
            still = await stills.at("gate", "main", start_us + 65 * FRAME_US, asked)
            assert still is not None
            assert still.taken_utc_us == start_us + 60 * FRAME_US
            pixels, *was = luma(still.jpeg, 160)
            assert was == [width, height]
            assert psnr_db(pixels, luma(film.path, 160, 60)[0]) > 32
            assert psnr_db(pixels, luma(film.path, 160, 40)[0]) < 26
        assert await stills.at("gate", "main", start_us - US_PER_S, 320) is None

    play_scene(archive, scene)


def test_the_process_survives_what_is_no_picture(films: Films, archive: RealArchive) -> None:
    film = films("h264")
    broken = [frame._replace(data=b"\0\0\0\5abcde") for frame in film.frames]
    archive.record(film._replace(frames=broken))
    archive.record(film)

    async def scene(stills: MomentStills) -> None:
        start_us = archive.start_of()
        assert await stills.at("gate", "main", start_us, 320) is None
        assert await stills.at("gate", "main", archive.start_of(1), 320) is not None

    play_scene(archive, scene)


class SlowDecoder:
    """Makes a still when it is told to."""

    def __init__(self) -> None:
        self.may_go = asyncio.Event()
        self.began: list[tuple[int, int]] = []
        self.jpeg: bytes | None = b"jpeg"
        self.error: Exception | None = None

    async def decode(self, frame: KeyFrame, width_px: int) -> bytes | None:
        self.began.append((frame.taken_utc_us, width_px))
        await self.may_go.wait()
        if self.error is not None:
            raise self.error
        return self.jpeg


class InstantLibrary(Library):
    """Answers without a thread."""

    def __init__(self, reader: ArchiveReader) -> None:
        self.reader = reader

    async def ask(self, question):
        await asyncio.sleep(0)
        return question(self.reader)


def play_slowly(
    archive: RealArchive, scene: Callable[[MomentStills, SlowDecoder], Awaitable[None]]
) -> None:
    async def run() -> None:
        decoder = SlowDecoder()
        with archive.reader() as reader:
            stills = MomentStills(InstantLibrary(reader), decoder)
            try:
                async with asyncio.timeout(20):
                    await scene(stills, decoder)
            finally:
                await stills.close()

    asyncio.run(run())


async def settle() -> None:
    """Let everybody go as far as he gets."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_askers_of_one_picture_share_it_and_it_is_kept(films: Films, archive: RealArchive) -> None:
    archive.record(films("h264"))
    start_us = archive.start_of()

    async def scene(stills: MomentStills, decoder: SlowDecoder) -> None:
        asking = [
            asyncio.ensure_future(stills.at("gate", "main", start_us + n * FRAME_US, 320))
            for n in range(GOP)
        ]
        await settle()
        assert len(stills._making) == 1 and _askers(stills) == GOP
        decoder.may_go.set()
        made = await asyncio.gather(*asking)
        assert set(made) == {Still(start_us, b"jpeg")}
        assert decoder.began == [(start_us, 320)]
        assert await stills.at("gate", "main", start_us, 300) == made[0]
        assert len(decoder.began) == 1
        await stills.at("gate", "main", start_us, 640)
        await stills.at("gate", "main", start_us + GOP * FRAME_US, 320)
        assert len(decoder.began) == 3
        assert not stills._making

    play_slowly(archive, scene)


def _askers(stills: MomentStills) -> int:
    return sum(making.askers for making in stills._making.values())


def test_too_many_are_told_to_come_again(films: Films, archive: RealArchive) -> None:
    archive.record(films("h264"))
    start_us = archive.start_of()

    async def scene(stills: MomentStills, decoder: SlowDecoder) -> None:
        asking = [
            asyncio.ensure_future(stills.at("gate", "main", start_us, 320)) for _ in range(32)
        ]
        await settle()
        assert _askers(stills) == 32
        with pytest.raises(StillsBusyError, match="Too many") as raised:
            await stills.at("gate", "main", start_us, 320)
        assert isinstance(raised.value, LibraryBusyError)
        decoder.may_go.set()
        await asyncio.gather(*asking)
        assert await stills.at("gate", "main", start_us, 320) is not None

    play_slowly(archive, scene)


def test_who_goes_away_leaves_no_work(films: Films, archive: RealArchive) -> None:
    archive.record(films("h264"))
    start_us = archive.start_of()

    def ask(stills: MomentStills, group: int) -> asyncio.Future[Still | None]:
        at_us = start_us + group * GOP * FRAME_US
        return asyncio.ensure_future(stills.at("gate", "main", at_us, 320))

    async def scene(stills: MomentStills, decoder: SlowDecoder) -> None:
        first = ask(stills, 0)
        await settle()
        assert len(decoder.began) == 1
        waiting = [ask(stills, 1), ask(stills, 2), ask(stills, 2)]
        await settle()
        assert _askers(stills) == 4
        waiting[0].cancel()
        waiting[1].cancel()
        first.cancel()  # its decoding has begun: the process isn't broken off
        await asyncio.wait([first, *waiting[:2]])
        assert len(stills._making) == 2
        decoder.may_go.set()
        assert await waiting[2] is not None
        assert [taken for taken, _ in decoder.began] == [start_us, start_us + 2 * GOP * FRAME_US]
        # What was made for nobody is kept for the next one; what wasn't begun is made when it is asked for.
        assert await ask(stills, 0) is not None
        assert len(decoder.began) == 2
        assert await ask(stills, 1) is not None
        assert len(decoder.began) == 3

    play_slowly(archive, scene)


def test_failures_are_told_to_all_and_not_kept(films: Films, archive: RealArchive) -> None:
    archive.record(films("h264"))
    start_us = archive.start_of()

    async def scene(stills: MomentStills, decoder: SlowDecoder) -> None:
        decoder.may_go.set()
        decoder.error = StillError("No picture could be made: TimeoutError")
        answers = await asyncio.gather(
            *(stills.at("gate", "main", start_us, 320) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(answer, StillError) for answer in answers)
        decoder.error, decoder.jpeg = None, None
        assert await stills.at("gate", "main", start_us, 320) is None
        asked = len(decoder.began)
        assert await stills.at("gate", "main", start_us, 320) is None
        assert len(decoder.began) == asked  # that it is no picture is kept

    play_slowly(archive, scene)


def test_memory_is_bounded(
    films: Films, archive: RealArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "_MOST_KEPT_BYTES", 3_000)
    archive.record(films("h264"))
    start_us = archive.start_of()

    async def scene(stills: MomentStills, decoder: SlowDecoder) -> None:
        decoder.may_go.set()
        decoder.jpeg = bytes(800)
        for group in (0, 1, 0, 2, 0, 3):
            await stills.at("gate", "main", start_us + group * GOP * FRAME_US, 320)
            assert stills.kept_bytes <= 3_000
        assert len(decoder.began) == 4
        assert [taken - start_us for _, _, taken, _ in stills._kept] == [0, 3 * GOP * FRAME_US]
        decoder.jpeg = bytes(5_000)
        await stills.at("gate", "main", start_us + 4 * GOP * FRAME_US, 320)
        assert not stills._kept
        assert stills.kept_bytes == 0

    play_slowly(archive, scene)


def test_a_process_that_hangs_is_an_error_and_begun_anew(
    films: Films, archive: RealArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.record(films("h264"))
    start_us = archive.start_of()

    async def scene() -> None:
        stills = Stills(archive.root, ManualClock())
        with archive.reader() as reader:
            frame = frame_at(reader, "gate", "main", start_us)
        assert frame is not None
        assert await stills.decode(frame, 160)
        process = stills._process
        assert process is not None
        os.kill(process.pid, 19)  # SIGSTOP
        monkeypatch.setattr("khupho.recorder.stills.PATIENCE_S", 0.2)
        with pytest.raises(StillError) as raised:
            await stills.decode(frame, 160)
        assert raised.value.fault is Fault.KHUPHO
        assert process.returncode is not None
        monkeypatch.setattr("khupho.recorder.stills.PATIENCE_S", 10)
        assert await stills.decode(frame, 160)
        await stills.close()

    asyncio.run(scene())

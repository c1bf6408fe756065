"""The page as a browser shows it: both languages, both sizes, no complaint, no jump, no name believed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from chromium_page import CHROMIUM, ChromiumPage, chromium_page
from page_room import page_application
from stream_states import GONE, GOOD

from khupho.clock import SystemClock
from khupho.errors import Fault
from khupho.recorder.camera_store import Camera, StoredSource
from khupho.recorder.http.server import PageServer, listen
from khupho.recorder.http.status import ArchiveView, DayMinutes, StatusMaker
from khupho.recorder.http.words import load_vietnamese
from khupho.recorder.snapshot import EngineSnapshot, Phase, StreamSnapshot, Trouble
from khupho.recorder.stills import Still
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_S, format_utc

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed")

HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"
NAMES = ("Cổng chính", HOSTILE, "Nhà xe tầng hầm", "Hẻm 12", "Sân chơi", "Trạm bơm")
CLOCK = SystemClock()


class FakeStills:
    async def newest(self, camera: str) -> Still | None:
        return None


class Site:
    """What the page is told, changed by the tests."""

    def __init__(self) -> None:
        now_us = CLOCK.utc_us()
        self.cameras = tuple(
            Camera(f"c{n}", name, StoredSource("rtsp://h/1"), format_utc(now_us - 9 * US_PER_DAY))
            for n, name in enumerate(NAMES)
        )
        self.gone: set[str] = {"c2"}
        self._maker = StatusMaker("0.1.0", "/srv/khupho", load_vietnamese())

    def _stream(self, camera: str) -> StreamSnapshot:
        now_us = CLOCK.utc_us()
        if camera not in self.gone:
            return replace(GOOD, camera=camera, last_frame_utc_us=now_us - 300_000)
        trouble = replace(GONE, since_utc_us=now_us - US_PER_HOUR)
        return replace(
            GOOD, camera=camera, phase=Phase.WAITING, trouble=trouble, next_try_utc_us=now_us
            + 9 * US_PER_S, last_frame_utc_us=now_us - US_PER_HOUR,
        )  # fmt: skip

    def status(self) -> object:
        now_us = CLOCK.utc_us()
        streams = tuple(self._stream(camera.id) for camera in self.cameras)
        disk = Trouble(
            Fault.DISK, "The archive's disk fails", "/srv", "Look at it: dmesg, smartctl -a", now_us
        )
        alarms = (disk,) if self.gone else ()
        engine = EngineSnapshot(now_us, now_us - US_PER_HOUR, streams, alarms)
        archive = ArchiveView(4 * 10**12, 10**12, 10**12, True, True, None, 2 * 10**12, 100)
        minutes = {"c0": DayMinutes(((0, 300, "full"), (310, 315, "hurt")), US_PER_HOUR)}
        return self._maker.make(engine, self.cameras, archive, minutes, {})


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The page, by a loop in a thread of its own."""
    ready: list[PageServer] = []
    begun = threading.Event()

    async def serve() -> None:
        pages = page_application(site.status, FakeStills(), lambda _camera: True)
        ready.append(PageServer(pages, listen("127.0.0.1", 0)))
        begun.set()
        await ready[0].serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert begun.wait(20)
    try:
        yield ready[0].url
    finally:
        ready[0].stop()
        thread.join(20)


@pytest.fixture(scope="module")
def page() -> Iterator[ChromiumPage]:
    with chromium_page() as made:
        yield made


WATCH_SHIFTS = (
    "(() => { window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach("
    "(entry) => { window.shifts += entry.value; })).observe({type: 'layout-shift'}); return 1; })()"
)


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_it_shows_every_camera_in_both_languages_without_a_complaint(
    page: ChromiumPage, size: tuple[int, int], tmp_path: Path
) -> None:
    site = Site()
    with served(site) as url:
        page.errors.clear()
        page.open(url, *size, dark=size[0] < 600)
        page.until(f"document.querySelectorAll('.card').length === {len(NAMES)}")
        page.run("document.querySelector('[data-language=vi]').click()")
        names = page.run("[...document.querySelectorAll('.card h3')].map((e) => e.textContent)")
        assert tuple(names) == NAMES
        assert page.run("document.title") == "(1) Khu Phố"
        trouble = "document.querySelector('#camera-c2')"
        assert page.run(f"{trouble}.dataset.verdict") == "trouble"
        assert "Không có thiết bị nào trả lời" in page.run(f"{trouble}.innerText")
        assert "Ổ đĩa kho hình bị hỏng" in page.run("document.querySelector('#alarms').innerText")
        page.run("document.querySelector('[data-language=en]').click()")
        assert "Nothing answers at that address" in page.run(f"{trouble}.innerText")
        assert page.run("document.documentElement.lang") == "en"
        assert page.run("document.documentElement.scrollWidth") <= size[0]
        page.run("document.querySelector('[data-language=vi]').click()")
        assert page.errors == []


def test_a_camera_that_comes_back_and_one_that_goes_move_nothing(page: ChromiumPage) -> None:
    site = Site()
    with served(site) as url:
        page.open(url, 1440, 900)
        page.until("document.querySelector('#camera-c2')?.dataset.verdict === 'trouble'")
        page.run(WATCH_SHIFTS)
        site.gone = {"c3"}
        page.until("document.querySelector('#camera-c2').dataset.verdict === 'recording'")
        page.until("document.querySelector('#camera-c3').dataset.verdict === 'trouble'")
        assert page.run("window.shifts") == 0
        assert "Cổng" in page.run("document.querySelector('#camera-c0').innerText")
        link = "document.querySelector('#trouble-note a')"
        assert page.run(f"{link}.getAttribute('href')") == "#camera-c3"


def test_a_recorder_that_falls_silent_is_not_shown_as_well(page: ChromiumPage) -> None:
    with served(Site()) as url:
        page.open(url, 1440, 900)
        page.until("document.querySelectorAll('.card').length > 0")
        assert page.run("document.querySelector('#stale').hidden")
    page.until("!document.querySelector('#stale').hidden")
    assert "Mất liên lạc với đầu ghi" in page.run("document.querySelector('#stale').innerText")
    assert page.run("document.body.classList.contains('is-stale')")

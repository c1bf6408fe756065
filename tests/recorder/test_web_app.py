"""The browser app on a running recorder, in two browsers: set-up, live, review, the end of a session."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from chromium_page import CHROMIUM, ChromiumPage, chromium_page
from firefox_page import FIREFOX, FirefoxPage, firefox_page
from recorder_api import OWNER, PASSWORD, Person
from recorder_process import RunningRecorder, recorder
from recorder_street import Street, street

from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.http.web_routes import load_web
from khupho.recorder.secrets import load_sealer

pytestmark = pytest.mark.timeout(240)
Page = ChromiumPage | FirefoxPage
BROWSERS = {
    "chromium": pytest.param(
        chromium_page, marks=pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed")
    ),
    "firefox": pytest.param(
        firefox_page, marks=pytest.mark.skipif(FIREFOX is None, reason="Firefox isn't installed")
    ),
}
FIRST_LOAD_BYTES = 300_000
PLAYING = """
  [...document.querySelectorAll('video')].filter(one => one.videoWidth && one.currentTime > 0 && !one.paused)
"""


@pytest.fixture(scope="module")
def city(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    with street(clip_file(), "--count", "2") as made:
        yield made


@pytest.fixture
def running(city: Street, tmp_path: Path) -> Iterator[RunningRecorder]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    store = CameraStore(data, load_sealer(data))
    for number in (1, 2):
        store.add(
            NewCamera(f"Cổng {number}", part_url(city.url(number)), id=f"c{number}"),
            time.time_ns() // 1000,
        )
    with recorder(data) as made:
        made.until(lambda: made.records("c1", "c2", frames=100))
        yield made


def fill(page: Page, *values: str) -> None:
    """Type into the form's fields, in their order, and send it."""
    page.until("document.querySelectorAll('form input').length")
    page.run(
        """((values) => {
            document.querySelectorAll('form input').forEach((field, index) => {
                field.value = values[index] ?? field.value;
                field.dispatchEvent(new Event('input', {bubbles: true}));
            });
            document.querySelector('form').requestSubmit();
        })("""
        + json.dumps(values)
        + ")"
    )


def press(page: Page, *texts: str) -> None:
    """The button that says one of these."""
    find = (
        "[...document.querySelectorAll('button')].find(one => "
        f"{json.dumps(texts)}.includes(one.textContent.trim()))"
    )
    page.until(f"!!{find}")
    page.run(f"{find}.click()")


def test_the_first_load_is_light() -> None:
    web = load_web()
    assert web, "the app is not built: make install"
    page = web["index.html"].body.decode()
    first = [path for path in web if f"/app/{path}" in page]
    assert len(first) >= 2
    sizes = [len(gzip.compress(web[path].body)) for path in ["index.html", *first]]
    assert sum(sizes) < FIRST_LOAD_BYTES
    assert "<style" not in page
    assert not [line for line in page.splitlines() if "<script" in line and "src=" not in line]


@pytest.mark.parametrize("browser", BROWSERS.values(), ids=BROWSERS)
def test_set_up_watch_review_and_the_end_of_a_session(
    running: RunningRecorder,
    tmp_path: Path,
    browser: Callable[[], AbstractContextManager[Page]],
) -> None:
    with browser() as page:
        page.open(running.ready["set_up_url"], 1280, 800)
        fill(page, OWNER, PASSWORD)
        press(page, "Later", "Để sau")
        # Live: both cameras play, and go on playing.
        page.until(f"({PLAYING}).length >= 2")
        before = times(page)
        page.until(
            f"({PLAYING}).every((one, index) => one.currentTime > {json.dumps(before)}[index] + 1)"
        )
        assert page.run(f"({PLAYING}).map(one => one.videoWidth + 'x' + one.videoHeight)") == [
            "320x240", "320x240",
        ]  # fmt: skip
        page.picture(tmp_path / "watch.png")
        # Review: what was recorded plays from a moment ago.
        page.run("location.hash = '#/review?cameras=c1'")
        page.until("[...document.querySelectorAll('video')].some(one => one.readyState >= 2)")
        page.picture(tmp_path / "review.png")
        # A session that is ended elsewhere ends the view here.
        page.run("location.hash = '#/watch'")
        page.until(f"({PLAYING}).length >= 2")
        owner = Person(running.url)
        owner.sign_in()
        for session in owner.json("/api/v1/me/sessions"):
            if not session["is_current"]:
                owner.ask(f"/api/v1/sessions/{session['id']}", method="DELETE")
        page.until("document.querySelector('form input[type=password]') !== null")
        assert page.run(f"({PLAYING}).length") == 0
        assert [error for error in page.errors if "401" not in error and "4401" not in error] == []
    kinds = {entry["kind"] for entry in owner.json("/api/v1/access-log")["entries"]}
    assert {"live", "playback", "sign_in"} <= kinds


def times(page: Page) -> list[Any]:
    found: list[Any] = page.run(f"({PLAYING}).map(one => one.currentTime)")
    return found

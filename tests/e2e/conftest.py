"""Browsers and one evening of recording, had once and kept for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import browsers
import pytest
from browsers import Browser, running_browser
from cameras import gstreamer, vlc
from cameras.street import KINDS
from evening import Evening, spend_evening


@pytest.fixture(scope="session")
def browser_of() -> Iterator[object]:
    """`browser_of("chromium")`: that browser, running; skips where it isn't installed."""
    with ExitStack() as stack:
        running: dict[str, Browser] = {}

        def browser(name: str) -> Browser:
            if not browsers.is_here(name):
                pytest.skip(f"{name} is not installed")
            if name not in running:
                running[name] = stack.enter_context(running_browser(name))
            return running[name]

        yield browser


@pytest.fixture(
    scope="session",
    params=[pytest.param(15, id="short"), pytest.param(120, id="long", marks=pytest.mark.torture)],
)
def evening(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evening]:
    """The street recorded for so many seconds. Kept for all tests, since it takes its time."""
    if not (gstreamer.is_here() and vlc.is_here()):
        pytest.skip("GStreamer's RTSP server or VLC is not installed")
    yield spend_evening(KINDS, tmp_path_factory.mktemp("evening") / "data", request.param)

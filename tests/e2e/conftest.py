"""Browsers, one evening of recording, and every player's verdict on it: had once, kept for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import browsers
import pytest
from browsers import Browser, running_browser
from cameras import gstreamer, vlc
from cameras.street import KINDS
from evening import Evening, spend_evening
from verdicts import PLAYERS, Verdicts


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


@pytest.fixture(scope="session")
def verdicts(evening: Evening, browser_of: Callable[[str], Browser]) -> Iterator[Verdicts]:
    """All players look at all segments, several at a time, while tests wait for one or the other."""
    running = {name: browser_of(name) for name in PLAYERS if name in browsers.NAMES}
    with ThreadPoolExecutor(3) as executor:
        futures: dict[tuple[str, str], Future[list[str]]] = {}
        made = Verdicts(evening, running, futures)
        made.begin(executor)
        yield made

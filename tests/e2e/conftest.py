"""Browsers, started once and kept for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import browsers
import pytest
from browsers import Browser, running_browser


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

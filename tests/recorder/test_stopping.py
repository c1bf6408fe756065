"""Asked once it ends in order; asked twice, or after too long, at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from khupho.recorder import stopping
from khupho.recorder.stopping import Stopping


class NoLimit:
    """Stands in for the timer, which would outlive the test and end all of them."""

    daemon = False

    def __init__(self, after_s: float, call: object) -> None:
        self.after_s = after_s

    def start(self) -> None:
        return


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    event = threading.Event()
    monkeypatch.setattr(stopping, "force", event.set)
    return event


def test_the_first_signal_asks_and_the_second_forces(
    forced: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "Timer", NoLimit)

    async def scene() -> None:
        made = Stopping()
        made.watch_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(made.wait(), 5)
        assert not forced.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(asyncio.to_thread(forced.wait, 5), 6)
        assert forced.is_set()

    asyncio.run(scene())


def test_a_loop_that_hangs_is_ended_by_force(
    forced: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "STOP_PATIENCE_S", 0.05)

    async def scene() -> None:
        Stopping().ask()
        assert forced.wait(5)  # the loop itself does nothing any more

    asyncio.run(scene())

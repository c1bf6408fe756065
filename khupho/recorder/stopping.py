"""Ending in good order: the first signal asks, the second one, or ten seconds, force."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

EXIT_FORCED = 1
STOP_PATIENCE_S = 10.0

logger = logging.getLogger("khupho.recorder.stopping")


class Stopping:
    """Waits for SIGTERM or SIGINT. Use on the loop's own thread."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    def watch_signals(self) -> None:
        """From now on the signals ask this program to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """End in good order; asked again, at once."""
        if self._asked.is_set():
            logger.warning("Ended at once; the next start makes its segments' ends good")
            force()
            return
        self._asked.set()
        # A thread, since the loop itself may hang in a write to a dead disk. It isn't called off: a helper
        # thread that hangs there too would keep the program from leaving.
        limit = threading.Timer(STOP_PATIENCE_S, _too_late)
        limit.daemon = True
        limit.start()

    async def wait(self) -> None:
        """Until it is asked for."""
        await self._asked.wait()


def _too_late() -> None:
    logger.error("Could not end within %d s; ended by force", int(STOP_PATIENCE_S))
    force()


def force() -> None:
    """Leave without ceremony. What was committed is on its way to the disk all the same."""
    logging.shutdown()
    os._exit(EXIT_FORCED)

"""A city in a thread of its own, for tests and tools that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import uvloop

from khupho.city.city import City, CityPlan

Value = TypeVar("Value")
_PATIENCE_S = 10.0


class CityThread:
    """A running city. Its own methods are called through `call`."""

    def __init__(self, city: City, loop: asyncio.AbstractEventLoop) -> None:
        self.city = city
        self._loop = loop

    def call(self, function: Callable[[City], Value]) -> Value:
        """The result of `function(city)`, run in the city's thread. Its errors are raised here."""

        async def run() -> Value:
            return function(self.city)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE_S)

    def url(self, number: int = 1, stream: str = "main") -> str:
        """Where a camera's stream is to be had."""
        return self.city.url(number, stream)

    def fault(self, text: str) -> list[str]:
        """Let cameras have a fault now; as it is written on the command line."""
        return self.call(lambda city: city.apply(text))


@contextmanager
def running_city(plan: CityPlan) -> Iterator[CityThread]:
    """The city, from listening to the last connection closed."""
    city = City(plan)
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="city", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(city.start(), loop).result(_PATIENCE_S)
        try:
            yield CityThread(city, loop)
        finally:
            asyncio.run_coroutine_threadsafe(city.stop(), loop).result(_PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()

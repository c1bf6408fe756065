"""How much time and memory a parser may take for hostile bytes."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class BoundPassed(AssertionError):
    """A parser took longer, or more memory, than its input is worth."""


@contextmanager
def bounded(cpu_s: float = 1.0, peak_bytes: int | None = None) -> Iterator[None]:
    """Raise `BoundPassed` if the block used more processor time of this thread, or more new memory.

    Time is the thread's own, so that a busy machine fails no test. Memory is measured only if asked
    for, since that makes everything several times slower (and the time is not judged then).
    """
    if peak_bytes is not None:
        tracemalloc.start()
        tracemalloc.reset_peak()
        before_bytes = tracemalloc.get_traced_memory()[0]
    begin_s = time.thread_time()
    try:
        yield
    finally:
        used_s = time.thread_time() - begin_s
        if peak_bytes is not None:
            used_bytes = tracemalloc.get_traced_memory()[1] - before_bytes
            tracemalloc.stop()
    if peak_bytes is None and used_s > cpu_s:
        raise BoundPassed(f"{used_s:.2f} s of processor time, allowed {cpu_s}")
    if peak_bytes is not None and used_bytes > peak_bytes:
        raise BoundPassed(f"{used_bytes} bytes at the peak, allowed {peak_bytes}")

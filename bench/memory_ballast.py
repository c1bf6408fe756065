"""Keeps memory in use constant while a recorder writes into it, so that every page it gets is a used one.

A recorder in service writes into page cache that old footage has just left. A fresh run on an idle machine
would instead get pages that were never touched; on a virtual machine each of those first costs a trap to the
host, several times what the write itself costs (here 775 instead of 208 µs per camera and second for the
floor). So the memory of a run is filled before it, and let go of byte for byte as the recorder writes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIECE_BYTES = 1 << 20
_AHEAD_BYTES = 48 << 20
"""Let go of before it is needed."""
_INTERVAL_S = 0.02
_RESERVE = 0.6
"""At most this part of the free space is filled."""


def _free_bytes(directory: Path) -> int:
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


@contextmanager
def ballast(directory: Path, size_bytes: int) -> Iterator[None]:
    """Fill `size_bytes` of the file system in memory, and let go of them as it fills with other things.

    0: leave it as it is.
    """
    if not size_bytes:
        yield
        return
    own = directory / "ballast"
    own.mkdir()
    size_bytes = min(size_bytes + _AHEAD_BYTES, int(_RESERVE * _free_bytes(directory)))
    piece = os.urandom(_PIECE_BYTES)
    pieces = [own / str(n) for n in range(size_bytes // _PIECE_BYTES)]
    for path in pieces:
        path.write_bytes(piece)
    least_free_bytes = _free_bytes(directory) + min(_AHEAD_BYTES, size_bytes)
    stopped = threading.Event()

    def let_go() -> None:
        while not stopped.wait(_INTERVAL_S):
            while pieces and _free_bytes(directory) < least_free_bytes:
                pieces.pop().unlink()

    thread = threading.Thread(target=let_go, name="ballast")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        for path in pieces:
            path.unlink()
        own.rmdir()

"""The floor: what receiving and writing alone costs. Nothing is parsed.

One process, one thread, epoll. The kernel gathers half a second of each stream (SO_RCVLOWAT), as for our
recorder; then one `recv_into` and one `write` to the camera's file. No recorder that goes through the
socket interface and the page cache, in whatever language, can do with fewer calls at that batch size.

    floor_receiver.py --mark-bytes 125000 --directory DIR rtsp://127.0.0.1:8554/camera-%04d COUNT

With --hash each batch is also hashed with SHA-256, as the archive's proof asks of a recorder.
Without a directory what is received is thrown away: the receiver for measuring the cameras themselves.
Prints `ready` when all cameras play; runs until SIGTERM or SIGINT, then prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import socket
from hashlib import sha256
from pathlib import Path

from rtsp_caller import play

SCRATCH_BYTES = 1 << 20
_WAIT_S = 0.2


class Floor:
    """Receives from all cameras into one scratch buffer, and writes each one's bytes to its file."""

    def __init__(self, directory: Path | None, mark_bytes: int, hashes: bool) -> None:
        self.is_stopped = False
        self._hashes = hashes
        self.received_bytes = self.reads = 0
        self._directory = directory
        self._mark_bytes = mark_bytes
        self._epoll = select.epoll()
        self._cameras: dict[int, tuple[socket.socket, int]] = {}

    def add(self, name: str, url: str) -> None:
        """Let a camera play."""
        sock, rest = play(url)
        sock.setblocking(False)
        file = -1
        if self._directory is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            file = os.open(self._directory / f"{name}.rtp", flags, 0o644)
            os.write(file, rest)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._mark_bytes)
        self._cameras[sock.fileno()] = (sock, file)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Until told to stop, or until every camera has hung up."""
        scratch = bytearray(SCRATCH_BYTES)
        view = memoryview(scratch)
        cameras, poll, write, hashes = self._cameras, self._epoll.poll, os.write, self._hashes
        while cameras and not self.is_stopped:
            for number, _events in poll(_WAIT_S):
                sock, file = cameras[number]
                size = sock.recv_into(scratch)
                if not size:
                    self._epoll.unregister(number)
                    del cameras[number]
                    continue
                if hashes:
                    sha256(view[:size]).digest()
                if file >= 0:
                    write(file, view[:size])
                self.reads += 1
                self.received_bytes += size


def main() -> None:
    parser = argparse.ArgumentParser(description="The recv-and-write floor.")
    parser.add_argument("url", help="with %%04d for the camera's number")
    parser.add_argument("count", type=int)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--mark-bytes", type=int, default=125_000)
    parser.add_argument("--hash", action="store_true")
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(3 * given.count + 64, hard)), hard))
    floor = Floor(given.directory, given.mark_bytes, given.hash)

    def stop(_number: int, _frame: object) -> None:
        floor.is_stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for camera in range(1, given.count + 1):
        floor.add(f"camera-{camera:04d}", given.url % camera)
    print("ready", flush=True)
    floor.run()
    print(json.dumps({"received_bytes": floor.received_bytes, "reads": floor.reads}), flush=True)


if __name__ == "__main__":
    main()

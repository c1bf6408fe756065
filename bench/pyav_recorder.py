"""PyAV as a recorder: one process, one thread a camera, demux and mux, nothing decoded.

    pyav_recorder.py --directory DIR rtsp://127.0.0.1:8554/camera-%04d COUNT

Runs until SIGTERM or SIGINT; every file is then finished as it should be.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

import av

_BETWEEN_STARTS_S = 0.05
"""Opening a stream costs much more than recording it: all at once they would be late for their pictures."""
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def record(url: str, path: Path, stopped: threading.Event) -> None:
    """One camera into one fragmented MP4 file."""
    source = av.open(url, options={"rtsp_transport": "tcp"}, timeout=20.0)
    with source, av.open(str(path), "w", format="mp4", options=_FRAGMENTED) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            packet.stream = copy
            target.mux(packet)
            if stopped.is_set():
                return
        print(f"{url} ended", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="PyAV: demux and mux, one thread a camera.")
    parser.add_argument("url", help="with %%04d for the camera's number")
    parser.add_argument("count", type=int)
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    threads = [
        threading.Thread(
            target=record, args=(given.url % n, given.directory / f"camera-{n:04d}.mp4", stopped)
        )
        for n in range(1, given.count + 1)
    ]
    for thread in threads:
        thread.start()
        stopped.wait(_BETWEEN_STARTS_S)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()

"""CPU time and memory of processes, and memory that is let go of as it is needed."""

import subprocess
import sys
import time

import pytest
from memory_ballast import ballast
from process_cost import cpu_time, memory_bytes, pinned, process_tree

BUSY = """
import os, sys, threading, time
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
thread = threading.Thread(target=spin, args=(0.1,))
thread.start(); thread.join()          # a thread that has ended
child = os.fork()
spin(0.1)
held = bytearray(b"x") * 30_000_000
os.write(1, f"done {os.sched_getaffinity(0)}\\n".encode())  # whole lines: two processes write here
sys.stdin.read()
"""


@pytest.fixture
def busy():
    process = subprocess.Popen(
        pinned(frozenset({0}), [sys.executable, "-c", BUSY]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.wait(10)


def test_threads_that_ended_and_children_count(busy):
    assert busy.stdout.readline() == "done {0}\n"
    assert busy.stdout.readline() == "done {0}\n"
    pids = process_tree([busy.pid])
    assert len(pids) == 2 and pids[0] == busy.pid
    spent = cpu_time(pids)
    assert spent.cpu_s > 0.29
    assert spent.user_s + spent.system_s == pytest.approx(spent.cpu_s, abs=0.06)
    assert spent.since(spent).cpu_s == 0
    assert 60_000_000 < memory_bytes(pids) < 120_000_000


def test_a_process_that_is_gone_is_an_error(busy):
    busy.stdin.close()
    busy.wait(10)
    with pytest.raises(OSError):
        cpu_time([busy.pid])


def test_ballast_lets_go_as_others_write(tmp_path, monkeypatch):
    free = [10 << 30]
    monkeypatch.setattr("memory_ballast._free_bytes", lambda _directory: free[0])
    with ballast(tmp_path, 4 << 20):
        pieces = tmp_path / "ballast"
        before = len(list(pieces.iterdir()))
        free[0] -= 100 << 20
        deadline = time.monotonic() + 5
        while list(pieces.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert before > 4
    assert not pieces.exists()

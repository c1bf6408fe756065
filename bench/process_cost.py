"""What processes cost: CPU time to the nanosecond, user and system apart, and memory. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU time of a set of processes since each began."""

    cpu_s: float
    """All of it, exact: the scheduler's own sum over living and dead threads."""
    user_s: float
    """As the kernel divides it, by a sample at each timer tick."""
    system_s: float

    def since(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(
            self.cpu_s - earlier.cpu_s,
            self.user_s - earlier.user_s,
            self.system_s - earlier.system_s,
        )


def process_tree(roots: Iterable[int]) -> list[int]:
    """The processes and all that descend from them."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting.extend(int(word) for word in children.read_text().split())
            except OSError:
                continue  # the thread has ended
    return found


def cpu_time(pids: Sequence[int]) -> CpuTime:
    """Of these processes together. Raises `OSError` if one is gone: its time would be lost."""
    cpu_s = user_s = system_s = 0.0
    for pid in pids:
        # The clock of another process's CPU time: clock_getcpuclockid(3) as the kernel defines it.
        cpu_s += time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user_s += int(fields[11]) / _TICKS_PER_S
        system_s += int(fields[12]) / _TICKS_PER_S
    return CpuTime(cpu_s, user_s, system_s)


def memory_bytes(pids: Iterable[int]) -> int:
    """Proportional set size (PSS) of these processes: shared pages are divided among their users."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


@dataclass(frozen=True, slots=True)
class CorePlan:
    """Which cores the cameras and the measured program run on."""

    cameras: frozenset[int]
    measured: frozenset[int]

    @property
    def is_apart(self) -> bool:
        """Whether they are on different cores."""
        return not self.cameras & self.measured


def plan_cores() -> CorePlan:
    """One core for the cameras, another for what is measured; the same if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return CorePlan(cameras=frozenset(allowed[-1:]), measured=frozenset(allowed[:1]))


def pinned(cores: frozenset[int], command: Sequence[str]) -> list[str]:
    """The command, to be run on these cores (taskset becomes the command: the pid stays)."""
    return ["taskset", "-c", ",".join(map(str, sorted(cores))), *command]

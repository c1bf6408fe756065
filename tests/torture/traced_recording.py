"""A program: records made-up footage into ROOT and traces all it does: `traced_recording.py ROOT TRACE`.

Sessions end and begin, the recorder is killed and starts again (so that a power cut can hit its recovery
too), and ends in order. Time is turned by hand; the trace has a `mark` with the date at each step.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
FLUSH_INTERVAL_S = 10


def main() -> None:
    root, trace_path = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path[:0] = [str(HERE), str(HERE.parent / "archive")]
    from traced_os import TracedOs
    from write_trace import TraceWriter

    root.mkdir()
    trace = TraceWriter(trace_path)
    TracedOs(root, trace).install()

    from recording_by_hand import T0_US, Recording  # only now: see `traced_os`

    from khupho.clock import ManualClock

    class MarkingClock(ManualClock):
        def advance(self, us: int) -> None:
            super().advance(us)
            trace.put("mark", offset=self.utc_us())

    recording = Recording(
        root, clock=MarkingClock(T0_US, 1_000_000), flush_interval_s=FLUSH_INTERVAL_S
    )
    recording.run(33, "gate", "yard", "yard/sub")
    recording.hang_up(_connection(), "gate")
    recording.run(3, "yard")
    recording.run(19, "gate", "yard")
    recording.hang_up(_connection(), "gate")
    recording.run(1, "gate")
    recording.kill()
    recording.restart()
    recording.run(25, "gate", "yard")
    recording.close()
    recording.restart()
    recording.run(14, "gate", "yard")
    trace.flush()


def _connection():
    from khupho.archive.events import CloseCause

    return CloseCause.CONNECTION


if __name__ == "__main__":
    main()

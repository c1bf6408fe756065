"""bench/archive_writer.py with few fragments. Figures are looked at for sense; timings decide nothing."""

import pytest


def test_tells_what_a_fragment_costs(run_bench):
    text, figures = run_bench(
        "archive_writer.py", "--streams", 3, "--fragments", 5, "--kilobytes", 10, "--repeats", 1
    )
    assert figures["own_us"] == pytest.approx(figures["writer_us"] - figures["floor_us"], abs=0.02)
    assert 0 < figures["floor_us"] < figures["writer_us"]
    assert 500 < figures["stream_bytes"] < 30_000
    assert {"processor", "kernel", "python"} <= figures["machine"].keys()
    assert "a fragment of 12 frames and 10 kB" in text

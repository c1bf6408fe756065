"""bench/city.py with few cameras. Figures are looked at for sense; timings decide nothing."""

import pytest


def test_tells_what_the_cameras_cost(run_bench, bench_video):
    text, figures = run_bench(
        "city.py", "--cameras", 5, "--seconds", 1, "--warm-up", 0.3, "--repeats", 1,
        "--video", bench_video,
    )  # fmt: skip
    assert figures["cameras"] == figures["playing"] == 5
    assert figures["skipped_pictures"] == 0 and figures["skipped_looked_at_cameras"] == 5
    assert 0 < figures["core_load"] < 1
    assert figures["cameras_per_core"] == pytest.approx(5 / figures["core_load"], rel=0.05)
    assert {"processor", "kernel", "python", "ffmpeg"} <= figures["machine"].keys()
    assert "5 of 5 cameras play" in text

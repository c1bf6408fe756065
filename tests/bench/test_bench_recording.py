"""bench/recording.py and growth.py with few cameras and tiny pictures. Timings decide nothing."""

import pytest

from khupho.cli import _COMMANDS

TINY = ("--seconds", 0.6, "--warm-up", 0, "--repeats", 1)


def test_all_foreign_sides_record_every_frame(run_bench, bench_video):
    text, figures = run_bench(
        "recording.py", "--cameras", 2, "--foreign-cameras", 1, *TINY,
        "--sides", "hashed,ffmpeg,pyav", "--video", bench_video,
    )  # fmt: skip
    assert figures["complete"], text
    assert figures["sides"].keys() == {"hashed", "ffmpeg", "pyav"}
    for name, side in figures["sides"].items():
        assert side["cameras"] == (2 if name == "hashed" else 1)
        assert side["problems"] == []
        assert side["us_per_camera_second"] > 0
        assert side["cameras_per_core"] > 0
    for name in ("cameras_per_core", "ratio_vs_ffmpeg", "ratio_vs_floor", "mb_per_camera"):
        assert figures[name] is None, "nothing of our own was measured"


def test_growth_draws_a_line(run_bench, bench_video):
    _text, figures = run_bench(
        "growth.py", "--counts", "1,3", *TINY, "--sides", "floor", "--video", bench_video
    )
    floor = figures["sides"]["floor"]
    assert [point["cameras"] for point in floor["points"]] == [1, 3]
    assert all(point["problems"] == [] for point in floor["points"])
    assert floor["base_mb"] > 0


needs_recorder = pytest.mark.skipif(
    not {"recorder", "archive"} <= _COMMANDS.keys(), reason="this tree has no recorder yet"
)


@needs_recorder
def test_our_recorder_beside_the_floor(run_bench, bench_video):
    text, figures = run_bench(
        "recording.py", "--cameras", 1, *TINY, "--sides", "floor,khupho", "--video", bench_video
    )
    assert figures["complete"], text
    assert figures["cameras_per_core"] > 0
    assert figures["ratio_vs_floor"] > 0
    assert figures["mb_per_camera"] > 0
    assert figures["user_s"] + figures["system_s"] > 0
    assert figures["ratio_vs_ffmpeg"] is None, "ffmpeg was not measured"

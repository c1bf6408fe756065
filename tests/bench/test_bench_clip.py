"""bench/clip.py with a minute of tiny pictures. Figures are looked at for sense; timings decide nothing."""


def test_tells_what_a_clip_costs(run_bench, bench_video):
    text, figures = run_bench("clip.py", "--minutes", 1, "--video", bench_video, "--repeats", 2)
    assert figures["frames"] == 60 * 25
    assert figures["size_bytes"] > 1_000_000
    for name in ("plan", "read", "clip", "ffmpeg", "floor"):
        assert 0 <= figures[f"{name}_s"] <= figures[f"{name}_worst_s"]
    assert figures["plan_s"] < figures["clip_s"]
    assert {"processor", "kernel", "python"} <= figures["machine"].keys()
    assert "1 min, 1 segments" in text

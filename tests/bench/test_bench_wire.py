"""bench/wire.py with a tiny clip. Figures are looked at for sense; timings decide nothing."""


def test_tells_what_taking_packets_apart_costs(run_bench, bench_video):
    text, figures = run_bench("wire.py", "--seconds", 0.1, "--video", bench_video)
    wire = figures["wire"]
    assert wire["rounds"] >= 3
    assert 0 < wire["copy_us_per_camera_second"] < wire["us_per_camera_second"]
    assert 0 < wire["us_per_packet"] < wire["us_per_camera_second"]
    assert 20 < wire["packets_per_camera_second"] < 400
    assert {"processor", "kernel", "python", "ffmpeg"} <= figures["machine"].keys()
    assert "µs per packet" in text

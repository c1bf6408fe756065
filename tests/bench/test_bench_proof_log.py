"""bench/proof_log.py with few leaves. Figures are looked at for sense; timings decide nothing."""


def test_tells_what_a_leaf_and_an_answer_cost(run_bench):
    _, figures = run_bench("proof_log.py", "--leaves", 600, "--streams", 8)
    assert figures["leaves"] == 600
    for name in ("leaf_us", "root_ms", "inclusion_ms", "find_10_minutes_ms", "open_ms"):
        assert figures[name] > 0

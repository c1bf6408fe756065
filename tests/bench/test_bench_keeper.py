"""The keeper's bench measures what it says, on a small street."""

from __future__ import annotations

from pathlib import Path

import keeper


def test_it_measures_a_few_streams(tmp_path: Path) -> None:
    assert 0 < keeper.measure(tmp_path / "archive", 5, 1) < 10_000

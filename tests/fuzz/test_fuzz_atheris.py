"""The coverage-guided harness finds a planted bug, and (in the long form) none in our parsers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent / "atheris_parsers.py"
SECONDS = 5


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_every_parser_stands_five_seconds():
    done = subprocess.run(
        [sys.executable, HARNESS, "all", "--seconds", str(SECONDS)],
        capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_planted_bug_is_found(tmp_path):
    """A harness that finds nothing anywhere would look like parsers without bugs."""
    script = tmp_path / "planted.py"
    script.write_text(
        f"""
import sys
sys.path.insert(0, {str(HARNESS.parent)!r})
import targets

def parse(data):
    if data[:1] == b"K" and b"!" in data:
        raise IndexError("planted")

targets.TARGETS["planted"] = targets.Target("planted", parse, (b"KX?",))
targets.every_target = lambda: targets.TARGETS
from pathlib import Path
import atheris_parsers
atheris_parsers.fuzz_one("planted", 40, Path({str(tmp_path)!r}))
"""
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, errors="replace", timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "planted" in done.stdout + done.stderr
    assert list(tmp_path.glob("planted-crash-*"))

"""Coverage-guided fuzzing of one target, or of all one after the other: `make fuzz`.

    python tests/fuzz/atheris_parsers.py TARGET --seconds 60
    python tests/fuzz/atheris_parsers.py all --seconds 60

Each target runs in a process of its own, since libFuzzer ends the process. What breaks it is written to
`--crashes` and told; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MEMORY_MB = 1024
SLOWEST_INPUT_S = 5
MAX_BYTES = 4096
_SPARE_S = 60


def fuzz_one(name: str, seconds: int, crashes: Path) -> None:
    """Fuzz a target in this process; never returns."""
    import atheris

    with atheris.instrument_imports(include=["khupho"]):
        from targets import every_target

        found = every_target()[name]
    corpus = Path(tempfile.mkdtemp(prefix=f"khupho-fuzz-{name}-"))
    for number, seed in enumerate(found.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}",
            f"-timeout={SLOWEST_INPUT_S}", f"-rss_limit_mb={MEMORY_MB}", "-verbosity=0",
            "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-",
        ],
        found.run,
    )  # fmt: skip
    atheris.Fuzz()


def fuzz_all(names: list[str], seconds: int, crashes: Path) -> int:
    """Fuzz targets in processes of their own; how many broke."""
    broken = 0
    for name in names:
        command = [
            sys.executable,
            __file__,
            name,
            "--seconds",
            str(seconds),
            "--crashes",
            str(crashes),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + _SPARE_S,
            check=False,
        )  # fmt: skip
        runs = next(
            (line.split()[-1] for line in done.stderr.splitlines() if "executed_units" in line), "?"
        )
        print(f"{name:<16} {runs:>9} runs {'ok' if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode:
            broken += 1
            print(done.stderr[-4000:], flush=True)
    return broken


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="a target's name, or all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument(
        "--crashes", type=Path, default=None, help="where inputs that break are kept"
    )
    wanted = parser.parse_args()
    sys.path.insert(0, str(HERE))
    crashes = wanted.crashes or Path(tempfile.mkdtemp(prefix="khupho-fuzz-crashes-"))
    crashes.mkdir(parents=True, exist_ok=True)
    if wanted.target != "all":
        fuzz_one(wanted.target, wanted.seconds, crashes)
    from targets import every_target

    broken = fuzz_all(sorted(every_target()), wanted.seconds, crashes)
    if broken:
        print(f"{broken} broken; inputs in {crashes}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

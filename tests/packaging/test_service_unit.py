"""The systemd unit: every directive is one that systemd knows, and it closes what it says it closes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "packaging" / "khupho-recorder.service"
ANALYZE = shutil.which("systemd-analyze")

KNOWN = {
    # systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5)
    "Unit": {"Description", "Documentation", "After", "StartLimitIntervalSec"},
    "Service": {
        "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "WatchdogSec",
        "TimeoutStartSec", "TimeoutStopSec", "KillSignal", "KillMode", "User", "Group",
        "StateDirectory", "StateDirectoryMode", "UMask", "LimitNOFILE", "LimitCORE", "CPUWeight",
        "IOWeight", "OOMScoreAdjust", "NoNewPrivileges", "CapabilityBoundingSet",
        "AmbientCapabilities", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices",
        "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
        "ProtectControlGroups", "ProtectHostname", "ProtectProc", "RestrictAddressFamilies",
        "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
        "RemoveIPC", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber",
    },
    "Install": {"WantedBy"},
}  # fmt: skip


def directives() -> list[tuple[str, str, str]]:
    """Section, name and value of each line."""
    found = []
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            found.append((section, name, value))
    return found


def values(name: str) -> list[str]:
    return [value for _section, found, value in directives() if found == name]


def test_every_directive_is_known() -> None:
    for section, name, _value in directives():
        assert name in KNOWN[section], f"[{section}] {name}"


def test_it_starts_the_command_that_there_is_and_stays_up() -> None:
    [start] = values("ExecStart")
    assert re.fullmatch(r"/\S+/khupho recorder --data /var/lib/khupho( --log-format text)?", start)
    assert (values("Type"), values("Restart")) == (["notify"], ["always"])
    # Longer than the recorder's own patience of ten seconds, or its segments' ends were cut.
    assert int(values("TimeoutStopSec")[0].removesuffix("s")) > 10
    assert values("StateDirectory") == ["khupho"]


def test_the_kernels_clock_may_be_asked() -> None:
    filters = values("SystemCallFilter")
    assert filters.index("~@privileged") < filters.index("adjtimex clock_adjtime")
    assert not values("ProtectClock")
    assert not values("ProcSubset")  # the boot id lies in /proc/sys


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze isn't installed")
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    assert ANALYZE is not None
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^(ExecStart)=\S+", r"\1=/bin/true", UNIT.read_text()))
    verified = subprocess.run(
        [ANALYZE, "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [ANALYZE, "security", "--no-pager", "--offline=true", "--threshold=25", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout

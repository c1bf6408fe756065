"""`khupho doctor` says what is wrong, what to do, and when it prevents recording."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from khupho.cli import main
from khupho.commands import machine_checks as checks
from khupho.commands.machine_checks import Level

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /dev/shm tmpfs rw 0 0
/dev/sdb1 /mnt/phường\\0401 xfs rw 0 0
nas:/video /mnt/nas nfs4 rw 0 0
/dev/mmcblk0p1 /boot vfat rw 0 0
/dev/mmcblk0p2 /mnt/card ext4 rw 0 0
/dev/sdc1 /mnt/ill ext4 ro,errors=remount-ro 0 0
broken line
"""


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *args])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_usable_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "d"
    assert run("--data", str(data), "--json", "--listen", f"127.0.0.1:{free_port()}") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is True
    assert {"Python", "SQLite", "Clock", "Open files", "Disk space"} <= {
        finding["subject"] for finding in told["findings"]
    }
    assert not data.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_prevents_recording_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.json").write_text('{"version": 99}')
    assert run("--data", str(tmp_path)) == 1
    output = capsys.readouterr().out
    assert "NO    Settings" in output
    assert "cannot record yet" in output


def test_a_taken_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("--data", str(tmp_path), "--listen", f"127.0.0.1:{port}") == 0
    assert f"127.0.0.1:{port} cannot be had" in capsys.readouterr().out
    assert run("--listen", "nowhere") == 2


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = checks.writable(tmp_path / "file" / "archive", "Archive")
    assert found.level is Level.PREVENTS
    fine = checks.writable(tmp_path / "a" / "b", "Archive")
    assert (fine.level, "can be made" in fine.what) == (Level.OK, True)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert checks.writable(tmp_path, "Archive").level is Level.PREVENTS


@pytest.mark.parametrize(
    ("path", "kind", "level"),
    [
        ("/var/khupho", "ext4", Level.OK),
        ("/dev/shm/khupho", "tmpfs", Level.WEAK),
        ("/dev/shmoo", "ext4", Level.OK),
        ("/mnt/phường 1/x", "xfs", Level.OK),
        ("/mnt/nas", "nfs4", Level.WEAK),
        ("/boot/x", "vfat", Level.WEAK),
        ("/mnt/card/x", "ext4", Level.WEAK),
        ("/mnt/ill/x", "ext4", Level.PREVENTS),
    ],
)
def test_the_kind_of_disk(path: str, kind: str, level: Level) -> None:
    mount = checks.mount_of(Path(path), MOUNTS)
    assert mount is not None
    assert mount.kind == kind
    found = checks.file_system(mount)
    assert found.level is level
    assert bool(found.advice) is (level is not Level.OK)


def test_judgements() -> None:
    gb = 1_000_000_000
    assert checks.python_version((3, 10, 9)).level is Level.PREVENTS
    assert checks.sqlite_version("3.36.0").level is Level.PREVENTS
    assert checks.sqlite_version("3.45.1").level is Level.OK
    assert checks.disk_room(1000 * gb, 5 * gb, 5).level is Level.PREVENTS
    assert checks.disk_room(1000 * gb, 20 * gb, 5).level is Level.WEAK
    assert checks.disk_room(1000 * gb, 60 * gb, 5).level is Level.OK
    assert checks.clock(5_000_000, True).level is Level.WEAK
    assert checks.clock(1_795_000_000_000_000, False).level is Level.WEAK
    assert checks.clock(1_795_000_000_000_000, None).level is Level.OK
    assert checks.clock(1_795_000_000_000_000, True).level is Level.OK
    assert checks.descriptors(1024, 500).level is Level.PREVENTS
    assert checks.descriptors(1024, 4).level is Level.OK
    assert checks.descriptors(-1, 4000).level is Level.OK
    assert checks.receive_buffer(212_992).level is Level.WEAK
    assert checks.receive_buffer(4_194_304).level is Level.OK
    assert [one.level for one in checks.inodes(1000, 5)] == [Level.PREVENTS]
    assert [one.level for one in checks.inodes(100_000, 900)] == [Level.WEAK]
    assert not checks.inodes(0, 0)
    assert [one.level for one in checks.memory(100_000_000, 10)] == [Level.WEAK]


def test_the_packet_loop() -> None:
    assert checks.packet_loop(True).level is Level.OK
    finding = checks.packet_loop(False)
    assert finding.level is Level.WEAK
    assert "gcc" in finding.advice


def test_others_may_not_look_in(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert [one.level for one in checks.private(tmp_path)] == [Level.WEAK]
    tmp_path.chmod(0o750)
    assert [one.level for one in checks.private(tmp_path)] == [Level.OK]

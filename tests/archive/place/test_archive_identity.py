"""Which archive a directory is, and who writes it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from khupho.archive.place import identity
from khupho.archive.place.identity import (
    ArchiveBusyError,
    ArchiveIdentityError,
    LastEnd,
    WritingLock,
    create_archive,
    is_being_written,
    open_archive,
    read_identity,
    read_running,
)
from khupho.errors import Fault
from khupho.units import parse_utc

NOW_US = parse_utc("2026-11-24T04:16:01.000250Z")
RECORDER = "ab" * 16


def test_made_once_and_read_by_path_and_descriptor(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    made = open_archive(root, RECORDER, NOW_US)
    assert (len(made.archive_id), made.recorder_id, made.created_utc_us) == (16, RECORDER, NOW_US)
    assert open_archive(root, "cd" * 16, NOW_US + 1) == made == read_identity(root)
    assert (root / "proof").is_dir()
    handle = os.open(root, os.O_RDONLY)
    try:
        assert read_identity(handle) == made
    finally:
        os.close(handle)
    assert json.loads((root / "archive.json").read_text()) == {
        "khupho_archive": 1, "id": made.archive_id.hex(), "recorder": RECORDER,
        "created": "2026-11-24T04:16:01.000250Z",
    }  # fmt: skip
    assert create_archive(root, RECORDER, NOW_US + 9) == made  # somebody was first


def test_two_archives_differ(tmp_path: Path) -> None:
    one = create_archive(tmp_path / "one", RECORDER, NOW_US)
    assert create_archive(tmp_path / "two", RECORDER, NOW_US).archive_id != one.archive_id


def test_a_fresh_disk_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".archive.json.x7").write_text("from a power cut")
    (tmp_path / "proof").mkdir()
    create_archive(tmp_path, RECORDER, NOW_US)


@pytest.mark.parametrize("name", ["holiday.jpg", "proof/leaves", "catalog.sqlite3"])
def test_no_archive_among_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ArchiveIdentityError, match="not empty") as raised:
        open_archive(tmp_path, RECORDER, NOW_US)
    assert raised.value.fault is Fault.USER
    assert name.split("/")[0] in str(raised.value)
    assert not (tmp_path / "archive.json").exists()


def test_the_disk_that_belongs_here(tmp_path: Path) -> None:
    made = create_archive(tmp_path / "disk", RECORDER, NOW_US)
    (tmp_path / "unmounted").mkdir()
    expected = made.archive_id
    assert open_archive(tmp_path / "disk", RECORDER, 0, expected_id=expected) == made
    with pytest.raises(ArchiveIdentityError, match="no archive"):
        open_archive(tmp_path / "unmounted", RECORDER, 0, expected_id=expected)
    assert not list((tmp_path / "unmounted").iterdir())
    with pytest.raises(ArchiveIdentityError, match="another archive") as raised:
        open_archive(tmp_path / "disk", RECORDER, 0, expected_id=bytes(16))
    assert raised.value.fault is Fault.DISK


GOOD = {
    "khupho_archive": 1, "id": "00" * 16, "recorder": "x", "created": "2026-11-24T04:16:01Z",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read"),
        ("[1]", "cannot be read"),
        ("{" * 40_000, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (json.dumps(GOOD | {"khupho_archive": 2}), "version 2"),
        (json.dumps(GOOD | {"khupho_archive": "1"}), "no version"),
        (json.dumps(GOOD | {"id": "00" * 15}), "length"),
        (json.dumps(GOOD | {"id": "zz" * 16}), "cannot be read"),
        (json.dumps(GOOD | {"id": 7}), "no text"),
        (json.dumps(GOOD | {"created": "yesterday"}), "cannot be read"),
        (json.dumps(GOOD | {"created": "2026-11-24T04:16:01"}), "zone"),
        (json.dumps({"khupho_archive": 1}), "no text"),
    ],
)
def test_broken_or_of_another_version(tmp_path: Path, text: str | bytes, match: str) -> None:
    path = tmp_path / "archive.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ArchiveIdentityError, match=match) as raised:
        open_archive(tmp_path, RECORDER, NOW_US)
    assert str(path) in str(raised.value)


def test_a_directory_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_how: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(identity, "create_file", refuse)
    with pytest.raises(ArchiveIdentityError, match="Read-only") as raised:
        create_archive(tmp_path / "new", RECORDER, NOW_US)
    assert raised.value.fault is Fault.DISK
    with pytest.raises(ArchiveIdentityError):
        create_archive(tmp_path / "no" / "parent", RECORDER, NOW_US)


def test_how_the_last_one_ended(tmp_path: Path) -> None:
    create_archive(tmp_path, RECORDER, NOW_US)
    first = WritingLock.take(tmp_path, NOW_US, pid=71, boot="b1")
    assert (first.last_end, first.previous) == (LastEnd.CLEAN, None)
    assert read_running(tmp_path) == (71, "b1", NOW_US)
    first.release()
    assert read_running(tmp_path) is None
    clean = WritingLock.take(tmp_path, NOW_US, pid=72, boot="b1")
    assert clean.last_end is LastEnd.CLEAN
    clean.abandon()
    killed = WritingLock.take(tmp_path, NOW_US, pid=73, boot="b1")
    assert killed.last_end is LastEnd.KILLED
    assert killed.previous is not None
    assert killed.previous.pid == 72
    killed.abandon()
    cut = WritingLock.take(tmp_path, NOW_US, pid=74, boot="b2")
    assert cut.last_end is LastEnd.POWER_CUT
    cut.abandon()
    # A kernel that tells no boot id: suspect the worst.
    unknown = WritingLock.take(tmp_path, NOW_US, boot="")
    unknown.abandon()
    assert WritingLock.take(tmp_path, NOW_US, boot="").last_end is LastEnd.POWER_CUT


@pytest.mark.parametrize("text", ["", "[]", '{"pid": "x"}', '{"pid": 5}', "\xff"])
def test_a_running_file_that_says_nothing(tmp_path: Path, text: str) -> None:
    create_archive(tmp_path, RECORDER, NOW_US)
    (tmp_path / "running.json").write_text(text)
    lock = WritingLock.take(tmp_path, NOW_US)
    assert lock.last_end is LastEnd.POWER_CUT
    lock.release()
    assert not (tmp_path / "running.json").exists()


def test_release_leaves_another_disks_file_alone(tmp_path: Path) -> None:
    create_archive(tmp_path, RECORDER, NOW_US)
    lock = WritingLock.take(tmp_path, NOW_US)
    other = '{"pid": 1, "boot": "elsewhere", "started": "2026-11-24T04:16:01Z"}'
    (tmp_path / "running.json").write_text(other)
    lock.release()
    assert (tmp_path / "running.json").read_text() == other


def test_only_one_writes_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    create_archive(tmp_path, RECORDER, NOW_US)
    assert not is_being_written(tmp_path)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from khupho.archive.place.identity import WritingLock\n"
        f"lock = WritingLock.take(Path({str(tmp_path)!r}), {NOW_US})\n"
        "print('taken', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"taken\n"
            assert is_being_written(tmp_path)
            with pytest.raises(ArchiveBusyError, match=str(other.pid)) as raised:
                WritingLock.take(tmp_path, NOW_US)
            assert (raised.value.pid, raised.value.fault) == (other.pid, Fault.USER)
            running = read_running(tmp_path)
            assert running is not None
            assert running.pid == other.pid
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait(timeout=30)
    assert not is_being_written(tmp_path)
    lock = WritingLock.take(tmp_path, NOW_US)
    assert lock.last_end is LastEnd.KILLED
    assert is_being_written(tmp_path)
    with pytest.raises(ArchiveBusyError):  # also within one process
        WritingLock.take(tmp_path, NOW_US)
    lock.release()
    lock.release()
    assert not is_being_written(tmp_path)
    assert not is_being_written(tmp_path / "nowhere")

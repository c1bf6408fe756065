"""The fault disk and the power-cut model themselves: each fault is really had, and nothing else is."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import sqlite3
import time
from contextlib import closing

import pytest
from mounted_disk import mounted_disk
from power_cut import DiskModel, Names, Unsynced, materialise
from write_trace import Op, TraceWriter, read_trace


@pytest.fixture
def disk(tmp_path):
    with mounted_disk(tmp_path, traced=True) as made:
        yield made


def refused(work) -> str:
    with pytest.raises(OSError) as caught:
        work()
    return errno.errorcode[caught.value.errno]


def test_without_faults_it_is_a_disk(disk):
    (disk.root / "a").mkdir()
    path = disk.root / "a" / "file"
    with path.open("wb") as file:
        file.write(b"hello")
        file.flush()
        os.fsync(file.fileno())
    path.rename(disk.root / "b")
    with (disk.root / "b").open("ab") as file:
        file.write(b" world")
    assert (disk.backing / "b").read_bytes() == b"hello world" == (disk.root / "b").read_bytes()
    os.truncate(disk.root / "b", 3)
    assert (disk.root / "b").stat().st_size == 3
    (disk.root / "b").unlink()
    (disk.root / "a").rmdir()
    assert not any(disk.root.iterdir())


def test_sqlite_and_locks_work_on_it(disk):
    with closing(sqlite3.connect(disk.root / "db", isolation_level=None)) as db:
        assert db.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        db.execute("create table t (x)")
        db.execute("insert into t values (7)")
    with closing(sqlite3.connect(disk.root / "db")) as other:
        assert other.execute("select x from t").fetchall() == [(7,)]
    with (disk.root / "lock").open("w") as one, (disk.root / "lock").open("w") as two:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "EROFS"])
def test_writes_fail(disk, name):
    with (disk.root / "f").open("wb", buffering=0) as file:
        file.write(b"one")
        disk.fault(write=name)
        assert refused(lambda: file.write(b"two")) == name
        disk.fault()
        file.write(b"three")
    assert (disk.backing / "f").read_bytes() == b"onethree"


def test_a_full_disk_takes_what_still_fits(disk):
    with (disk.root / "f").open("wb", buffering=0) as file:
        disk.fault(write="ENOSPC", after_bytes=5)
        assert file.write(b"123") == 3
        assert file.write(b"456") == 2
        assert refused(lambda: file.write(b"6")) == "ENOSPC"


def test_creates_and_syncs_and_changes_fail(disk):
    file = (disk.root / "f").open("wb", buffering=0)
    disk.fault(create="ENOSPC", fsync="EIO", change="EROFS")
    assert refused(lambda: (disk.root / "g").open("wb")) == "ENOSPC"
    assert refused(lambda: (disk.root / "d").mkdir()) == "ENOSPC"
    file.write(b"still")
    assert refused(lambda: os.fdatasync(file.fileno())) == "EIO"
    assert refused((disk.root / "f").unlink) == "EROFS"
    disk.fault()
    os.fsync(file.fileno())
    file.close()


def test_only_some_paths_suffer_and_free_space_is_what_we_say(disk):
    disk.fault(write="EIO", only="bad", free_bytes=1 << 20)
    (disk.root / "good").write_bytes(b"1")
    assert refused(lambda: (disk.root / "bad").write_bytes(b"1")) == "EIO"
    st = os.statvfs(disk.root)
    assert st.f_bavail * st.f_frsize == 1 << 20


def test_slow_writes(disk):
    with (disk.root / "f").open("wb", buffering=0) as file:
        disk.fault(write_delay_s=0.3)
        begin_s = time.monotonic()
        file.write(b"x")
        assert time.monotonic() - begin_s >= 0.3
        disk.fault()
        begin_s = time.monotonic()
        file.write(b"x")
        assert time.monotonic() - begin_s < 0.3


def test_yanked_and_put_back(disk):
    file = (disk.root / "f").open("wb", buffering=0)
    file.write(b"1")
    disk.yank()
    assert refused(lambda: file.write(b"2")) in ("ENOTCONN", "EIO")
    assert not any(disk.root.iterdir())
    (disk.root / "imposter").write_bytes(b"")
    disk.mount()
    assert [path.name for path in disk.root.iterdir()] == ["f"]
    disk.yank()
    assert [path.name for path in disk.root.iterdir()] == ["imposter"]


def test_the_trace_makes_the_same_disk_again(disk, tmp_path):
    rng = random.Random(3)
    for n in range(30):
        path = disk.root / f"d{n % 3}" / f"f{n % 7}"
        path.parent.mkdir(exist_ok=True)
        with path.open("r+b" if path.exists() else "wb") as file:
            file.seek(rng.randrange(2000))
            file.write(bytes([n]) * rng.randrange(3000))
            if n % 4 == 0:
                file.truncate(rng.randrange(1500))
    (disk.root / "d1" / "f1").replace(disk.root / "d2" / "moved")
    (disk.root / "d0" / "f0").unlink()
    disk.fault()
    model = DiskModel()
    model.take_all(read_trace(disk.trace))
    found = model.cut(Unsynced.KEPT, rng)
    materialise(found, tmp_path / "again")
    real = {
        p.relative_to(disk.backing): p.read_bytes() for p in disk.backing.rglob("*") if p.is_file()
    }
    made = {
        p.relative_to(tmp_path / "again"): p.read_bytes()
        for p in (tmp_path / "again").rglob("*") if p.is_file()
    }  # fmt: skip
    assert made == real
    assert len(real) > 10
    assert model.cut(Unsynced.DROPPED, rng) == {}, "nothing was synced"


def ops(*rows):
    return [Op(kind, n, *rest) for n, (kind, *rest) in enumerate(rows)]


FRESH = (
    ("mkdir", "d"),
    ("create", "d/f", 1),
    ("write", "", 1, 0, b"A" * 1000),
    ("fsync", "", 1),
    ("write", "", 1, 1000, b"B" * 1000),
)


def test_unsynced_names_are_lost_in_the_strict_model_only():
    for names, expected in ((Names.STRICT, {}), (Names.JOURNAL, {"d": None, "d/f": b"A" * 1000})):
        model = DiskModel(names)
        model.take_all(ops(*FRESH))
        assert model.cut(Unsynced.DROPPED, random.Random(1)) == expected


def test_a_synced_directory_holds_its_names():
    model = DiskModel()
    model.take_all(ops(*FRESH, ("fsyncdir", "d"), ("fsyncdir", "")))
    assert model.cut(Unsynced.DROPPED, random.Random(1)) == {"d": None, "d/f": b"A" * 1000}
    model.take_all(ops(("unlink", "d/f", 1)))
    assert "d/f" in model.cut(Unsynced.DROPPED, random.Random(1))
    assert "d/f" not in model.cut(Unsynced.KEPT, random.Random(1))


def test_tears_are_by_sectors_and_leave_the_synced_part_alone():
    model = DiskModel()
    model.take_all(ops(*FRESH, ("fsyncdir", "d"), ("fsyncdir", "")))
    seen = set()
    for seed in range(200):
        content = model.cut(Unsynced.TORN, random.Random(seed))["d/f"]
        assert content[:1000] == b"A" * 1000
        assert len(content) in (1000, 1024, 1536, 2000)
        for begin, end in ((1000, 1024), (1024, 1536), (1536, 2000)):
            assert content[begin:end] in (b"", b"B" * (end - begin), bytes(end - begin))
        seen.add(content)
    assert len(seen) >= 7


def test_a_rename_over_a_file_is_all_or_nothing():
    base = ops(
        ("create", "f", 1), ("write", "", 1, 0, b"old"), ("fsync", "", 1), ("fsyncdir", ""),
        ("create", "f.new", 2), ("write", "", 2, 0, b"new"), ("fsync", "", 2),
        ("rename", "f.new", 0, 0, b"f"),
    )  # fmt: skip
    for names in Names:
        for unsynced in Unsynced:
            for seed in range(20):
                model = DiskModel(names)
                model.take_all(base)
                found = model.cut(unsynced, random.Random(seed))
                assert found["f"] in (b"old", b"new")


def test_a_trace_that_is_cut_short_is_read_up_to_there(tmp_path):
    writer = TraceWriter(tmp_path / "trace")
    writer.put("mkdir", "a")
    writer.put("mkdir", "b")
    writer.flush()
    whole = (tmp_path / "trace").read_bytes()
    (tmp_path / "trace").write_bytes(whole[:-3])
    assert [op.path for op in read_trace(tmp_path / "trace")] == ["a"]

"""`khupho archive`: what its commands print, beside a recorder too, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from recording_by_hand import Recording

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.events import CloseCause
from khupho.archive.journal.hold_requests import REQUESTS_DIRECTORY
from khupho.cli import main
from khupho.commands import archive_footage, archive_holds
from khupho.units import US_PER_S


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["archive", *args])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    monkeypatch.setenv("KHUPHO_DATA", str(made))
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def running(data: Path) -> Recording:
    """A recorder that writes: two runs of `gate` with an hour between, `door` beside."""
    recording = Recording(data / "archive")
    recording.run(30, "gate", "door", "gate/sub")
    recording.hang_up(CloseCause.CONNECTION, "gate")
    recording.clock.advance(3_600 * US_PER_S)
    recording.run(30, "gate")
    return recording


def printed(capsys: pytest.CaptureFixture[str]) -> dict | list:
    return json.loads(capsys.readouterr().out)


def test_list_beside_a_recorder(running: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    text = capsys.readouterr().out
    assert "gate/main\n  2026-11-24 08:00:00+07:00 to 2026-11-24 09:00:" in text
    assert "········░░··············" in text
    assert "01:00:00: the connection to the camera broke" in text
    assert run("list", "gate", "--stream", "main", "--json") == 0
    (stream,) = printed(capsys)
    assert (stream["camera"], stream["stream"], stream["segments"]) == ("gate", "main", 2)
    assert stream["days"][0]["zone"] == "Asia/Ho_Chi_Minh"
    assert len(stream["gaps"]) == 1
    assert run("list", "--from", "2026-11-24 08:30", "--to", "+10m") == 0
    assert "no footage" in capsys.readouterr().out
    assert run("list", "nobody") == 1
    assert "Known: door, gate" in capsys.readouterr().err
    assert running.close()


def test_the_list_is_the_same_without_a_catalog(
    running: Recording, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.close()
    assert run("list", "--json") == 0
    known = printed(capsys)
    for file in (data / "archive").glob("catalog*"):
        file.unlink()
    assert run("list", "--json") == 0
    assert printed(capsys) == known


def test_export_beside_a_recorder_and_verify(
    running: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    running.run(62, "gate")  # a checkpoint is signed
    capsys.readouterr()
    assert run("export", "gate", "--from", "2026-11-24 08:00:02", "--to", "+10s", "--json") == 0
    (made,) = printed(capsys)["files"]
    assert made["file"] == "gate-2026-11-24_080002.mp4"
    assert (made["frames"], made["proven"]) == (250, True)
    assert run("verify", made["file"]) == 0
    assert "Clip and report agree" in capsys.readouterr().out
    with ArchiveReader(running.root) as reader:
        key = str(reader.prover()._key)
    assert run("verify", made["file"], "--key", key, "--json") == 0
    assert printed(capsys)["key_was_given"] is True
    assert run("verify", made["file"], "--key", "nonsense") == 2
    clip = Path(made["file"])
    data = bytearray(clip.read_bytes())
    data[-100] ^= 1
    clip.write_bytes(data)
    assert run("verify", made["file"]) == 1
    assert "don't rely on it" in capsys.readouterr().out
    # Of what is being written this moment, too.
    now = "2026-11-24T09:00:40+07:00"
    assert run("export", "gate", "--from", now, "--to", "+5s", "--out", "now.mp4") == 0
    assert "now.mp4" in capsys.readouterr().out
    assert running.close()


def test_export_of_a_gap_makes_two_files(
    running: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "export",
        "gate",
        "--from",
        "2026-11-24 08:00:20",
        "--to",
        "+61m",
        "--out",
        "c.mp4",
    )
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "c-1.mp4" in text
    assert "c-2.mp4" in text
    assert "missing 2026-11-24 08:00:29+07:00" in text
    assert run(*arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert run(*arguments, "--force", "--joined", "--json") == 0
    assert len(printed(capsys)["files"]) == 1
    assert run("export", "gate", "--from", "2026-11-24 07:00", "--to", "+5m") == 1
    assert "khupho archive list gate" in capsys.readouterr().err
    assert run("export", "gate", "--from", "2026-11-24") == 2
    assert running.close()


def test_a_cancelled_export_leaves_nothing(
    running: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.close()

    class Impatient(archive_footage.ProgressLine):
        def tell(self, done: int, total: int, detail: str = "") -> None:
            if done:
                raise KeyboardInterrupt

    monkeypatch.setattr(archive_footage, "ProgressLine", Impatient)
    assert (
        run("export", "gate", "--from", "2026-11-24 08:00", "--to", "+20s", "--out", "c.mp4") == 130
    )
    assert not list(tmp_path.glob("*c*"))


def test_check_says_what_is_wrong(
    running: Recording, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--deep") == 0
    assert "All is well." in capsys.readouterr().out
    assert running.close()
    assert run("check", "--json") == 0
    assert printed(capsys)["well"] is True
    path = next((data / "archive").glob("door/main/*/*.mp4"))
    with path.open("ab") as file:
        file.write(b"\0" * 16)
    assert run("check") == 1
    text = capsys.readouterr().out
    assert "NO    3" in text
    assert "smartctl" in text
    assert run("check", "--json") == 1
    (finding,) = printed(capsys)["findings"]
    assert finding["invariant"] == 3
    assert finding["byte"] == path.stat().st_size - 16


def test_rebuild(running: Recording, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rebuild") == 1
    assert "being written" in capsys.readouterr().err
    assert running.close()
    (data / "archive" / "catalog.sqlite3").unlink()
    assert run("rebuild", "--json") == 0
    assert printed(capsys) == {"segments": 4, "left_out": [], "streams_without_number": []}
    assert run("check") == 0


def test_holds_beside_a_recorder(
    running: Recording,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recorder takes requests up while the command waits."""

    def meanwhile(_seconds: float) -> None:
        running.clock.advance(US_PER_S)
        running.archive.keeper.round()

    monkeypatch.setattr(archive_holds, "sleep", meanwhile)
    times = ("--from", "2026-11-24 08:00", "--to", "+1h")
    assert run("hold", "gate", *times, "--reason", "Trộm xe, số 12", "--json") == 0
    made = printed(capsys)
    assert made["taken_up"] is True
    assert run("holds", "--json") == 0
    assert [one["id"] for one in printed(capsys)] == [made["id"]]
    assert run("release", made["id"], "--yes") == 0
    assert "noted" not in capsys.readouterr().out
    assert run("holds") == 0
    assert "Nothing is held" in capsys.readouterr().out
    assert not list((data / "archive" / REQUESTS_DIRECTORY).iterdir())
    assert running.close()


def test_holds_while_no_recorder_runs(
    running: Recording, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.close()
    times = ("--from", "2026-11-24 08:00", "--to", "+1h")
    assert run("hold", "gate", *times, "--reason", "Theft", "--stream", "main") == 0
    assert "when it runs" in capsys.readouterr().out
    assert run("holds") == 0
    text = capsys.readouterr().out
    assert "2026-11-24 08:00:00+07:00 to 2026-11-24 09:00:00+07:00  Theft" in text
    hold_id = text.splitlines()[1].split()[0]
    monkeypatch.setattr(
        click, "confirm", lambda *_args, **_kwargs: (_ for _ in ()).throw(click.Abort)
    )
    assert run("release", hold_id) == 130
    assert run("release", "nothing", "--yes") == 1
    assert run("hold", "gate", *times, "--reason", "") == 1
    assert (
        run(
            "hold",
            "gate",
            "--from",
            "2026-11-24 08:00",
            "--to",
            "2026-11-24 07:00",
            "--reason",
            "x",
        )
        == 1
    )
    assert run("hold", "nobody", *times, "--reason", "x") == 1
    assert run("release", hold_id, "--yes", "--json") == 0


def test_without_an_archive_everything_says_so(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 1
    assert "There is no archive here" in capsys.readouterr().err
    assert run("check", "--json") == 1
    assert data.exists()

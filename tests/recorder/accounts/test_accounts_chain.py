"""The access log's chain: what is changed behind the program's back is found at its row."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from accounts_scene import CALLER, owner, played, refused

from khupho.clock import ManualClock
from khupho.recorder.accounts.access_log import MOST_DETAIL
from khupho.recorder.accounts.accounts import Accounts, Caller

TRIGGERS = ("access_log_keeps", "access_log_holds", "access_log_grows")


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE access_log SET camera = 'x' WHERE id = 3", 3),
        ("UPDATE access_log SET account_name = 'x' WHERE id = 1", 1),
        ("UPDATE access_log SET utc_us = utc_us + 1 WHERE id = 8", 8),
        ("UPDATE access_log SET sha256 = zeroblob(32) WHERE id = 4", 4),
        ("UPDATE access_log SET before_sha256 = zeroblob(32) WHERE id = 5", 5),
        ("DELETE FROM access_log WHERE id = 4", 5),
        ("DELETE FROM access_log WHERE id = 1", 2),
        ("SELECT 1", None),
    ],
)
def test_broken_by_hand(tmp_path: Path, sql: str, broken: int | None) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        for number in range(6):
            await accounts.log.begin(person, CALLER, "still", f"cam-{number}", "main", 1, 2, "x")
        other = apsw.Connection(str(tmp_path / "accounts.db"))
        for trigger in TRIGGERS:
            other.execute(f"DROP TRIGGER {trigger}")
        other.execute(sql)
        other.close()
        assert accounts.log.verify() == broken

    played(tmp_path, play)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE access_log SET camera = 'x'",
        "DELETE FROM access_log WHERE id = 1",
        "INSERT OR REPLACE INTO access_log SELECT * FROM access_log WHERE id = 1",
        "INSERT INTO access_log SELECT id + 7, utc_us, account, account_name, address, agent, kind, "
        "camera, stream, start_utc_us, end_utc_us, detail, begun, before_sha256, sha256 "
        "FROM access_log WHERE id = 1",
    ],
)
def test_the_file_itself_refuses(tmp_path: Path, sql: str) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        await owner(accounts)
        other = apsw.Connection(str(tmp_path / "accounts.db"))
        with pytest.raises(apsw.ConstraintError, match="access log"):
            other.execute(sql)
        other.close()
        assert accounts.log.verify() is None

    played(tmp_path, play)


def test_views_end_once_and_pages_go_on(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        log = accounts.log
        rogue = Caller("a" * 100, "x\r\n\x1b[31m" + "y" * 500)
        view = await log.begin(person, rogue, "live", "gate", "main", None, None, "ế" * 900)
        still = await log.begin(None, CALLER, "refused", "yard", None, None, None, "")
        clock.advance(5)
        await log.end(view)
        await log.end(view)
        ended = clock.utc_us()
        clock.advance(5)
        await refused("not-found", log.end(99))
        await refused("not-found", log.end(still + 1))
        entries = await log.page(10, None, None, None)
        assert [entry.kind for entry in entries] == ["refused", "live", "sign_in", "account"]
        assert [entry.ended_utc_us for entry in entries] == [None, ended, None, None]
        assert entries[0].account == entries[0].stream == ""
        live = entries[1]
        assert (live.account, live.camera, live.stream) == ("Chị Hoa", "gate", "main")
        assert (len(live.address), len(live.agent), len(live.detail)) == (64, 200, MOST_DETAIL)
        assert live.agent.isprintable()
        assert [e.id for e in await log.page(1, live.id, None, None)] == [entries[2].id]
        assert await log.page(10, None, "gate", None) == [live]
        assert await log.page(10, None, None, "Chị Hoa") == entries[1:]
        assert await log.page(10, None, "gate", "ai đó") == []
        assert log.verify() is None

    played(tmp_path, play)

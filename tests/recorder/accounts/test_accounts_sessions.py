"""Sessions: how they end, who is told, what a restart finds, and what is written how often."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from accounts_scene import CALLER, OWNER, PASSWORD, invited, opened, owner, played, refused

from khupho.clock import ManualClock
from khupho.recorder.accounts.accounts import Accounts, AccountsFileError
from khupho.recorder.accounts.roles import Role
from khupho.recorder.accounts.sessions import MOST_OF_ONE_ACCOUNT
from khupho.units import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S


def used_in_file(data: Path) -> int:
    other = apsw.Connection(str(data / "accounts.db"), apsw.SQLITE_OPEN_READONLY)
    [(used_utc_us,)] = other.execute("SELECT used_utc_us FROM sessions").fetchall()
    other.close()
    return int(used_utc_us)


@pytest.mark.parametrize("steps_back", [False, True])
def test_twelve_hours_without_use_whatever_the_date_does(tmp_path: Path, steps_back: bool) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        token = (await owner(accounts)).token
        clock.advance(12 * US_PER_HOUR - 1)
        assert accounts.person(token)
        clock.advance(12 * US_PER_HOUR)
        if steps_back:
            clock.step(-6 * US_PER_HOUR)
        assert accounts.person(token) is None
        assert await accounts.sessions(1) == []

    played(tmp_path, play)


def test_thirty_days_at_the_latest(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        signed_in = await owner(accounts)
        assert signed_in.expires_utc_us == clock.utc_us() + 30 * US_PER_DAY
        for _ in range(30 * 3 - 1):
            clock.advance(8 * US_PER_HOUR)
            assert accounts.person(signed_in.token)
        clock.advance(8 * US_PER_HOUR)
        assert accounts.person(signed_in.token) is None

    played(tmp_path, play)


def test_use_is_written_at_most_once_a_minute_and_at_the_end(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        token = (await owner(accounts)).token
        began_us = clock.utc_us()
        seen = set()
        for _ in range(150):
            clock.advance(US_PER_S)
            accounts.person(token)
            await accounts.list_accounts()  # the thread has done what was given before
            seen.add(used_in_file(tmp_path) - began_us)
        assert seen == {0, US_PER_MINUTE, 2 * US_PER_MINUTE}
        accounts.close()
        assert used_in_file(tmp_path) - began_us == 150 * US_PER_S

    played(tmp_path, play)


def test_a_session_that_runs_out_is_told_to_who_watches(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        told = asyncio.Event()
        accounts.watch((await owner(accounts)).person.session_id, told.set)
        clock.advance(12 * US_PER_HOUR)
        accounts._sessions.end_expired()
        await told.wait()

    played(tmp_path, play)


def test_a_callback_that_fails_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        told: list[str] = []
        accounts.watch(person.session_id, lambda: told.append(1 / 0))  # type: ignore[arg-type]
        accounts.watch(person.session_id, lambda: told.append("told"))
        await accounts.sign_out(person)
        assert told == ["told"]

    played(tmp_path, play)


def test_lists_tell_which_one_asks_and_have_an_end(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        first = await owner(accounts)
        for _ in range(MOST_OF_ONE_ACCOUNT):
            clock.advance(US_PER_S)
            last = await accounts.sign_in(OWNER, PASSWORD, CALLER)
        assert accounts.person(first.token) is None
        views = await accounts.sessions(1, last.person.session_id)
        assert len(views) == MOST_OF_ONE_ACCOUNT
        assert [view.is_current for view in views] == [True] + [False] * (len(views) - 1)
        assert (views[0].address, views[0].agent) == (CALLER.address, CALLER.agent)

    played(tmp_path, play)


def test_rights_of_now_count_not_those_of_the_request(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        first = (await owner(accounts)).person
        second = (await invited(accounts, first, "Anh Tư", Role.OWNER)).person
        await accounts.change_account(first, second.account_id, role=Role.MAINTAINER)
        for asked in (
            accounts.create_account(second, "Kẻ lạ", Role.OWNER, None, True),
            accounts.change_account(second, first.account_id, is_disabled=True),
            accounts.remove_account(second, first.account_id),
            accounts.reset_password(second, first.account_id),
        ):
            await refused("forbidden", asked)
        await accounts.sign_out(second)
        await refused("forbidden", accounts.change_password(second, PASSWORD, "một câu mới dài"))
        await refused("not-found", accounts.remove_account(first, 99))
        await refused("bad-cameras", accounts.change_account(first, 2, cameras=frozenset({""})))

    played(tmp_path, play)


def test_all_is_there_after_a_restart_and_codes_too(tmp_path: Path) -> None:
    clock = ManualClock()

    async def before() -> tuple[str, str]:
        accounts = opened(tmp_path, clock)
        signed_in = await owner(accounts)
        _view, code = await accounts.create_account(
            signed_in.person, "Anh Ba", Role.VIEWER, frozenset({"gate"}), True
        )
        accounts.close()
        return signed_in.token, code

    async def after(token: str, code: str) -> None:
        accounts = opened(tmp_path, clock)
        assert accounts.person(token)
        guest = (await accounts.accept_invitation(code, PASSWORD, CALLER)).person
        assert (guest.cameras, guest.may_export) == (frozenset({"gate"}), True)
        accounts.close()
        clock.advance(12 * US_PER_HOUR)
        accounts = opened(tmp_path, clock)
        assert accounts.person(token) is None
        accounts.close()

    asyncio.run(after(*asyncio.run(before())))


def test_a_damaged_file_is_told_plainly(tmp_path: Path) -> None:
    clock = ManualClock()
    opened(tmp_path, clock).close()
    path = tmp_path / "accounts.db"
    whole = path.read_bytes()
    for begin, end in ((0, 100), (4_096, len(whole))):
        path.write_bytes(whole[:begin] + b"\xa5" * (end - begin) + whole[end:])
        with pytest.raises(AccountsFileError, match=r"accounts\.db.*backup"):
            opened(tmp_path, clock)
    with pytest.raises(AccountsFileError, match="cannot be used"):
        opened(tmp_path / "nowhere", clock)


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    path.touch(0o644)
    accounts = opened(tmp_path, ManualClock())
    accounts.new_setup_code()
    for one in tmp_path.iterdir():
        assert one.stat().st_mode & 0o777 == 0o600, one
    accounts.close()

"""People: set-up, invitations, sign-in, sessions, rights. The clock is turned by hand."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from khupho.recorder.accounts.account_errors import AccountError
from khupho.recorder.accounts.accounts import Accounts, Caller, SignedIn
from khupho.recorder.accounts.database import AccountsFileError
from khupho.recorder.accounts.passwords import PasswordCost
from khupho.recorder.accounts.roles import Person, Role
from khupho.units import US_PER_HOUR, US_PER_MINUTE, US_PER_S

CHEAP = PasswordCost(memory_kib=64, passes=1, lanes=1)
HERE = Caller("192.168.1.5", "a browser")
PASSWORD = "bảy con mèo đen"
START_US = 1_760_000_000_000_000


class HandClock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now_us = 0

    def utc_us(self) -> int:
        return START_US + self.now_us

    def mono_us(self) -> int:
        return self.now_us


@asynccontextmanager
async def house(data: Path, clock: HandClock | None = None) -> AsyncIterator[Accounts]:
    accounts = Accounts.open(data, clock or HandClock(), params=CHEAP)
    try:
        yield accounts
    finally:
        accounts.close()


async def owner_of(accounts: Accounts) -> SignedIn:
    return await accounts.set_up(accounts.new_setup_code(), "Chị Hoa", PASSWORD, HERE)


async def guest_of(
    accounts: Accounts, owner: Person, name: str = "Anh Ba", role: Role = Role.VIEWER
) -> SignedIn:
    _view, code = await accounts.create_account(owner, name, role)
    return await accounts.accept_invitation(code, PASSWORD + name, HERE)


def scene(data: Path, play: Callable[[Accounts, HandClock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = HandClock()
        async with asyncio.timeout(30), house(data, clock) as accounts:
            await play(accounts, clock)

    asyncio.run(run())


async def refused(kind: str, asked: Awaitable[object]) -> AccountError:
    with pytest.raises(AccountError) as raised:
        await asked
    assert raised.value.kind == kind
    return raised.value


def test_the_first_owner_comes_by_the_link_and_only_once(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        assert not accounts.is_set_up
        old = accounts.new_setup_code()
        code = accounts.new_setup_code()
        await refused("code-expired", accounts.set_up(old, "Hoa", PASSWORD, HERE))
        await refused("weak-password", accounts.set_up(code, "Hoa", "ngắn", HERE))
        assert not accounts.is_set_up
        signed_in = await accounts.set_up(code, "  Chị   Hoa ", PASSWORD, HERE)
        assert accounts.is_set_up
        person = accounts.person(signed_in.token)
        assert person == signed_in.person
        assert (person.name, person.role, person.cameras) == ("Chị Hoa", Role.OWNER, None)
        await refused("code-expired", accounts.set_up(code, "Kẻ lạ", PASSWORD, HERE))
        with pytest.raises(AccountError):
            accounts.new_setup_code()

    scene(tmp_path, play)


def test_a_set_up_code_is_good_for_an_hour(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        code = accounts.new_setup_code()
        clock.now_us = US_PER_HOUR
        await refused("code-expired", accounts.set_up(code, "Hoa", PASSWORD, HERE))
        code = accounts.new_setup_code()
        clock.now_us += US_PER_HOUR - 1
        await accounts.set_up(code, "Hoa", PASSWORD, HERE)

    scene(tmp_path, play)


def test_two_at_the_door_with_one_code(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        code = accounts.new_setup_code()
        answers = await asyncio.gather(
            *(accounts.set_up(code, f"Người {n}", PASSWORD, HERE) for n in range(4)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, SignedIn) for answer in answers) == 1
        assert len(await accounts.list_accounts()) == 1

    scene(tmp_path, play)


def test_signing_in_and_who_does_not(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        # However a keyboard composes it, and in whatever case the name is written.
        for name in ("Chị Hoa", "chị hoa", "CHỊ HOA", " Chi\u0323 Hoa"):
            assert (await accounts.sign_in(name, PASSWORD, HERE)).person.name == "Chị Hoa"
        viewer, _code = await accounts.create_account(owner, "Chưa vào", Role.VIEWER)
        told = set()
        for name, password in (
            ("Chị Hoa", PASSWORD + "."), ("Không có ai", PASSWORD), (viewer.name, ""), ("", ""),
            ("x" * 100, PASSWORD), ("Chị Hoa", "y" * 10_000), ("\ud800", "\ud800"),
        ):  # fmt: skip
            clock.now_us += US_PER_MINUTE
            told.add(str(await refused("wrong-sign-in", accounts.sign_in(name, password, HERE))))
        assert len(told) == 1

    scene(tmp_path, play)


def test_the_fifth_failure_locks_for_five_minutes(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        await owner_of(accounts)
        for name in ("Chị Hoa", "Không có ai"):
            for _ in range(5):
                clock.now_us += US_PER_S
                await refused("wrong-sign-in", accounts.sign_in(name, "sai rồi nhé", HERE))
            error = await refused("locked", accounts.sign_in(name, PASSWORD, HERE))
            assert 0 < error.retry_after_s <= 300
        clock.now_us += 5 * US_PER_MINUTE
        await accounts.sign_in("Chị Hoa", PASSWORD, HERE)

    scene(tmp_path, play)


def test_failures_far_apart_lock_nobody(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        await owner_of(accounts)
        for _ in range(12):
            clock.now_us += 8 * US_PER_S
            await refused("wrong-sign-in", accounts.sign_in("Chị Hoa", "sai rồi nhé", HERE))
        await accounts.sign_in("Chị Hoa", PASSWORD, HERE)

    scene(tmp_path, play)


def test_failures_at_once_count_each(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        await owner_of(accounts)
        tries = [accounts.sign_in("Chị Hoa", f"thử lần thứ {n}", HERE) for n in range(40)]
        kinds = [
            answer.kind
            for answer in await asyncio.gather(*tries, return_exceptions=True)
            if isinstance(answer, AccountError)
        ]
        assert len(kinds) == 40
        assert kinds.count("wrong-sign-in") <= 5
        await refused("locked", accounts.sign_in("Chị Hoa", PASSWORD, HERE))

    scene(tmp_path, play)


@pytest.mark.parametrize(
    "password",
    ["123456789", "1234567890", "matkhau 123", "MẬT KHẨU 123", "Anh Ba", "aaaaaaaaaaaa", "x" * 201,
     "khupho 12345"],
)  # fmt: skip
def test_weak_passwords_are_refused(tmp_path: Path, password: str) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        _view, code = await accounts.create_account(owner, "Anh Ba", Role.VIEWER)
        await refused("weak-password", accounts.accept_invitation(code, password, HERE))
        # The code isn't used up by that.
        await accounts.accept_invitation(code, PASSWORD, HERE)

    scene(tmp_path, play)


def test_an_invitation_is_good_once_and_for_a_day(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        view, code = await accounts.create_account(
            owner, "Anh Ba", Role.VIEWER, frozenset({"gate"}), may_export=True
        )
        assert (view.is_invited, view.cameras, view.may_export) == (True, ("gate",), True)
        await refused("name-taken", accounts.create_account(owner, "anh  ba", Role.OWNER))
        guest = await accounts.accept_invitation(code, PASSWORD, HERE)
        assert (guest.person.cameras, guest.person.may_export) == (frozenset({"gate"}), True)
        await refused("code-expired", accounts.accept_invitation(code, PASSWORD, HERE))
        late, code = await accounts.create_account(owner, "Muộn", Role.VIEWER)
        clock.now_us += 24 * US_PER_HOUR
        await refused("code-expired", accounts.accept_invitation(code, PASSWORD, HERE))
        owner = (await accounts.sign_in("Chị Hoa", PASSWORD, HERE)).person
        code = await accounts.reset_password(owner, late.id)
        await accounts.accept_invitation(code, PASSWORD, HERE)

    scene(tmp_path, play)


def test_a_set_up_code_is_no_invitation_and_the_other_way_round(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        code = accounts.new_setup_code()
        await refused("code-expired", accounts.accept_invitation(code, PASSWORD, HERE))
        owner = (await owner_of(accounts)).person
        _view, code = await accounts.create_account(owner, "Anh Ba", Role.VIEWER)
        await refused("code-expired", accounts.set_up(code, "Anh Tư", PASSWORD, HERE))

    scene(tmp_path, play)


def test_sessions_end_unused_or_old(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        token = (await owner_of(accounts)).token
        for _ in range(59):
            clock.now_us += 12 * US_PER_HOUR - 1
            assert accounts.person(token) is not None
        clock.now_us += 12 * US_PER_HOUR
        assert accounts.person(token) is None
        unused = (await accounts.sign_in("Chị Hoa", PASSWORD, HERE)).token
        clock.now_us += 12 * US_PER_HOUR
        assert accounts.person(unused) is None
        assert accounts.person("") is None
        assert accounts.person("\ud800") is None

    scene(tmp_path, play)


def test_who_is_signed_in_stays_so_through_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        clock = HandClock()
        async with house(tmp_path, clock) as accounts:
            token = (await owner_of(accounts)).token
            other = (await accounts.sign_in("Chị Hoa", PASSWORD, HERE)).token
            person = accounts.person(other)
            assert person is not None
            await accounts.sign_out(person)
            clock.now_us += 11 * US_PER_HOUR
            assert accounts.person(token) is not None
        clock.now_us += 11 * US_PER_HOUR
        async with house(tmp_path, clock) as accounts:
            assert accounts.person(token) is not None
            assert accounts.person(other) is None
            assert accounts.is_set_up

    asyncio.run(run())


def test_what_ends_a_session_is_told_at_once(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        guest = await guest_of(accounts, owner)
        again = await accounts.sign_in("Anh Ba", PASSWORD + "Anh Ba", HERE)
        told: list[str] = []
        accounts.watch(guest.person.session_id, lambda: told.append("first"))
        forget = accounts.watch(again.person.session_id, lambda: told.append("second"))
        await accounts.change_account(owner, guest.person.account_id, cameras=frozenset({"x"}))
        assert told == ["first", "second"]
        changed = accounts.person(guest.token)
        assert changed is not None
        assert changed.cameras == frozenset({"x"})
        forget()
        forget()
        await accounts.end_session(owner, guest.person.session_id)
        assert told == ["first", "second", "first"]
        assert accounts.person(guest.token) is None
        # Who looks too late is told at once.
        accounts.watch(guest.person.session_id, lambda: told.append("late"))
        assert told[-1] == "late"

    scene(tmp_path, play)


@pytest.mark.parametrize("how", ["disable", "remove", "reset", "password"])
def test_a_right_that_is_withdrawn_is_gone_everywhere(tmp_path: Path, how: str) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        guest = await guest_of(accounts, owner)
        here = await accounts.sign_in("Anh Ba", PASSWORD + "Anh Ba", HERE)
        number = guest.person.account_id
        if how == "disable":
            await accounts.change_account(owner, number, is_disabled=True)
        elif how == "remove":
            await accounts.remove_account(owner, number)
        elif how == "reset":
            await accounts.reset_password(owner, number)
        else:
            await accounts.change_password(here.person, PASSWORD + "Anh Ba", "một câu mới dài")
        assert accounts.person(guest.token) is None
        assert (accounts.person(here.token) is not None) == (how == "password")
        if how in ("disable", "remove", "password"):
            await refused("wrong-sign-in", accounts.sign_in("Anh Ba", PASSWORD + "Anh Ba", HERE))
        if how == "password":
            await accounts.sign_in("Anh Ba", "một câu mới dài", HERE)

    scene(tmp_path, play)


def test_only_an_owner_ends_anothers_session(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = await owner_of(accounts)
        guest = await guest_of(accounts, owner.person)
        await refused("not-found", accounts.end_session(guest.person, owner.person.session_id))
        await refused("not-found", accounts.end_session(owner.person, 99))
        listed = await accounts.sessions(guest.person.account_id)
        assert [(one.id, one.address) for one in listed] == [
            (guest.person.session_id, "192.168.1.5")
        ]

    scene(tmp_path, play)


def test_the_last_owner_stays(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        number = owner.account_id
        # Somebody who was invited, and never came, is no owner to rely on.
        await accounts.create_account(owner, "Chưa vào", Role.OWNER)
        for asked in (
            accounts.remove_account(owner, number),
            accounts.change_account(owner, number, role=Role.VIEWER),
            accounts.change_account(owner, number, is_disabled=True),
        ):
            await refused("last-owner", asked)
        second = (await guest_of(accounts, owner, "Anh Tư", Role.OWNER)).person
        await accounts.change_account(second, number, role=Role.VIEWER)
        await refused("last-owner", accounts.remove_account(second, second.account_id))

    scene(tmp_path, play)


def test_a_wrong_old_password_changes_nothing(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        owner = (await owner_of(accounts)).person
        await refused("wrong-sign-in", accounts.change_password(owner, "sai", "một câu mới dài"))
        await refused("weak-password", accounts.change_password(owner, PASSWORD, "1234567890"))
        await accounts.sign_in("Chị Hoa", PASSWORD, HERE)

    scene(tmp_path, play)


def test_nothing_secret_lies_in_the_file(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: HandClock) -> None:
        code = accounts.new_setup_code()
        signed_in = await accounts.set_up(code, "Chị Hoa", PASSWORD, HERE)
        _view, invitation = await accounts.create_account(signed_in.person, "Anh Ba", Role.VIEWER)
        await accounts.sessions(1)
        held = b"".join(path.read_bytes() for path in tmp_path.glob("accounts.db*"))  # noqa: ASYNC240 - a test
        for secret in (code, invitation, signed_in.token, PASSWORD):
            assert secret.encode() not in held
        assert stat.S_IMODE((tmp_path / "accounts.db").stat().st_mode) == 0o600

    scene(tmp_path, play)


@pytest.mark.parametrize("how", ["garbage", "another", "newer"])
def test_a_file_that_is_not_ours_is_not_used(tmp_path: Path, how: str) -> None:
    path = tmp_path / "accounts.db"
    if how == "garbage":
        path.write_bytes(b"no database at all" * 1_000)
    elif how == "another":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE account (id)")
    else:
        Accounts.open(tmp_path, HandClock(), params=CHEAP).close()
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    if how == "newer":
        before = before[100:]  # SQLite counts openings in its header
    with pytest.raises(AccountsFileError):
        Accounts.open(tmp_path, HandClock(), params=CHEAP)
    assert path.read_bytes().endswith(before)

"""A recorder's accounts with cheap hashing, a clock turned by hand, and an owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from khupho.clock import ManualClock
from khupho.recorder.accounts.accounts import AccountError, Accounts, Caller, SignedIn
from khupho.recorder.accounts.passwords import PasswordCost
from khupho.recorder.accounts.roles import Person, Role

CHEAP = PasswordCost(memory_kib=8, passes=1, lanes=1)
CALLER = Caller("192.168.1.20", "Firefox")
PASSWORD = "con mèo nằm trên mái"
OWNER = "Chị Hoa"


def opened(data: Path, clock: ManualClock) -> Accounts:
    return Accounts.open(data, clock, params=CHEAP)


def played(data: Path, play: Callable[[Accounts, ManualClock], Awaitable[None]]) -> None:
    """Run a scene with accounts of their own."""
    clock = ManualClock()
    accounts = opened(data, clock)
    try:
        asyncio.run(_whole(play(accounts, clock)))
    finally:
        accounts.close()


async def _whole(scene: Awaitable[None]) -> None:
    async with asyncio.timeout(60):
        await scene


async def refused(kind: str, asked: Awaitable[object]) -> AccountError:
    with pytest.raises(AccountError) as raised:
        await asked
    assert raised.value.kind == kind
    return raised.value


async def owner(accounts: Accounts) -> SignedIn:
    return await accounts.set_up(accounts.new_setup_code(), OWNER, PASSWORD, CALLER)


async def invited(accounts: Accounts, by: Person, name: str, role: Role, **rights: Any) -> SignedIn:
    rights = {"cameras": frozenset({"gate"}), "may_export": False, **rights}
    _view, code = await accounts.create_account(by, name, role, **rights)
    return await accounts.accept_invitation(code, PASSWORD, CALLER)

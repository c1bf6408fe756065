"""Passkeys: with user verification, each challenge once and within two minutes, hostile answers refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from accounts_scene import CALLER, OWNER, PASSWORD, invited, owner, played, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from software_authenticator import SoftwareAuthenticator, text64

from khupho.clock import ManualClock
from khupho.recorder.accounts.accounts import AccountError, Accounts
from khupho.recorder.accounts.passkeys import CHALLENGE_US, MOST_CHALLENGES, Challenges
from khupho.recorder.accounts.roles import Person, Role

RP, ORIGIN = "recorder.local", "https://recorder.local"


async def added(accounts: Accounts, person: Person) -> SoftwareAuthenticator:
    key = SoftwareAuthenticator(ORIGIN, RP)
    answer = key.create(await accounts.passkey_options(person, RP))
    await accounts.add_passkey(person, RP, ORIGIN, answer, "điện thoại")
    return key


async def answered(accounts: Accounts, key: SoftwareAuthenticator) -> dict[str, Any]:
    return key.get(await accounts.passkey_sign_in_options(RP))


def test_added_used_and_removed(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        key = await added(accounts, person)
        signed_in = await accounts.passkey_sign_in(
            RP, ORIGIN, await answered(accounts, key), CALLER
        )
        assert accounts.person(signed_in.token) == signed_in.person
        assert signed_in.person.account_id == person.account_id
        [view] = await accounts.list_passkeys(person)
        assert (view.label, view.used_utc_us) == ("điện thoại", clock.utc_us())
        options = await accounts.passkey_options(person, RP)
        assert [one["id"] for one in options["excludeCredentials"]] == [text64(key.credential_id)]
        assert options["authenticatorSelection"]["userVerification"] == "required"
        await refused("not-found", accounts.remove_passkey(person, view.id + 1))
        await accounts.remove_passkey(person, view.id)
        answer = await answered(accounts, key)
        await refused("wrong-sign-in", accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))

    played(tmp_path, play)


def test_a_challenge_is_good_once_and_for_two_minutes(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        late = SoftwareAuthenticator(ORIGIN, RP)
        answer = late.create(await accounts.passkey_options(person, RP))
        clock.advance(CHALLENGE_US)
        await refused("bad-passkey", accounts.add_passkey(person, RP, ORIGIN, answer, ""))
        key = await added(accounts, person)
        answer = await answered(accounts, key)
        await accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER)
        await refused("wrong-sign-in", accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))
        answer = await answered(accounts, key)
        clock.advance(CHALLENGE_US)
        await refused("wrong-sign-in", accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))

    played(tmp_path, play)


@pytest.mark.parametrize("how", ["origin", "rp", "unverified", "count", "signature", "handle"])
def test_what_is_not_the_passkey_is_refused(tmp_path: Path, how: str) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        key = await added(accounts, person)
        await accounts.passkey_sign_in(RP, ORIGIN, await answered(accounts, key), CALLER)
        match how:
            case "origin":
                key.origin = "https://elsewhere.example"
            case "rp":
                key.rp_id = "elsewhere.example"
            case "unverified":
                key.verifies = False
            case "count":
                key.count = 0
            case "handle":
                key.user_handle = text64(bytes(32)).encode()
        answer = await answered(accounts, key)
        if how == "signature":
            answer["response"]["signature"] = text64(b"0" * 70)
        await refused("wrong-sign-in", accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))
        page = await accounts.log.page(1)
        assert (page[0].kind, page[0].account) == ("refused", "")

    played(tmp_path, play)


def test_unverified_anothers_and_known_keys_are_not_added(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        guest = (await invited(accounts, person, "Anh Ba", Role.VIEWER)).person
        key = SoftwareAuthenticator(ORIGIN, RP, verifies=False)
        answer = key.create(await accounts.passkey_options(person, RP))
        await refused("bad-passkey", accounts.add_passkey(person, RP, ORIGIN, answer, ""))
        key.verifies = True
        answer = key.create(await accounts.passkey_options(guest, RP))
        await refused("bad-passkey", accounts.add_passkey(person, RP, ORIGIN, answer, ""))
        key = await added(accounts, person)
        answer = key.create(await accounts.passkey_options(guest, RP))
        await refused("bad-passkey", accounts.add_passkey(guest, RP, ORIGIN, answer, ""))
        await refused("bad-passkey", accounts.passkey_options(person, ""))

    played(tmp_path, play)


def test_disabled_accounts_stay_out_and_a_lock_does_not_bar_passkeys(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        own = await added(accounts, person)
        for _ in range(5):
            await refused("wrong-sign-in", accounts.sign_in(OWNER, "sai rồi nhé em", CALLER))
        await refused("locked", accounts.sign_in(OWNER, PASSWORD, CALLER))
        await accounts.passkey_sign_in(RP, ORIGIN, await answered(accounts, own), CALLER)
        guest = (await invited(accounts, person, "Anh Ba", Role.VIEWER)).person
        key = await added(accounts, guest)
        await accounts.change_account(person, guest.account_id, is_disabled=True)
        answer = await answered(accounts, key)
        await refused("wrong-sign-in", accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))

    played(tmp_path, play)


def test_an_owner_with_a_passkey_only_keeps_it(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        await refused("last-owner", accounts.reset_password(person, person.account_id))
        key = await added(accounts, person)
        await accounts.reset_password(person, person.account_id)
        again = await accounts.passkey_sign_in(RP, ORIGIN, await answered(accounts, key), CALLER)
        [view] = await accounts.list_passkeys(again.person)
        await refused("last-owner", accounts.remove_passkey(again.person, view.id))
        assert len(await accounts.list_passkeys(again.person)) == 1

    played(tmp_path, play)


def test_waiting_challenges_have_an_end() -> None:
    challenges = Challenges(ManualClock())
    first = challenges.new(1, RP)
    for _ in range(MOST_CHALLENGES):
        challenges.new(1, RP)
    assert len(challenges) == MOST_CHALLENGES
    assert not challenges.use(first, 1, RP)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_hostile_answers_raise_nothing_else(tmp_path: Path) -> None:
    async def play(accounts: Accounts, clock: ManualClock) -> None:
        person = (await owner(accounts)).person
        key = await added(accounts, person)
        loop = asyncio.get_running_loop()

        @settings(max_examples=150, deadline=None)
        @given(
            st.sampled_from(
                ["id", "rawId", "type", "clientDataJSON", "authenticatorData", "signature"]
            ),
            st.none() | st.tuples(st.integers(0, 10_000), st.text(min_size=1, max_size=2)),
            _JSON,
        )
        def mutate(part: str, letters: tuple[int, str] | None, instead: object) -> None:
            def run(asked: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(asked, loop).result(30)

            answer = run(answered(accounts, key))
            where = answer if part in answer else answer["response"]
            if letters is None:
                where[part] = instead
            else:
                at = letters[0] % len(where[part])
                where[part] = where[part][:at] + letters[1] + where[part][at:]
            try:
                run(accounts.passkey_sign_in(RP, ORIGIN, answer, CALLER))
            except AccountError as error:
                assert error.kind == "wrong-sign-in"

        await asyncio.to_thread(mutate)

    played(tmp_path, play)

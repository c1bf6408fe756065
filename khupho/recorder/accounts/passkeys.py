"""Passkeys (WebAuthn level 3) with user verification. All of it runs in the database's thread."""

from __future__ import annotations

import secrets
import struct
from collections import OrderedDict
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, options_to_json_dict, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from khupho.clock import Clock
from khupho.recorder.accounts.account_errors import AccountError, not_found, wrong_sign_in
from khupho.recorder.accounts.database import Database
from khupho.recorder.accounts.names import MOST_NAME_CHARACTERS, one_line
from khupho.recorder.accounts.people import Account, People
from khupho.recorder.accounts.views import PasskeyView
from khupho.units import US_PER_MS, US_PER_S

CHALLENGE_US = 120 * US_PER_S
MOST_CHALLENGES = 1_024
MOST_OF_ONE_ACCOUNT = 20
_CHALLENGE_BYTES = 32
_SIGN_IN = 0
"""The session number of challenges for those who have none yet."""
_HOSTILE = (
    WebAuthnException, InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, LookupError,
    AttributeError, ArithmeticError, RecursionError, EOFError, struct.error,
)  # fmt: skip
"""What the library and its parsers raise at answers that are none."""


class Challenges:
    """Challenges that wait for their answer: each good once, for two minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: OrderedDict[bytes, tuple[int, str, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def new(self, session_id: int, rp_id: str) -> bytes:
        """For this session, under this name. The oldest makes room."""
        challenge = secrets.token_bytes(_CHALLENGE_BYTES)
        self._waiting[challenge] = (session_id, rp_id, self._clock.mono_us() + CHALLENGE_US)
        while len(self._waiting) > MOST_CHALLENGES:
            self._waiting.popitem(last=False)
        return challenge

    def use(self, challenge: bytes, session_id: int, rp_id: str) -> bool:
        """Whether it was given to this session under this name, not too long ago. It is used up."""
        asked = self._waiting.pop(challenge, None)
        return (
            asked is not None
            and asked[:2] == (session_id, rp_id)
            and self._clock.mono_us() < asked[2]
        )


class Passkeys:
    """Makes options, judges answers, keeps credentials."""

    def __init__(self, database: Database, people: People, clock: Clock) -> None:
        self._database = database
        self._people = people
        self._clock = clock
        # Apart: whoever asks for sign-ins in a loop must not push out those who add a passkey.
        self._registrations = Challenges(clock)
        self._sign_ins = Challenges(clock)

    def options(self, account_id: int, session_id: int, rp_id: str) -> dict[str, Any]:
        """What `navigator.credentials.create` is to be asked with."""
        account = self._people.get(account_id)
        known = self._database.ask(
            "SELECT credential_id FROM passkeys WHERE account = ?", (account_id,)
        )
        if len(known) >= MOST_OF_ONE_ACCOUNT:
            raise AccountError(
                "too-many", "There are many passkeys already", advice="Remove one first"
            )
        options = generate_registration_options(
            rp_id=_rp(rp_id),
            rp_name="Khu Phố",
            user_name=account.name,
            user_id=account.user_handle,
            challenge=self._registrations.new(session_id, rp_id),
            timeout=CHALLENGE_US // US_PER_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=row[0]) for row in known],
        )
        return options_to_json_dict(options)

    def add(
        self,
        account_id: int,
        session_id: int,
        rp_id: str,
        origin: str,
        answer: dict[str, Any],
        label: str,
    ) -> None:
        """Keep a new passkey. Raises `AccountError` ("bad-passkey")."""
        try:
            challenge = _challenge_of(answer)
            if not self._registrations.use(challenge, session_id, rp_id):
                raise ValueError("another challenge")
            verified = verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=rp_id,
                expected_origin=origin,
                require_user_verification=True,
            )
        except _HOSTILE as error:
            raise _bad_passkey() from error
        if self._database.ask(
            "SELECT 1 FROM passkeys WHERE credential_id = ?", (verified.credential_id,)
        ):
            raise _bad_passkey()
        label = " ".join(one_line(label, MOST_NAME_CHARACTERS).split()) or "Passkey"
        self._database.ask(
            "INSERT INTO passkeys (account, credential_id, public_key, sign_count, rp_id, label, "
            "created_utc_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                account_id, verified.credential_id, verified.credential_public_key,
                verified.sign_count, rp_id, label, self._clock.utc_us(),
            ),
        )  # fmt: skip

    def list(self, account_id: int) -> list[PasskeyView]:
        """In the order in which they were added."""
        rows = self._database.ask(
            "SELECT id, label, created_utc_us, used_utc_us FROM passkeys WHERE account = ? "
            "ORDER BY id",
            (account_id,),
        )
        return [PasskeyView(*row) for row in rows]

    def remove(self, account_id: int, passkey_id: int) -> None:
        """Raises `AccountError` ("not-found", "last-owner")."""
        self._database.ask(
            "DELETE FROM passkeys WHERE id = ? AND account = ?", (passkey_id, account_id)
        )
        if not self._database.changed_rows():
            raise not_found("passkey")
        self._people.require_owner()

    def sign_in_options(self, rp_id: str) -> dict[str, Any]:
        """What `navigator.credentials.get` is to be asked with. It names nobody's passkeys."""
        options = generate_authentication_options(
            rp_id=_rp(rp_id),
            challenge=self._sign_ins.new(_SIGN_IN, rp_id),
            timeout=CHALLENGE_US // US_PER_MS,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def account_of(self, rp_id: str, origin: str, answer: dict[str, Any]) -> Account:
        """Whose passkey answered; its use is kept. Raises `AccountError` ("wrong-sign-in")."""
        try:
            challenge = _challenge_of(answer)
            if not self._sign_ins.use(challenge, _SIGN_IN, rp_id):
                raise ValueError("another challenge")
            rows = self._database.ask(
                "SELECT id, account, public_key, sign_count FROM passkeys "
                "WHERE credential_id = ? AND rp_id = ?",
                (base64url_to_bytes(answer["rawId"]), rp_id),
            )
            passkey_id, account_id, public_key, sign_count = rows[0]
            verified = verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=rp_id,
                expected_origin=origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
            account = self._people.get(account_id)
            handle = answer["response"].get("userHandle")
            if handle is not None and base64url_to_bytes(handle) != account.user_handle:
                raise ValueError("another account")
        except _HOSTILE as error:
            raise wrong_sign_in() from error
        self._database.ask(
            "UPDATE passkeys SET sign_count = ?, used_utc_us = ? WHERE id = ?",
            (verified.new_sign_count, self._clock.utc_us(), passkey_id),
        )
        return account


def _rp(rp_id: str) -> str:
    if not rp_id:
        raise AccountError(
            "bad-passkey", "Passkeys need the recorder's name", advice="Open it by its host name"
        )
    return rp_id


def _challenge_of(answer: dict[str, Any]) -> bytes:
    client_data = base64url_to_bytes(answer["response"]["clientDataJSON"])
    return bytes(parse_client_data_json(client_data).challenge)


def _bad_passkey() -> AccountError:
    return AccountError(
        "bad-passkey",
        "This passkey cannot be added",
        advice="Try again within two minutes, with a device that asks for a PIN or a finger",
    )

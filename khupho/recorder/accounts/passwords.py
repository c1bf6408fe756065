"""Passwords: Argon2id (RFC 9106), and which ones are too weak to take."""

from __future__ import annotations

import base64
import functools
import os
import unicodedata
from dataclasses import dataclass
from importlib.resources import files

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from khupho.recorder.accounts.account_errors import AccountError
from khupho.recorder.accounts.names import compared_name

LEAST_CHARACTERS, MOST_CHARACTERS = 10, 200
_SALT_BYTES, _HASH_BYTES = 16, 32
_FEWEST_DIFFERENT = 4
_AROUND_WORDS = "0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True)
class PasswordCost:
    """What one run of Argon2id takes."""

    memory_kib: int
    passes: int
    lanes: int


USUAL_COST = PasswordCost(memory_kib=64 * 1024, passes=3, lanes=4)
"""RFC 9106 section 4, second recommended choice."""


class Passwords:
    """Hashes and compares. Each call takes as long as the cost says; run it off the loop."""

    def __init__(self, cost: PasswordCost) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            salt_len=_SALT_BYTES,
            hash_len=_HASH_BYTES,
        )
        salt, digest = (
            base64.b64encode(os.urandom(n)).rstrip(b"=").decode()
            for n in (_SALT_BYTES, _HASH_BYTES)
        )
        # Nobody's: compared with where there is no password, so that this costs the same time.
        self._nobodys = (
            f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${digest}"
        )

    def hash(self, password: str) -> str:
        """The password as it is kept, in the PHC string format."""
        return self._hasher.hash(_bytes_of(password))

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether this is the password. None is nobody's, fits never and costs the same time."""
        try:
            self._hasher.verify(self._nobodys if kept is None else kept, _bytes_of(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        """It was hashed at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)


def check_strength(name: str, password: str) -> None:
    """Raises `AccountError` ("weak-password") where `password` is too easy to guess for this name."""
    password = unicodedata.normalize("NFC", password)
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise _weak(f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters")
    if compared_name(password) == compared_name(name):
        raise _weak("The password is the name")
    plain = _without_accents(password)
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise _weak("The password has too few different characters")
    words = _commonest()
    if plain in words or plain.strip(_AROUND_WORDS) in words:
        raise _weak("The password is one of the commonest")


def _weak(what: str) -> AccountError:
    return AccountError("weak-password", what, advice="Take a sentence that only you would say")


def _bytes_of(password: str) -> bytes:
    # Keyboards differ in how they send "ế"; NFC makes them one. Surrogates never match anything.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _without_accents(text: str) -> str:
    """ASCII letters for Vietnamese ones, small, without spaces: "Mật khẩu" is "matkhau"."""
    apart = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(c for c in apart if not unicodedata.combining(c) and not c.isspace())


@functools.cache
def _commonest() -> frozenset[str]:
    text = files("khupho.recorder.accounts").joinpath("common_passwords.txt").read_text("utf-8")
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))

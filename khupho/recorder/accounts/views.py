"""What is told about people to whoever may know, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from khupho.recorder.accounts.roles import Person, Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from."""

    address: str
    """IP address."""
    agent: str
    """Browser, as it names itself."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session."""

    token: str = field(repr=False)
    """256 random bits, for the cookie; told once."""
    person: Person
    expires_utc_us: int
    """At the latest."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account, without its secrets."""

    id: int
    name: str
    role: Role
    cameras: tuple[str, ...] | None
    """Ids, sorted; None for all, also those to come."""
    may_export: bool
    is_disabled: bool
    is_invited: bool
    """Has no password: was invited or reset, and has not chosen one yet."""
    created_utc_us: int
    last_sign_in_utc_us: int | None


@dataclass(frozen=True, slots=True)
class SessionView:
    """Where somebody is signed in."""

    id: int
    created_utc_us: int
    used_utc_us: int
    address: str
    agent: str
    is_current: bool
    """It is the session that asked."""


@dataclass(frozen=True, slots=True)
class PasskeyView:
    """A passkey, without its key."""

    id: int
    label: str
    created_utc_us: int
    used_utc_us: int | None

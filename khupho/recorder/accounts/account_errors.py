"""What is refused about accounts, each under a stable word."""

from __future__ import annotations

from khupho.errors import Fault, KhuphoError


class AccountError(KhuphoError):
    """A request about people that is refused. `kind` is stable, for programs and for the page's words."""

    fault = Fault.USER

    def __init__(
        self, kind: str, what: str, *, where: str = "", advice: str = "", retry_after_s: int = 0
    ) -> None:
        super().__init__(what, where=where, advice=advice)
        self.kind = kind
        self.retry_after_s = retry_after_s
        """0 where waiting doesn't help."""


def wrong_sign_in() -> AccountError:
    """The one answer to a wrong name, a wrong password, a wrong passkey and a disabled account."""
    return AccountError(
        "wrong-sign-in",
        "Name and password don't fit together",
        advice="Check both and try again, or ask an owner of this recorder for a new link",
    )


def code_expired() -> AccountError:
    """The one answer to a code that is unknown, used or too old."""
    return AccountError(
        "code-expired",
        "This link has been used, or is too old",
        advice="Ask for a new one",
    )


def not_found(what: str) -> AccountError:
    """There is none, or it is none of the asker's."""
    return AccountError("not-found", f"There is no such {what}", advice="Look at the list again")


def forbidden() -> AccountError:
    """The account may not do this, or may not any more."""
    return AccountError(
        "forbidden",
        "Your account may not do this",
        advice="Ask an owner of this recorder for the right",
    )


def last_owner() -> AccountError:
    """Nobody would be left who can give rights."""
    return AccountError(
        "last-owner",
        "This recorder would be left without an owner",
        advice="Make somebody else an owner first, and let them sign in once",
    )

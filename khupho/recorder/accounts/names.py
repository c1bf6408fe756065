"""How people are called: one spelling to show, one to compare."""

from __future__ import annotations

import unicodedata

from khupho.recorder.accounts.account_errors import AccountError

MOST_NAME_CHARACTERS = 64


def shown_name(name: str) -> str:
    """A name as it is kept: Unicode NFC, single spaces. Raises `AccountError` ("bad-name")."""
    shown = unicodedata.normalize("NFC", " ".join(name.split()))
    if not 1 <= len(shown) <= MOST_NAME_CHARACTERS or not shown.isprintable():
        raise AccountError(
            "bad-name",
            f"A name has 1 to {MOST_NAME_CHARACTERS} characters that can be seen",
            advice="Choose another name",
        )
    return shown


def compared_name(name: str) -> str:
    """The spelling in which no two names may be alike. Takes anything that anybody types."""
    shown = unicodedata.normalize("NFC", " ".join(name.split()))
    folded = unicodedata.normalize("NFC", shown.casefold())
    # Lone surrogates cannot be asked for in SQLite.
    return folded.encode("utf-8", "replace").decode()


def one_line(text: str, most_characters: int) -> str:
    """Text from outside for a row of the log: printable, and not longer than that."""
    return "".join(c if c.isprintable() else " " for c in text[:most_characters])

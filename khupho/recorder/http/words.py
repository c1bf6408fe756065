"""English sentences of this program in Vietnamese: a catalogue of sentences, with `{}` for what varies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

import msgspec

CATALOGUE_NAME = "vietnamese.json"
_MOST_REMEMBERED = 2_000
_MOST_CHARACTERS = 300


class Words(msgspec.Struct, frozen=True):
    """One text in both languages."""

    en: str
    vi: str


class Vietnamese:
    """Looks sentences up; one that isn't in the catalogue stays English rather than unsaid."""

    def __init__(self, catalogue: Mapping[str, str]) -> None:
        self._plain = {english: text for english, text in catalogue.items() if "{}" not in english}
        self._patterns = [
            (_pattern(english), text) for english, text in catalogue.items() if "{}" in english
        ]
        # The longest pattern says most: it is tried first.
        self._patterns.sort(key=lambda pair: -len(pair[0].pattern))
        self._known: dict[str, Words] = {}

    def words(self, english: str) -> Words:
        """The sentence in both languages."""
        known = self._known.get(english)
        if known is None:
            if len(self._known) > _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[english] = Words(english, self.translate(english) or english)
        return known

    def translate(self, english: str) -> str | None:
        """Vietnamese of a sentence; None if the catalogue lacks it."""
        if not english or english in self._plain:
            return self._plain.get(english, "")
        if len(english) > _MOST_CHARACTERS:
            return (
                None  # a camera's own words may be long, and patterns slow on what is made for that
            )
        for pattern, text in self._patterns:
            match = pattern.fullmatch(english)
            if match is None:
                continue
            # What varies may be a sentence itself: a reason inside a reason.
            varied = [self.translate(part) or part for part in match.groups()]
            plain = text.split("{}")
            return plain[0] + "".join(a + b for a, b in zip(varied, plain[1:], strict=True))
        return None


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in english.split("{}")), re.S)


def load_vietnamese() -> Vietnamese:
    """The catalogue that is shipped."""
    text = files("khupho.recorder.http").joinpath(CATALOGUE_NAME).read_text(encoding="utf-8")
    return Vietnamese(json.loads(text))

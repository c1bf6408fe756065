"""What `check` says: findings, each against one numbered invariant of `docs/design/archive.md`."""

from __future__ import annotations

from typing import NamedTuple

_RECOVER = "Stop the recorder, keep a copy, and start it: what is torn is cut and the rest is kept"
_SUSPECT_DISK = "Look at the disk: dmesg, smartctl -a. The other segments are not touched by it"
_CHANGED = "It was changed after it was recorded, or the disk lies: keep the file as it is and ask who could"

INVARIANTS: dict[int, tuple[str, str]] = {
    1: ("archive.json is there, its version is known, and its id equals every segment's",
        "Put archive.json back from a backup; move segments of other archives away"),
    2: ("every file's name and directory agree with its segment facts",
        "Give it back the name that its facts tell"),
    3: ("boxes fill the file exactly: known types, in order, none past the end", _SUSPECT_DISK),
    4: ("a fragment's sizes sum to its payload; its facts agree with its moof and prft", _CHANGED),
    5: ("decode times never go back; a jump forward stands before a fragment that declares lost packets",
        _CHANGED),
    6: ("each sample is whole: its NAL lengths fill it; key flags agree with NAL types", _SUSPECT_DISK),
    7: ("payload hash equals the facts'", _SUSPECT_DISK),
    8: ("segments of one stream do not overlap in UTC",
        "Find out which of them belongs there: khupho archive list --json shows both"),
    9: ("a closed segment's closing facts and mfra agree with its fragments", _RECOVER),
    10: ("catalog rows equal what a rebuild would make",
         "Run khupho archive rebuild; footage is not touched"),
    11: ("each committed fragment has its leaf, and each leaf its fragment or its deletion",
         "Footage was removed or added behind the recorder's back, or the disk lost it"),
    12: ("each checkpoint's root equals the tree's at its size, and its signature holds",
         "The proof log was changed after it was signed: keep it, compare with the centre's copy"),
    13: ("the journal's lines parse, their sequence has no hole",
         "Keep the file as it is; restore the journal from a backup if there is one"),
}  # fmt: skip
"""What must hold, and what to do where it doesn't."""


class Finding(NamedTuple):
    """One place at which an invariant doesn't hold."""

    invariant: int
    file: str
    """Relative to the archive's root."""
    offset: int | None
    """Byte of the file; None where no single byte is to blame."""
    what: str

    @property
    def advice(self) -> str:
        return INVARIANTS[self.invariant][1]

    def fields(self) -> dict[str, object]:
        return {
            "invariant": self.invariant,
            "file": self.file,
            "byte": self.offset,
            "what": self.what,
            "advice": self.advice,
        }

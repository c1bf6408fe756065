"""The table of quirks is whole: each row has a test, a module that exists, and its line in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from khupho.wire.quirks import QUIRKS, Quirk, reference_page

ROOT = Path(__file__).parents[2]
MARKED = {
    int(number)
    for path in (ROOT / "tests").rglob("test_*.py")
    for number in re.findall(r"mark\.quirk\((\d+)\)", path.read_text())
}


def test_rows_are_numbered_without_a_hole() -> None:
    assert [quirk.number for quirk in QUIRKS] == list(range(1, len(QUIRKS) + 1))


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: str(quirk.number))
def test_each_row_has_a_test_and_a_module(quirk: Quirk) -> None:
    assert quirk.number in MARKED
    assert (ROOT / "khupho" / f"{quirk.where.replace('.', '/')}.py").exists()


def test_the_page_is_made_from_the_table() -> None:
    assert (ROOT / "docs/reference/quirks.md").read_text() == reference_page()

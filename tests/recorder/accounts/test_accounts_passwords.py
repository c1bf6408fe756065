"""Passwords: the cost, the policy, one form of Unicode; names likewise."""

from __future__ import annotations

import unicodedata

import pytest
from accounts_scene import CHEAP, PASSWORD
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.recorder.accounts.accounts import AccountError
from khupho.recorder.accounts.names import compared_name, one_line, shown_name
from khupho.recorder.accounts.passwords import USUAL_COST, PasswordCost, Passwords, check_strength


def test_the_usual_cost_is_the_second_choice_of_the_rfc() -> None:
    assert PasswordCost(memory_kib=65_536, passes=3, lanes=4) == USUAL_COST
    kept = Passwords(USUAL_COST).hash(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert Passwords(CHEAP).is_outdated(kept)
    assert not Passwords(USUAL_COST).is_outdated(kept)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_every_text_fits_itself_in_any_form_of_unicode(text: str) -> None:
    passwords = Passwords(CHEAP)
    kept = passwords.hash(text)
    for form in ("NFC", "NFD"):
        assert passwords.fits(kept, unicodedata.normalize(form, text))
    assert not passwords.fits(kept, text + "x")
    assert not passwords.fits(None, text)


def test_what_is_no_hash_fits_nothing() -> None:
    assert not Passwords(CHEAP).fits("$argon2id$spoiled", PASSWORD)


@pytest.mark.parametrize(
    "password",
    [
        "", "chín chữ", "x" * 201, "1234567890", "Mật khẩu 2024!", "matkhau123", "PASSWORD!!12",
        "anh yêu em 123", "qwertyuiop", "aaaaaaaaaaaa", "1212121212", "Khu Phố 2025", "nguyễn văn an",
        "NGUYỄN VĂN AN",
    ],
)  # fmt: skip
def test_weak_ones(password: str) -> None:
    with pytest.raises(AccountError) as raised:
        check_strength("Nguyễn Văn An", password)
    assert raised.value.kind == "weak-password"
    assert not password or password not in str(raised.value)


@pytest.mark.parametrize(
    "password", [PASSWORD, "0903 chợ Bến Thành", "x7Kq!mm2Zp", "mèo đen " * 25]
)
def test_strong_ones(password: str) -> None:
    check_strength("Nguyễn Văn An", password)


def test_length_counts_composed_characters() -> None:
    nine = unicodedata.normalize("NFD", "ếễộựẩẫốồổ")
    assert len(nine) > 10
    with pytest.raises(AccountError):
        check_strength("An", nine)


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\x00b", "a\u200bb", "\ud800"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(AccountError) as raised:
        shown_name(name)
    assert raised.value.kind == "bad-name"


@given(st.text(max_size=80))
def test_compared_names_are_stable(name: str) -> None:
    once = compared_name(name)
    assert once == compared_name(unicodedata.normalize("NFD", name)) == compared_name(f" {name} ")
    once.encode()


def test_names_alike_are_one() -> None:
    assert compared_name("  chị   HOA ") == compared_name("Chị Hoa")
    assert shown_name("  Chị   Hoa ") == "Chị Hoa"
    assert one_line("a\r\nb\x1b[0m" + "x" * 50, 8) == "a  b [0m"

"""Logins are sealed to their camera, and keys belong to their owner only."""

from __future__ import annotations

from pathlib import Path

import pytest

from khupho.recorder.secrets import (
    Login,
    LoginSealer,
    SecretError,
    load_sealer,
    load_signing_key,
)

LOGIN = Login("admin", "mật khẩu dài", ("trong-url",))


def test_round_trip_and_no_two_alike() -> None:
    sealer = LoginSealer(bytes(32))
    first, second = (sealer.seal("gate", "main", LOGIN) for _ in range(2))
    assert first != second
    assert sealer.open("gate", "main", first) == LOGIN


@pytest.mark.parametrize(("camera", "stream"), [("gate-2", "main"), ("gate", "sub")])
def test_a_sealed_login_moved_elsewhere_does_not_open(camera: str, stream: str) -> None:
    sealer = LoginSealer(bytes(32))
    with pytest.raises(SecretError):
        sealer.open(camera, stream, sealer.seal("gate", "main", LOGIN))


@pytest.mark.parametrize("spoil", ["", "sealed1:", "sealed1:!!!", "sealed2:AAAA", "sealed1:AAAA"])
def test_spoiled_texts_are_refused(spoil: str) -> None:
    with pytest.raises(SecretError):
        LoginSealer(bytes(32)).open("gate", "main", spoil)


def test_another_key_does_not_open() -> None:
    sealed = LoginSealer(bytes(32)).seal("gate", "main", LOGIN)
    with pytest.raises(SecretError):
        LoginSealer(b"\x01" * 32).open("gate", "main", sealed)


def test_nothing_shows_in_texts_of_a_login() -> None:
    for text in (repr(LOGIN), str(LOGIN), f"{LOGIN}"):
        assert not any(word in text for word in ("admin", "mật", "trong"))


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    sealed = load_sealer(tmp_path).seal("gate", "main", LOGIN)
    assert load_sealer(tmp_path).open("gate", "main", sealed) == LOGIN
    public = load_signing_key(tmp_path).public_key()
    assert load_signing_key(tmp_path).public_key() == public
    for name in ("secret.key", "signing.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    (tmp_path / "secret.key").chmod(0o644)
    load_sealer(tmp_path)
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


def test_damaged_keys_are_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"short")
    (tmp_path / "signing.key").write_bytes(b"no key")
    with pytest.raises(SecretError, match=r"secret\.key"):
        load_sealer(tmp_path)
    with pytest.raises(SecretError, match=r"signing\.key"):
        load_signing_key(tmp_path)

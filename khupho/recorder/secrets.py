"""Cameras' names and passwords: sealed on disk, never shown again.

A login is sealed with AES-256-GCM (NIST SP 800-38D) under the recorder's own key. The camera's id and
stream are bound in as associated data, so that a sealed login moved to another camera doesn't open.
The key lies beside, readable by the recorder's user only: this protects copies of `cameras.json`
(mails, backups, tickets), not against somebody who holds the whole machine.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from khupho.durable_file import create_file
from khupho.errors import Fault, KhuphoError

SECRET_KEY_NAME = "secret.key"  # noqa: S105 - a file's name
SIGNING_KEY_NAME = "signing.key"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_PREFIX = "sealed1:"


class SecretError(KhuphoError):
    """A key is missing or damaged, or a sealed login doesn't open with it."""

    fault = Fault.USER


@dataclass(frozen=True, slots=True)
class Login:
    """What a camera asks for. Its repr shows nothing."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Passwords that the device wants inside its address, in order of their places there."""

    def __bool__(self) -> bool:
        return bool(self.user or self.password or self.hidden)

    def __str__(self) -> str:
        return "Login(…)"


class LoginSealer:
    """Seals and opens logins with one key."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise SecretError(
                "The key of the cameras' passwords is damaged",
                where=SECRET_KEY_NAME,
                advice="Restore it from a backup, or remove it and enter the passwords again",
            )
        self._aead = AESGCM(key)

    def seal(self, camera: str, stream: str, login: Login) -> str:
        """A sealed login as text. The same login never seals to the same text twice."""
        plain = json.dumps([login.user, login.password, *login.hidden]).encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, plain, _bound_to(camera, stream))
        return _PREFIX + base64.b64encode(sealed).decode()

    def open(self, camera: str, stream: str, sealed: str) -> Login:
        """The login inside. Raises `SecretError` if the key, the camera or a bit is another."""
        try:
            if not sealed.startswith(_PREFIX):
                raise ValueError("unknown kind")
            data = base64.b64decode(sealed[len(_PREFIX) :], validate=True)
            nonce, cipher = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            plain = self._aead.decrypt(nonce, cipher, _bound_to(camera, stream))
            user, password, *hidden = json.loads(plain)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SecretError(
                "The camera's stored password cannot be opened with this recorder's key",
                where=f"{camera}/{stream}",
                advice="Was secret.key replaced? Enter the password again: khupho camera add --replace",
            ) from error
        return Login(user, password, tuple(hidden))


def _bound_to(camera: str, stream: str) -> bytes:
    return f"khupho/camera-login/1\n{camera}/{stream}".encode()


def load_sealer(data: Path) -> LoginSealer:
    """The sealer of a data directory; its key is made on first use. Raises `SecretError`."""
    path = data / SECRET_KEY_NAME
    raw = _load_or_create(path, base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
    try:
        return LoginSealer(base64.b64decode(raw.strip(), validate=True))
    except binascii.Error:
        return LoginSealer(b"")


def load_signing_key(data: Path) -> Ed25519PrivateKey:
    """The recorder's Ed25519 key, made on first use and never sent anywhere. Raises `SecretError`."""
    fresh = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    raw = _load_or_create(data / SIGNING_KEY_NAME, fresh)
    try:
        key = serialization.load_pem_private_key(raw, password=None)
    except ValueError as error:
        raise _signing_key_damaged() from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _signing_key_damaged()
    return key


def _signing_key_damaged() -> SecretError:
    return SecretError(
        "The recorder's signing key is damaged",
        where=SIGNING_KEY_NAME,
        advice="Restore it from a backup. Without it new proofs don't continue the old ones",
    )


def _load_or_create(path: Path, fresh: bytes) -> bytes:
    try:
        if not path.exists():
            # FileExistsError: another program of this recorder was first; its key counts.
            with contextlib.suppress(FileExistsError):
                create_file(path, fresh)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return path.read_bytes()
    except OSError as error:
        raise SecretError(
            f"A key file cannot be used: {error.strerror}",
            where=str(path),
            advice="Run khupho as the user that owns the data directory",
            fault=Fault.DISK,
        ) from error

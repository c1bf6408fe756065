"""An authenticator in software: what a browser and a key would answer (WebAuthn sections 6 and 7)."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64encode
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PRESENT, _VERIFIED, _HAS_KEY = 0x01, 0x04, 0x40


def text64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class SoftwareAuthenticator:
    """One passkey on P-256, with a counter."""

    def __init__(self, origin: str, rp_id: str, *, verifies: bool = True) -> None:
        self.origin = origin
        self.rp_id = rp_id
        self.verifies = verifies
        self.count = 0
        self.credential_id = os.urandom(16)
        self.user_handle = b""
        self._key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """As `navigator.credentials.create` answers."""
        self.user_handle = options["user"]["id"].encode()
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        held = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id
        data = self._data(_HAS_KEY) + held + cbor2.dumps(cose)
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        return self._answer(clientDataJSON=text64(client), attestationObject=text64(statement))

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """As `navigator.credentials.get` answers."""
        self.count += 1
        data = self._data(0)
        client = self._client("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(client).digest()
        return self._answer(
            clientDataJSON=text64(client),
            authenticatorData=text64(data),
            signature=text64(self._key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            userHandle=self.user_handle.decode(),
        )

    def _data(self, more: int) -> bytes:
        flags = _PRESENT | more | (_VERIFIED if self.verifies else 0)
        return (
            hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response: str) -> dict[str, Any]:
        name = text64(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}

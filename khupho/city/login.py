"""A camera's login: Basic (RFC 7617) and Digest (RFC 7616, and RFC 2617 as cameras still speak it)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from enum import Enum

REALM = "Khu Pho City"
_FIELD = re.compile(r'([a-zA-Z]{1,32})\s*=\s*(?:"([^"]{0,2048})"|([^\s",]{1,256}))')


class LoginScheme(Enum):
    """How a camera asks for name and password."""

    NONE = "none"
    BASIC = "basic"
    DIGEST = "digest"
    """MD5 without qop, as most cameras do."""
    DIGEST_SHA256 = "digest-sha256"
    """SHA-256 with qop, as the newest ones do."""


class LoginCheck:
    """Checks the `Authorization` header of every request to one camera."""

    def __init__(self, scheme: LoginScheme, user: str, password: str) -> None:
        self.scheme = scheme
        self._user = user
        self._password = password
        self._nonce = secrets.token_hex(16)

    def forget_nonce(self) -> None:
        """What clients have is stale from now on."""
        self._nonce = secrets.token_hex(16)

    def challenge(self, authorization: str | None) -> str:
        """The `WWW-Authenticate` header for a request that was not let in."""
        if self.scheme is LoginScheme.BASIC:
            return f'Basic realm="{REALM}"'
        text = f'Digest realm="{REALM}", nonce="{self._nonce}"'
        if self.scheme is LoginScheme.DIGEST_SHA256:
            text += ', algorithm=SHA-256, qop="auth"'
        fields = _fields(authorization or "")
        if fields.get("nonce", self._nonce) != self._nonce:
            text += ", stale=true"
        return text

    def accepts(self, method: str, authorization: str | None) -> bool:
        """Whether a request may pass."""
        if self.scheme is LoginScheme.NONE:
            return True
        if not authorization:
            return False
        kind = authorization.partition(" ")[0].lower()
        if self.scheme is LoginScheme.BASIC:
            return kind == "basic" and self._accepts_basic(authorization[6:])
        return kind == "digest" and self._accepts_digest(method, _fields(authorization))

    def _accepts_basic(self, encoded: str) -> bool:
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, f"{self._user}:{self._password}".encode())

    def _accepts_digest(self, method: str, fields: dict[str, str]) -> bool:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        def sha256(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        is_sha256 = self.scheme is LoginScheme.DIGEST_SHA256
        if (fields.get("algorithm", "MD5").upper() == "SHA-256") != is_sha256:
            return False
        if fields.get("username") != self._user or fields.get("nonce") != self._nonce:
            return False
        wanted = digest_response(sha256 if is_sha256 else md5, method, self._password, fields)
        return hmac.compare_digest(wanted, fields.get("response", "").lower())


def digest_response(
    hash_text: Callable[[str], str], method: str, password: str, fields: dict[str, str]
) -> str:
    """The `response` of a Digest header with these fields (RFC 7616 section 3.4.1)."""
    first = hash_text(f"{fields.get('username', '')}:{fields.get('realm', '')}:{password}")
    second = hash_text(f"{method}:{fields.get('uri', '')}")
    middle = fields.get("nonce", "")
    if "qop" in fields:
        middle += f":{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields['qop']}"
    return hash_text(f"{first}:{middle}:{second}")


def _fields(header: str) -> dict[str, str]:
    return {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _FIELD.finditer(header)}

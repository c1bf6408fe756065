"""Basic and Digest authentication (RFC 7617, RFC 7616, RFC 2617) as cameras use them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from khupho.wire.rtsp.errors import CredentialsRefused, RtspError

MAX_CHALLENGE_CHARACTERS = 4_096

_PARAMETER = re.compile(r'([A-Za-z0-9_-]{1,40})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(r"(?i)(?:^|,)\s*(digest|basic)\b(?!\s*=)")

_HASHES: dict[str, tuple[int, Callable[[bytes], str]]] = {
    "MD5": (1, lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest()),
    "SHA-512-256": (2, lambda data: hashlib.new("sha512_256", data).hexdigest()),
    "SHA-256": (3, lambda data: hashlib.sha256(data).hexdigest()),
}
"""Algorithm -> (preference, function). SHA-256 is what cameras that have more than MD5 mean."""

_BYTES = ("utf-8", "surrogateescape")
"""Encoding and errors: a realm that is no UTF-8 goes back as it came."""

_OTHER_NAMES = {"SHA256": "SHA-256", "SHA_256": "SHA-256", "SHA-512/256": "SHA-512-256"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One `WWW-Authenticate` challenge."""

    scheme: str
    """`basic` or `digest`."""
    realm: str = ""
    """This, nonce and opaque are as they stood between the quotes, escapes and all."""
    nonce: str = ""
    opaque: str | None = None
    algorithm: str = ""
    """As the device wrote it, without quotes; empty means MD5."""
    algorithm_quoted: bool = False
    qop: tuple[str, ...] = ()
    stale: bool = False

    @property
    def hash_name(self) -> str:
        name = (self.algorithm or "MD5").upper().removesuffix("-SESS")
        return _OTHER_NAMES.get(name, name)

    @property
    def protection(self) -> str:
        """Which `qop` is answered: `auth` before `auth-int`; empty is RFC 2069's way."""
        return next((wanted for wanted in ("auth", "auth-int") if wanted in self.qop), "")

    @property
    def rank(self) -> int:
        """The higher the better; 0 cannot be answered."""
        if self.scheme == "basic":
            return 1
        known = _HASHES.get(self.hash_name)
        usable = known is not None and bool(self.nonce) and (not self.qop or bool(self.protection))
        return 1 + known[0] if known is not None and usable else 0


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge of the `WWW-Authenticate` fields, also several in one. Never raises: what
    cannot be read is left out."""
    challenges: list[Challenge] = []
    for header in headers:
        text = header[:MAX_CHALLENGE_CHARACTERS]
        starts = list(_SCHEME.finditer(_blank_quoted(text)))
        for index, match in enumerate(starts):
            end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
            challenges.append(_challenge(match[1].lower(), text[match.end() : end]))
    return challenges


def _blank_quoted(text: str) -> str:
    """The text with quoted strings blanked, so that a scheme's name inside one isn't taken."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: '"' + "_" * (len(match[0]) - 2) + '"', text)


def _challenge(scheme: str, text: str) -> Challenge:
    values = _parameters(text)
    return Challenge(
        scheme,
        realm=values.get("realm", ""),
        nonce=values.get("nonce", ""),
        opaque=values.get("opaque"),
        algorithm=values.get("algorithm", ""),
        algorithm_quoted=bool(re.search(r'(?i)\balgorithm\s*=\s*"', text)),
        qop=tuple(
            part.strip().lower() for part in values.get("qop", "").split(",") if part.strip()
        ),
        stale=values.get("stale", "").lower() == "true",
    )


def _parameters(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(text):
        values.setdefault(name.lower(), quoted or plain)
    return values


class Authenticator:
    """Answers challenges with one name and password. `make_cnonce` gives fresh random text."""

    def __init__(self, user: str, password: str, make_cnonce: Callable[[], str]) -> None:
        self._user = user
        self._password = password
        self._make_cnonce = make_cnonce
        self._challenge: Challenge | None = None
        self._count = 0
        self._accepted = False
        self._elsewhere = False

    def __repr__(self) -> str:
        return "Authenticator(…)"

    @property
    def scheme(self) -> str:
        """What is being used, for people: `Digest SHA-256`, `Basic` or empty."""
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return "Basic"
        return f"Digest {self._challenge.hash_name}"

    @property
    def was_accepted(self) -> bool:
        """The device let a signed request in."""
        return self._accepted

    def moved(self) -> None:
        """What was asked on one connection is answered on another, where the nonce may be another."""
        self._elsewhere = True

    def challenged(self, headers: Iterable[str], *, answered: bool) -> None:
        """A 401 came. `answered`: the refused request carried an answer already.

        Raises `CredentialsRefused` where trying on makes no sense, `RtspError` where nothing that
        the device offers can be answered.
        """
        challenges = parse_challenges(headers)
        best = max(challenges, key=lambda challenge: challenge.rank, default=None)
        if best is None or best.rank == 0:
            names = ", ".join(sorted({c.algorithm or c.scheme for c in challenges})) or "nothing"
            offered = names.encode("ascii", "replace").decode()
            raise RtspError(
                "The camera asks for a kind of sign-in that isn't known here",
                where=f"offered: {offered}",
            )
        if not self._user and not self._password:
            raise CredentialsRefused(
                "The camera asks for a name and a password",
                advice="Add it again with its name and password",
            )
        previous = self._challenge
        expired = best.stale or (
            previous is not None
            and best.nonce != previous.nonce
            and (self._count > 1 or self._elsewhere)
        )
        self._elsewhere = False
        # A password that was accepted before is not wrong now: the device wants another nonce for
        # each request, or each connection.
        if answered and not expired and not self._accepted:
            raise CredentialsRefused(
                "The camera refuses this name and password",
                advice="Correct them; until then it is tried rarely, since many cameras lock the account",
            )
        self._challenge = best
        self._count = 0

    def accepted(self, information: str, *, proven: bool = True) -> None:
        """A request that carried an answer was let in; `proven`: for that answer's sake.
        `information`: its `Authentication-Info`, which may name the nonce to use from now on
        (RFC 7616 section 3.5)."""
        self._accepted = self._accepted or proven
        nonce = _parameters(information[:MAX_CHALLENGE_CHARACTERS]).get("nextnonce", "")
        if nonce and self._challenge is not None and self._challenge.scheme == "digest":
            self._challenge = replace(self._challenge, nonce=nonce)
            self._count = 0

    def header(self, method: str, uri: str) -> str | None:
        """The `Authorization` value of a request, or None before any challenge."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            pair = f"{self._user}:{self._password}".encode()
            return "Basic " + base64.b64encode(pair).decode()
        self._count += 1
        return self._digest(challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        _rank, digest = _HASHES[challenge.hash_name]
        cnonce = self._make_cnonce()
        count = f"{self._count:08x}"
        realm, nonce = _plain(challenge.realm), _plain(challenge.nonce)
        of_session = challenge.algorithm.upper().endswith("-SESS")
        secret = digest(f"{self._user}:{realm}:{self._password}".encode(*_BYTES))
        if of_session:
            secret = digest(f"{secret}:{nonce}:{cnonce}".encode(*_BYTES))
        asked = f"{method}:{uri}"
        if challenge.protection == "auth-int":
            asked += ":" + digest(b"")  # no request of ours has a body
        middle = f"{count}:{cnonce}:{challenge.protection}:" if challenge.protection else ""
        response = digest(
            f"{secret}:{nonce}:{middle}{digest(asked.encode(*_BYTES))}".encode(*_BYTES)
        )
        fields = {
            "username": _quote(self._user),
            "realm": challenge.realm,
            "nonce": challenge.nonce,
            "uri": _quote(uri),
            "response": response,
        }
        if challenge.opaque is not None:
            fields["opaque"] = challenge.opaque
        text = ", ".join(f'{name}="{value}"' for name, value in fields.items())
        if challenge.algorithm:
            # In the device's own way: some read it only within quotes, the RFC forbids them.
            mark = '"' if challenge.algorithm_quoted else ""
            text += f", algorithm={mark}{challenge.algorithm}{mark}"
        if challenge.protection:
            text += f', qop={challenge.protection}, nc={count}, cnonce="{cnonce}"'
        elif of_session:
            text += f', cnonce="{cnonce}"'
        return "Digest " + text


def _plain(quoted: str) -> str:
    """What a quoted string says. A backslash before anything but a quote or itself is no escape:
    device names hold such ones."""
    return re.sub(r'\\(["\\])', r"\1", quoted)


def _quote(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')

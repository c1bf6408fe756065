"""Signed notes and the checkpoints in them, exactly as C2SP defines them. Pure.

Sources: C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0 (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).
Any program that knows these (Go's `sumdb/note`, witnesses of transparency logs) reads ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from khupho.errors import Fault, KhuphoError

MAX_NOTE_BYTES = 128 << 10
"""Room for 16 signatures of 5 kB, as the specification asks."""
MAX_TREE_SIZE = (1 << 62) - 1
_ED25519 = b"\x01"
"""Signature type (C2SP signed-note, "Signature types")."""
_KEY_ID_BYTES = 4
_KEY_BYTES = 32
_HASH_BYTES = 32
_DASH = b"\xe2\x80\x94 "
"""Em dash (U+2014) and space: how each signature line begins."""


class NoteError(KhuphoError):
    """A note isn't one, or isn't signed as it should be."""

    fault = Fault.ARCHIVE


class Checkpoint(NamedTuple):
    """The state of a log that is signed."""

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """The note's text (C2SP tlog-checkpoint, "Note text")."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


class Signature(NamedTuple):
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes


class SignedNote(NamedTuple):
    """A note, taken apart. Its text means nothing until a signature is verified."""

    text: bytes
    signatures: Sequence[Signature]


class VerifierKey(NamedTuple):
    """A public key with the name that it signs under."""

    name: str
    public_bytes: bytes
    """32 bytes (RFC 8032 section 5.1.5)."""

    @property
    def key_id(self) -> bytes:
        """Four bytes that stand before each signature of this key."""
        data = self.name.encode() + b"\n" + _ED25519 + self.public_bytes
        return sha256(data).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """`name+keyid+key`, as Go's `sumdb/note` and witnesses write verifier keys."""
        key = base64.b64encode(_ED25519 + self.public_bytes).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read what `__str__` writes. Raises `NoteError`."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        _check_name(name)
        data = _base64(encoded)
        if len(data) != 1 + _KEY_BYTES or data[:1] != _ED25519:
            raise NoteError("That is no Ed25519 verifier key", where=name)
        key = cls(name, data[1:])
        if key.key_id.hex() != key_id:
            raise NoteError("The verifier key and its short id don't agree", where=name)
        return key


class Signer:
    """Signs under one name."""

    def __init__(self, key: Ed25519PrivateKey, name: str) -> None:
        _check_name(name)
        self._key = key
        self.verifier_key = VerifierKey(name, key.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """The whole signed note; `text` ends with a line feed."""
        key = self.verifier_key
        signature = base64.b64encode(key.key_id + self._key.sign(text)).decode()
        return text + f"\n— {key.name} {signature}\n".encode()


def parse_note(data: bytes) -> SignedNote:
    """Take a signed note apart. Raises `NoteError`."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError("The note is too long")
    if any(byte < 0x20 and byte != 0x0A for byte in data):
        raise NoteError("The note has control characters")
    cut = data.rfind(b"\n\n")
    if cut < 0:
        raise NoteError("The note has no signatures")
    text, block = data[: cut + 1], data[cut + 2 :]
    try:
        data.decode()
        lines = block.decode().split("\n")
    except UnicodeDecodeError as error:
        raise NoteError("The note is no UTF-8") from error
    if len(lines) < 2 or lines.pop():
        raise NoteError("The note's signatures don't end with a line feed")
    return SignedNote(text, [_signature(line) for line in lines])


def verify_note(note: SignedNote, keys: Iterable[VerifierKey]) -> VerifierKey:
    """The first of `keys` that signed. Raises `NoteError` where none did, or one of them did wrongly.

    Signatures of unknown keys are passed over, as the specification asks.
    """
    signed_by = None
    for key in keys:
        for name, key_id, signature in note.signatures:
            if name != key.name or key_id != key.key_id:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key.public_bytes).verify(signature, note.text)
            except (InvalidSignature, ValueError) as error:
                raise NoteError("The note's signature is wrong", where=name) from error
            signed_by = signed_by or key
    if signed_by is None:
        raise NoteError("The note isn't signed with a key that is known here")
    return signed_by


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read a note's text. Extension lines are passed over. Raises `NoteError`."""
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError as error:
        raise NoteError("The checkpoint is no UTF-8") from error
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise NoteError("A checkpoint has at least three lines, none of them empty")
    origin, size, root = lines[:3]
    if not size.isascii() or not size.isdigit() or (size[0] == "0" and size != "0"):
        raise NoteError("The checkpoint's size is no number", where=origin)
    if len(size) > 19 or int(size) > MAX_TREE_SIZE:
        raise NoteError("The checkpoint's size is too large", where=origin)
    made = Checkpoint(origin, int(size), _base64(root))
    if len(made.root) != _HASH_BYTES:
        raise NoteError("The checkpoint's root has another length", where=origin)
    return made


def split_notes(data: bytes, *, begins_whole: bool = True) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each note in a row of them; an unfinished last one isn't told.

    A note ends where a line that is no signature follows a signature. Without `begins_whole`, `data` may
    begin within a note, which is passed over.
    """
    begin: int | None = 0 if begins_whole else None
    is_signature = False
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        was_signature, is_signature = is_signature, data.startswith(_DASH, at)
        if was_signature and not is_signature:
            if begin is not None:
                yield begin, data[begin:at]
            begin = at
        at = end + 1
    if is_signature and begin is not None:
        yield begin, data[begin:at]


def _signature(line: str) -> Signature:
    prefix, name, encoded = "— ", "", ""
    if line.startswith(prefix):
        name, _, encoded = line[len(prefix) :].partition(" ")
    _check_name(name)
    data = _base64(encoded)
    if len(data) <= _KEY_ID_BYTES:
        raise NoteError("A signature is too short", where=name)
    return Signature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def _check_name(name: str) -> None:
    if not name or "+" in name or not name.isprintable() or any(map(str.isspace, name)):
        raise NoteError("That is no key's name", where=repr(name[:100]))


def _base64(text: str) -> bytes:
    """Standard base64 (RFC 4648 section 4), in its one canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("That is no base64", where=text[:100]) from error
    if base64.b64encode(data).decode() != text:
        raise NoteError("That is no canonical base64", where=text[:100])
    return data

"""Signed notes and checkpoints against vectors that others made."""

from __future__ import annotations

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.archive.proof.signed_note import (
    Checkpoint,
    NoteError,
    Signer,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    split_notes,
    verify_note,
)

# Of golang.org/x/mod/sumdb/note (note_test.go).
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
PETER_NOTE = (
    PETER_TEXT
    + (
        "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6"
        "RyyBwJnAM=\n"
    ).encode()
)
# Of the C2SP specifications.
FOO_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg"
    "1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
SOFA_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9n"
    "To+zyWE+xeMcTOAYQ8=\n"
).encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MINE = Checkpoint("khupho/archive/ab", 1_234, bytes(range(32)))


def signed(checkpoint: Checkpoint = MINE, key: Ed25519PrivateKey = KEY) -> bytes:
    return Signer(key, checkpoint.origin).sign(checkpoint.text())


@pytest.mark.parametrize(("note", "key"), [(PETER_NOTE, PETER_KEY), (FOO_NOTE, FOO_KEY)])
def test_notes_that_others_signed(note: bytes, key: str) -> None:
    verifier = VerifierKey.parse(key)
    assert str(verifier) == key
    parsed = parse_note(note)
    assert verify_note(parsed, [verifier]) == verifier
    forged = parse_note(note.replace(b"is", b"was", 1))
    with pytest.raises(NoteError, match="wrong"):
        verify_note(forged, [verifier])


def test_the_same_bytes_as_go_signs() -> None:
    secret = Ed25519PrivateKey.from_private_bytes(base64.b64decode(PETER_SECRET)[1:])
    assert Signer(secret, "PeterNeumann").sign(PETER_TEXT) == PETER_NOTE


def test_the_specifications_checkpoint() -> None:
    checkpoint = parse_checkpoint(parse_note(SOFA_NOTE).text)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20_852_163
    assert checkpoint.root.hex().startswith("0ac5186a")
    assert checkpoint.text() == SOFA_NOTE[: SOFA_NOTE.index(b"\n\n") + 1]


def test_our_own_there_and_back() -> None:
    note = parse_note(signed())
    verifier = VerifierKey(MINE.origin, KEY.public_key().public_bytes_raw())
    assert verify_note(note, [verifier]) == verifier
    assert parse_checkpoint(note.text) == MINE
    assert VerifierKey.parse(str(verifier)) == verifier


def test_signatures_of_others_are_passed_over() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    verifier = VerifierKey(MINE.origin, KEY.public_key().public_bytes_raw())
    witness = Signer(other, "witness.example")
    line = witness.sign(MINE.text()).split(b"\n\n")[1]
    both = parse_note(signed() + line)
    assert verify_note(both, [verifier]) == verifier
    assert verify_note(both, [witness.verifier_key]) == witness.verifier_key
    with pytest.raises(NoteError, match="known here"):
        verify_note(both, [VerifierKey("stranger", bytes(32))])
    # The same name with another key, and the same key under another name, are strangers.
    for key in (
        VerifierKey(MINE.origin, other.public_key().public_bytes_raw()),
        verifier._replace(name="x"),
    ):
        with pytest.raises(NoteError, match="known here"):
            verify_note(parse_note(signed()), [key])
    # A known key that signed wrongly spoils the note, whoever else signed.
    bad = both.signatures[1]._replace(signature=bytes(64))
    spoiled = both._replace(signatures=[both.signatures[0], bad])
    with pytest.raises(NoteError, match="wrong"):
        verify_note(spoiled, [verifier, witness.verifier_key])


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"text\n",
        b"text\n\n",
        FOO_NOTE[:-1],
        FOO_NOTE.replace("—".encode(), b"--"),
        FOO_NOTE.replace(b"\n\n", b"\n"),
        FOO_NOTE.replace(b"Uw2Q", b"Uw2\r"),
        FOO_NOTE.replace(b"=\n", b"\n"),
        FOO_NOTE.replace(b"QM=", b"QN="),  # other bits, the same bytes
        FOO_NOTE.replace(b"foo Uw", b"foo  Uw"),
        FOO_NOTE.replace(b"/foo", b"+foo"),
        FOO_NOTE.replace(b"/foo", "\u2003foo".encode()),
        FOO_NOTE.replace(b"This", b"\xffhis"),
        FOO_NOTE + b"\n",
        b"text\n\n" + "— a AAAA\n".encode(),
        b"x" * (200 << 10) + FOO_NOTE,
    ],
)
def test_what_is_no_note(note: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n1\nAAAA\n",
        "a\n01\n{root}\n",
        "a\n-1\n{root}\n",
        "a\n1_0\n{root}\n",
        "a\n١\n{root}\n",
        "a\n1\n{root}",
        "\n1\n{root}\n",
        "a\n1\n{root}\n\n",
        "a\n99999999999999999999\n{root}\n",
        f"a\n{1 << 62}\n{{root}}\n",
        "a\n1\n{root}=\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    root = base64.b64encode(bytes(32)).decode()
    with pytest.raises(NoteError):
        parse_checkpoint(text.format(root=root).encode())


def test_size_zero_and_extension_lines() -> None:
    root = base64.b64encode(bytes(32)).decode()
    made = parse_checkpoint(f"a\n0\n{root}\nmore\n".encode())
    assert made == Checkpoint("a", 0, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        PETER_KEY.replace("c74f20a3", "c74f20a4"),
        PETER_KEY.replace("+ARpc", "+AhRpc"),
        PETER_KEY.replace("+ARpc", "+Apc"),
        PETER_KEY.replace("Peter", "Pete"),
        PETER_KEY.replace("Peter", "Peter "),
        PETER_KEY[:-4],
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb"])
def test_names_that_no_key_can_have(name: str) -> None:
    with pytest.raises(NoteError):
        Signer(KEY, name)


def test_a_row_of_notes_torn_at_every_byte() -> None:
    notes = [signed(MINE._replace(size=size)) for size in (1, 22, 333)]
    notes[1] += notes[0].split(b"\n\n")[1]  # a witness signed it too
    data = b"".join(notes)
    ends = [sum(map(len, notes[: n + 1])) for n in range(3)]
    one_signature = ends[0] + len(signed(MINE._replace(size=22)))
    for size in range(len(data) + 1):
        found = list(split_notes(data[:size]))
        whole = sum(end <= size for end in ends)
        assert [note for _, note in found[:whole]] == notes[:whole]
        # Between its two signatures a note is whole, for whoever doesn't know that more will come.
        assert len(found) == whole + (one_signature <= size < ends[1])
        assert all(data[at : at + len(note)] == note for at, note in found)
    signature_at = data.index("—".encode())
    for begin in range(1, ends[0] + 1):
        found = list(split_notes(data[begin:], begins_whole=False))
        assert [note for _, note in found] == notes[1 if begin <= signature_at else 2 :]
        assert all(data[begin + at :].startswith(note) for at, note in found)


@settings(max_examples=300)
@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    verifier = VerifierKey(MINE.origin, KEY.public_key().public_bytes_raw())
    raw = bytearray(signed())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoteError):
        verify_note(parse_note(bytes(raw)), [verifier])


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_garbage_raises_nothing_else(data: bytes, tail: bytes) -> None:
    for raw in (data, data + b"\n\n" + "— ".encode() + tail + b"\n", FOO_NOTE + data):
        for read in (parse_note, parse_checkpoint):
            with contextlib.suppress(NoteError):
                read(raw)
        assert all(raw[at:].startswith(note) for at, note in split_notes(raw))
    with contextlib.suppress(NoteError):
        VerifierKey.parse(data.decode("latin-1"))

"""Targets of `khupho.archive`: what is read back from disk, or from a file that somebody brings."""

from __future__ import annotations

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from targets import target
from targets_media import PPS_264, SPS_264

from khupho.archive.clips.stored_report import read_report
from khupho.archive.events import CloseCause
from khupho.archive.journal.entries import BrokenEntry, GapSeen, decode_line, encode_line
from khupho.archive.journal.journal import JOURNAL_NAME, Journal, read_journal
from khupho.archive.place.identity import read_identity, read_running
from khupho.archive.place.segment_names import parse_segment_path, segment_path
from khupho.archive.proof.bundle import ProofBundleError, bundle_root, make_bundle
from khupho.archive.proof.checkpoint import CheckpointFile, read_checkpoints
from khupho.archive.proof.leaf_record import Leaf, LeafFlags, LeafKind, pack_leaf, unpack_leaf
from khupho.archive.proof.log import LEAVES_NAME, ProofLog, ProofLogReader
from khupho.archive.proof.signed_note import (
    Checkpoint,
    Signer,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    split_notes,
    verify_note,
)
from khupho.archive.segments.facts import (
    FRAGMENT_FACTS_TYPE,
    KEY_FIRST,
    ClosingFacts,
    SegmentFacts,
    fragment_facts_payload,
    sealed,
    segment_facts_box,
)
from khupho.archive.segments.file import segment_end
from khupho.archive.segments.reader import walk_file
from khupho.archive.segments.recovery import recover_segment
from khupho.errors import KhuphoError
from khupho.media import h264
from khupho.media.fmp4 import Keys, fragment_header, init_segment
from khupho.units import utc_us_to_ntp

T0_US = 1_764_000_000_000_000
ARCHIVE_ID = bytes(range(16))
_ROOT = Path(tempfile.mkdtemp(prefix="khupho-fuzz-archive-"))
(_ROOT / "proof").mkdir()
_ROOT_FD = os.open(_ROOT, os.O_RDONLY | os.O_DIRECTORY)


def a_segment(*, closed: bool, fragments: int = 3) -> bytes:
    """A segment as the writer makes it."""
    init = init_segment(h264.video_format(SPS_264, PPS_264))
    data = init + segment_facts_box(init, SegmentFacts(ARCHIVE_ID, "gate", "main", T0_US, False, 0))
    keys = []
    payload_bytes = 0
    for n in range(fragments):
        is_key = n != 1
        payload = b"\0\0\0\5" + (b"\x65" if is_key else b"\x41") + bytes((n,)) * 4
        payload += b"\0\0\0\3\x41ab"
        start_us = T0_US + n * 80_000
        facts = fragment_facts_payload(
            KEY_FIRST if is_key else 0, n, start_us, n + 1, bytes(16), sha256(payload).digest()
        )
        header = fragment_header(
            n + 1, n * 7200, [3600, 3600], [9, 7], data_size=16, ntp_64=utc_us_to_ntp(start_us),
            media_time_for_prft=n * 7200, keys=Keys.FIRST if is_key else Keys.NONE,
            facts_type=FRAGMENT_FACTS_TYPE, facts_payload=facts,
        )  # fmt: skip
        if is_key:
            keys.append((n * 7200, len(data) + 32))
        data += sealed(header) + payload
        payload_bytes += len(payload)
    if closed:
        end_us = T0_US + fragments * 80_000
        lost = sum(range(fragments))
        facts_ = ClosingFacts(
            CloseCause.AGE, end_us, fragments, 2 * fragments, len(keys), lost, payload_bytes
        )
        data += segment_end(facts_, keys)
    return data


SEGMENTS = (a_segment(closed=True), a_segment(closed=False), a_segment(closed=True)[:-20])


@target("segment", *SEGMENTS)
def segment(data: bytes) -> object:
    """The walk tells a good part that lies within the file, and never reads past its end."""
    file = os.memfd_create("segment")
    try:
        os.write(file, data)
        walked = walk_file(file, segment_path("gate", "main", T0_US))
    finally:
        os.close(file)
    assert walked.good_bytes <= walked.whole_bytes <= walked.size_bytes == len(data)
    for fragment in walked.segment.fragments:
        assert fragment.offset + fragment.header.size_bytes <= walked.good_bytes
    return walked


@target("segment-recovery", *SEGMENTS)
def segment_recovery(data: bytes) -> object:
    """What is recovered is a closed segment, and recovering it once more changes nothing."""
    name = "segment.mp4"
    path = _ROOT / name
    path.write_bytes(data)
    verify_from = 0 if len(data) % 2 else None
    recover_segment(_ROOT_FD, name, verify_from)
    first = path.read_bytes()
    again = recover_segment(_ROOT_FD, name, verify_from)
    assert path.read_bytes() == first
    assert not again.was_open
    return again


@target("segment-path", b"gate/main/2026-11-24/010203.456Z.mp4")
def path_of_segment(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    name = parse_segment_path(text)
    assert name is None or segment_path(name.camera, name.stream, name.start_utc_ms * 1000) == text
    if name is None:
        assert text != "gate/main/2026-11-24/010203.456Z.mp4"
    return name


LINES = (
    b'{"seq":1,"utc":"2026-11-24T01:00:00.000000Z","kind":"start","x":1}',
    encode_line(
        2, T0_US,
        GapSeen(camera="gate", stream="main", start_utc_us=T0_US, end_utc_us=T0_US + 9, cause="age"),
    ),
    b'{"seq":3,"utc":"2026-11-24T01:00:00Z","kind":"stream","number":1,"camera":"gate","stream":"main"}',
    b'{"seq":4,"utc":"2026-11-24T01:00:00Z","kind":"something new","a":[1,{}]}',
)  # fmt: skip


@target("journal-line", *LINES)
def journal_line(data: bytes) -> object:
    """Never raises."""
    line = decode_line(data)
    assert line.data == data
    assert (line.seq == -1) == isinstance(line.entry, BrokenEntry)
    return line


@target("journal", b"\n".join(LINES) + b"\n", b"\n".join(LINES)[:-9])
def journal(data: bytes) -> object:
    """It opens (a torn end is cut) and takes another line, or says that it is damaged."""
    path = _ROOT / JOURNAL_NAME
    path.write_bytes(data)
    before = list(read_journal(_ROOT_FD))
    made = Journal(_ROOT_FD)
    try:
        made.append(
            GapSeen(camera="a", stream="main", start_utc_us=1, end_utc_us=2, cause="age"), T0_US
        )
        made.sync()
    finally:
        made.close()
    after = list(read_journal(_ROOT_FD))
    assert after[-1].seq > 0
    assert path.read_bytes().startswith(data[: made.size_bytes - len(after[-1].data) - 1])
    return before, after


LEAVES = b"".join(
    pack_leaf(
        Leaf(bytes((n,)) * 32, LeafKind.FRAGMENT, LeafFlags(0), 1, T0_US + n, 40_000, 100, 500 * n)
    )
    for n in range(20)
)


@target("leaves", LEAVES, LEAVES[:-10])
def leaves(data: bytes) -> object:
    """A reader reads it, a writer opens it and files one more."""
    path = _ROOT / LEAVES_NAME
    path.write_bytes(data)
    for other in path.parent.glob("leaves*"):
        if other != path:
            other.unlink()
    reader = ProofLogReader(_ROOT_FD)
    try:
        if reader.size:
            reader.root(reader.size)
        found = list(reader.find(1, T0_US, T0_US + 10))
        reader.last_journal_leaf()
    except KhuphoError as error:
        found = [error.what]
    finally:
        reader.close()
    log = ProofLog(_ROOT_FD, 0)
    try:
        log.append_many([unpack_leaf(LEAVES[:64], 0)])
        log.sync()
        log.root(log.size)
    finally:
        log.close()
    return found


_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_SIGNER = Signer(_KEY, "khupho.example/1")
_NOTE = _SIGNER.sign(Checkpoint("khupho.example/1", 7, bytes(32)).text())


@target("note", _NOTE, _NOTE + _NOTE)
def note(data: bytes) -> object:
    """A changed note is never taken for one that was signed."""
    for _offset, one in split_notes(data):
        parse_checkpoint(parse_note(one).text)
    parsed = parse_note(data)
    found = parse_checkpoint(parsed.text)
    verify_note(parsed, [_SIGNER.verifier_key])
    assert parsed.text == _SIGNER_TEXT or data.count(b"\n\n") > 1
    return found


_SIGNER_TEXT = parse_note(_NOTE).text


@target("verifier-key", str(_SIGNER.verifier_key).encode())
def verifier_key(data: bytes) -> object:
    return VerifierKey.parse(data.decode("utf-8", "replace"))


@target("checkpoints", _NOTE, _NOTE + _NOTE[:50])
def checkpoints(data: bytes) -> object:
    (_ROOT / "proof" / "checkpoints").write_bytes(data)
    found = list(read_checkpoints(_ROOT_FD))
    made = CheckpointFile(_ROOT_FD, ARCHIVE_ID, _KEY)
    made.close()
    return found


_IDENTITY = json.dumps(
    {
        "khupho_archive": 1,
        "id": ARCHIVE_ID.hex(),
        "recorder": "x",
        "created": "2026-11-24T01:00:00Z",
    }
).encode()
_RUNNING = json.dumps({"pid": 7, "boot": "x", "started": "2026-11-24T01:00:00Z"}).encode()


@target("identity", _IDENTITY, _RUNNING, b"[" * 5000)
def identity(data: bytes) -> object:
    (_ROOT / "archive.json").write_bytes(data)
    (_ROOT / "running.json").write_bytes(data)
    read_running(_ROOT)
    return read_identity(_ROOT)


_REPORT = json.dumps(
    {
        "khupho_clip": 1, "form": "fragments", "size_bytes": 10, "sha256": "00", "archive": "00",
        "camera": "gate", "stream": "main", "start": "2026-11-24T01:00:00Z",
        "end": "2026-11-24T01:00:01Z",
        "segments": [{"beginning": "AAAA"}],
        "fragments": [{"segment": 0, "offset": 0, "size": 10, "sha256": "00", "header": "00"}],
        "proof": {"version": 1, "tree_size": 1, "leaves": [0], "nodes": [], "checkpoint": "x"},
    }
).encode()  # fmt: skip


@target("clip-report", _REPORT)
def clip_report(data: bytes) -> object:
    path = _ROOT / "clip.json"
    path.write_bytes(data)
    return read_report(path)


@target("proof-bundle", b"\x3f\3\1\5\x14" + bytes(320))
def proof_bundle(data: bytes) -> object:
    """A proof of any shape gives a root or the error; one made for the leaves gives the tree's own."""
    if len(data) < 4:
        return None
    tree_size = 1 + data[0] % 64
    places = {n % 80: bytes([n]) * 32 for n in data[2 : 2 + data[1] % 16]}
    nodes = [data[n : n + 32] for n in range(2, len(data), 32)]
    try:
        bundle_root(places, tree_size, nodes)
    except ProofBundleError as error:
        str(error)
    return make_bundle(sorted(places), tree_size, lambda start, stop: bytes([start, stop]) * 16)

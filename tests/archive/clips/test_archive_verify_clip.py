"""Clips that prove themselves: recorded, filed, signed, exported, verified; and every forgery seen."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from footage_by_hand import FRAME_US, Film, make_film
from segments_by_hand import PCMU, T0_US, Recording, batch_of

from khupho.archive.clips.export import ClipRequest, ExportedClip, export_clip
from khupho.archive.clips.prover import LogProver
from khupho.archive.clips.stored_report import ClipReportError, read_report
from khupho.archive.clips.verdict import ClipVerdict
from khupho.archive.clips.verify import verify_clip
from khupho.archive.clips.writing import CopiedFragment
from khupho.archive.events import CloseCause
from khupho.archive.proof.checkpoint import CheckpointFile
from khupho.archive.proof.leaf_record import Leaf, fragment_leaf
from khupho.archive.proof.log import ProofLog
from khupho.archive.proof.merkle import leaf_hash
from khupho.archive.proof.signed_note import Signer, VerifierKey
from khupho.archive.segments.facts import FRAGMENT_FACTS_TYPE
from khupho.archive.segments.reader import read_segment
from khupho.archive.segments.stored_segment import StoredSegment
from khupho.errors import Fault
from khupho.media.samples import Sample
from khupho.units import format_utc

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
START_US = T0_US + 4 * FRAME_US
NUMBERS = {("gate", "main"): 3, ("gate", "audio"): 4}


@dataclass
class Archive:
    """Real segments with their log; what `export` wants of an archive."""

    recording: Recording
    root_fd: int
    log: ProofLog
    checkpoints: CheckpointFile

    @property
    def archive_id(self) -> str:
        return self.recording.place.archive_id.hex()

    def segments(self, camera: str, stream: str, start_utc_us: int, end_utc_us: int) -> list[str]:
        root = self.recording.root
        return sorted(str(path.relative_to(root)) for path in root.glob(f"{camera}/{stream}/*/*"))

    def read(self, relative_path: str) -> StoredSegment:
        return read_segment(self.recording.root, relative_path)

    def open(self, relative_path: str) -> int:
        return os.open(self.recording.root / relative_path, os.O_RDONLY)

    def film(self, film: Film, first: int, stop: int) -> None:
        """Record the film's frames, half a second at a time, as one session."""
        writer = self.recording.writer()
        for begin in range(first, stop, 12):
            frames = film.frames[begin : min(begin + 12, stop)]
            samples = [
                Sample(frame.pts + 900_000, len(frame.data), frame.is_key, format=film.format)
                if begin == first and n == 0
                else Sample(frame.pts + 900_000, len(frame.data), frame.is_key)
                for n, frame in enumerate(frames)
            ]
            after = begin + len(frames)
            following = film.frames[after].pts + 900_000 if after < len(film.frames) else None
            self.recording.clock.advance(len(frames) * FRAME_US)
            batch = batch_of(samples, [frame.data for frame in frames], following)
            writer.write(batch, self.recording.arrival())
        writer.close(CloseCause.STOPPED, self.recording.arrival())

    def file(self, *, sign: bool = True) -> None:
        """File all that was recorded since, among other cameras' leaves, and sign it."""
        leaves: list[Leaf] = []
        for event in self.recording.committed:
            stream = NUMBERS[event.segment.camera, event.segment.stream]
            leaves.append(fragment_leaf(event, stream))
            for n in range(3):
                other = leaf_hash(b"%d of another camera, %d" % (n, event.start_utc_us))
                leaves.append(leaves[-1]._replace(hash=other, stream=50 + n))
        self.recording.events.clear()
        self.log.append_many(leaves)
        self.log.sync()
        if sign:
            self.checkpoints.sign(self.log)

    def export(self, out: Path, start_us: int = START_US, frames: int = 100, **how) -> ExportedClip:
        stream = how.pop("stream", "main")
        request = ClipRequest("gate", stream, start_us, start_us + frames * FRAME_US, out, **how)
        prover = LogProver(
            self.root_fd,
            lambda camera, name: NUMBERS.get((camera, name)),
            self.checkpoints.verifier_key,
        )
        try:
            return export_clip(self, request, made_utc_us=T0_US, prover=prover)
        finally:
            prover.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    recording = Recording(tmp_path / "archive")
    root_fd = os.open(recording.root, os.O_RDONLY)
    checkpoints = CheckpointFile(root_fd, recording.place.archive_id, KEY)
    return Archive(recording, root_fd, ProofLog(root_fd), checkpoints)


def verified(clip: Path, key: VerifierKey | None = None) -> ClipVerdict:
    return verify_clip(clip, read_report(clip.with_suffix(".json")), key)


def text(lines: Sequence[str]) -> str:
    return "\n".join(lines)


@pytest.mark.parametrize("whole_fragments", [False, True])
@pytest.mark.parametrize("key_is_given", [False, True])
def test_a_clip_proves_itself(
    film: Film, archive: Archive, tmp_path: Path, whole_fragments: bool, key_is_given: bool
) -> None:
    archive.film(film, 0, 200)
    archive.file()
    made = archive.export(tmp_path / "clip.mp4", whole_fragments=whole_fragments)
    (part,) = made.parts
    assert part.is_proven
    key = archive.checkpoints.verifier_key
    verdict = verified(part.path, key if key_is_given else None)
    assert verdict.problems == []
    assert verdict.is_proven
    report = json.loads(part.report.read_text())
    whole = [one for one in report["fragments"] if "part_only" not in one]
    assert verdict.fragments == len(report["fragments"]) >= verdict.proven_fragments == len(whole)
    assert len(whole) > 5
    assert f"{len(whole)} of {len(report['fragments'])} fragments" in text(verdict.proven)
    assert verdict.signed_by == report["proof"]["key"] == str(key)
    assert ("Compare it" in text(verdict.unproven)) == (not key_is_given)
    assert ("a part cannot be proven" in text(verdict.unproven)) == (not whole_fragments)
    assert verdict.fields()["proven"] is True


def test_a_clip_over_two_segments_and_a_gap(film: Film, archive: Archive, tmp_path: Path) -> None:
    archive.film(film, 0, 96)
    archive.recording.clock.advance(1_900_000)
    archive.film(film, 96, 192)
    archive.file()
    made = archive.export(tmp_path / "clip.mp4", frames=200, joined=True)
    (part,) = made.parts
    verdict = verified(part.path, archive.checkpoints.verifier_key)
    assert (verdict.problems, verdict.is_proven) == ([], True)
    (gap,) = made.gaps
    assert format_utc(gap.start_utc_us)[:21] in text(verdict.unproven)
    assert "not in this clip" in text(verdict.unproven)
    apart = archive.export(tmp_path / "apart.mp4", frames=200)
    for one in apart.parts:
        verdict = verified(one.path)
        assert (verdict.problems, verdict.is_proven) == ([], True)
        assert "not in this clip" not in text(verdict.unproven)


@pytest.mark.parametrize("whole_fragments", [False, True])
def test_sound_proves_itself(archive: Archive, tmp_path: Path, whole_fragments: bool) -> None:
    writer = archive.recording.writer("gate", "audio")
    pts = 900_000
    for batch in range(12):
        samples, data = [], []
        for n in range(25):
            told = PCMU if batch == n == 0 else None
            samples.append(Sample(pts, 160, True, format=told))
            data.append(bytes([batch * 20 + n]) * 160)
            pts += 1_800
        archive.recording.clock.advance(500_000)
        writer.write(batch_of(samples, data, pts), archive.recording.arrival())
    writer.close(CloseCause.STOPPED, archive.recording.arrival())
    archive.file()
    made = archive.export(tmp_path / "clip.mp4", stream="audio", whole_fragments=whole_fragments)
    (part,) = made.parts
    verdict = verified(part.path)
    assert (verdict.problems, verdict.is_proven) == ([], True)
    assert "not in this clip" not in text(verdict.unproven)


# What is not filed or signed yet


def test_footage_that_is_not_signed_yet(film: Film, archive: Archive, tmp_path: Path) -> None:
    archive.film(film, 0, 96)
    made = archive.export(tmp_path / "none.mp4", frames=80)
    assert not made.parts[0].is_proven
    assert json.loads(made.parts[0].report.read_text())["proof"] is None
    verdict = verified(made.parts[0].path)
    assert (verdict.problems, verdict.is_proven) == ([], False)
    assert "no proof" in text(verdict.unproven)
    archive.file()
    archive.film(film, 96, 192)
    archive.file(sign=False)
    made = archive.export(tmp_path / "half.mp4", frames=190, joined=True, replace_existing=True)
    (part,) = made.parts
    assert not part.is_proven
    verdict = verified(part.path)
    assert (verdict.problems, verdict.is_proven) == ([], False)
    assert 0 < verdict.proven_fragments < verdict.fragments
    assert "not in the signed log yet" in text(verdict.unproven)


def test_why_nothing_is_proven(film: Film, archive: Archive, tmp_path: Path) -> None:
    archive.film(film, 0, 96)
    fragment = CopiedFragment(0, 5, T0_US, bytes(32), True, b"of no camera", 0, bytes(32))

    def why(camera: str = "gate") -> str:
        prover = LogProver(archive.root_fd, lambda *name: NUMBERS.get(name), None)
        assert prover.prove(camera, "main", [fragment]) is None
        return prover.why_not

    assert "signed yet" in why()
    archive.file()
    assert "signed yet" in why("unknown")
    assert "no fragment" in why()
    os.truncate(archive.recording.root / "proof/leaves", 64)
    assert "isn't the one that was signed" in why()


def test_a_fragment_filed_twice_is_proven_by_its_first_leaf(
    film: Film, archive: Archive, tmp_path: Path
) -> None:
    archive.film(film, 0, 96)
    events = archive.recording.committed
    archive.file()
    size = archive.log.size
    archive.log.append_many([fragment_leaf(event, 3, late=True) for event in events])
    archive.log.sync()
    archive.checkpoints.sign(archive.log)
    made = archive.export(tmp_path / "clip.mp4", frames=80)
    report = json.loads(made.parts[0].report.read_text())
    assert all(number < size for number in report["proof"]["leaves"])
    assert verified(made.parts[0].path).is_proven


# Forgeries

Change = Callable[[bytearray, dict], None]


def flip_payload(clip: bytearray, report: dict) -> None:
    clip[report["fragments"][3]["offset"] + 9] ^= 1


def flip_and_rehash_payload(clip: bytearray, report: dict) -> None:
    one = report["fragments"][3]
    flip_payload(clip, report)
    digest = sha256(clip[one["offset"] : one["offset"] + one["size"]]).digest()
    header = base64.b64decode(one["header"])
    forged = header.replace(bytes.fromhex(one["sha256"]), digest)
    assert forged != header
    one |= {"sha256": digest.hex(), "header": base64.b64encode(forged).decode()}


def resealed(header: bytes) -> bytes:
    """With the checksum that anybody can make."""
    from khupho.archive.segments.facts import sealed

    return sealed(header)


def rehash_and_reseal(clip: bytearray, report: dict) -> None:
    flip_and_rehash_payload(clip, report)
    one = report["fragments"][3]
    one["header"] = base64.b64encode(resealed(base64.b64decode(one["header"]))).decode()
    size = len(base64.b64decode(one["header"]))
    if report["form"] == "fragments":
        clip[one["offset"] - size : one["offset"]] = base64.b64decode(one["header"])


def another_time(clip: bytearray, report: dict) -> None:
    """All fragments an hour later, each with its checksum made good."""
    for one in report["fragments"]:
        header = bytearray(base64.b64decode(one["header"]))
        at = header.index(FRAGMENT_FACTS_TYPE) + 16 + 8
        later = int.from_bytes(header[at : at + 8], "big") + 3_600_000_000
        header[at : at + 8] = later.to_bytes(8, "big")
        sealed = resealed(bytes(header))
        one["header"] = base64.b64encode(sealed).decode()
        if report["form"] == "fragments":
            clip[one["offset"] - len(sealed) : one["offset"]] = sealed
    report["start"] = report["start"].replace("T01", "T02")
    report["end"] = report["end"].replace("T01", "T02")


def another_camera(clip: bytearray, report: dict) -> None:
    report["camera"] = "yard"


def another_archive(clip: bytearray, report: dict) -> None:
    report["archive"] = "ff" * 16


def fewer_fragments(clip: bytearray, report: dict) -> None:
    report["fragments"].pop(2)
    report["proof"]["leaves"].pop(2)


def a_leaf_elsewhere(clip: bytearray, report: dict) -> None:
    report["proof"]["leaves"][2] += 1


def a_node_changed(clip: bytearray, report: dict) -> None:
    report["proof"]["nodes"][0] = base64.b64encode(bytes(32)).decode()


def a_larger_tree(clip: bytearray, report: dict) -> None:
    report["proof"]["tree_size"] += 1


def a_checkpoint_changed(clip: bytearray, report: dict) -> None:
    lines = report["proof"]["checkpoint"].split("\n")
    lines[2] = base64.b64encode(bytes(32)).decode()
    report["proof"]["checkpoint"] = "\n".join(lines)


def another_start(clip: bytearray, report: dict) -> None:
    report["start"] = "2026-11-24T00:00:00.000000Z"


def a_longer_file(clip: bytearray, report: dict) -> None:
    clip += b"\0\0\0\x08free"


def parts_of_all(clip: bytearray, report: dict) -> None:
    """Each fragment said to be only a part of itself, so that nothing is hashed."""
    for one in report["fragments"]:
        one["part_only"] = True
        one["size"] -= 1


def no_fragments(clip: bytearray, report: dict) -> None:
    report["fragments"] = []


def a_shown_size_changed(clip: bytearray, report: dict) -> None:
    """The index shows the second picture of the file at another place."""
    at = clip.index(b"stsz") + 4 + 12
    first = int.from_bytes(clip[at : at + 4], "big")
    second = int.from_bytes(clip[at + 4 : at + 8], "big")
    clip[at : at + 8] = (first - 4).to_bytes(4, "big") + (second + 4).to_bytes(4, "big")


def slow_motion(clip: bytearray, report: dict) -> None:
    """Every picture is shown twice as long."""
    for kind in (b"stts", b"ctts"):
        at = clip.find(kind)
        if at < 0:
            continue
        count = int.from_bytes(clip[at + 8 : at + 12], "big")
        for n in range(count):
            place = at + 12 + n * 8 + 4
            doubled = int.from_bytes(clip[place : place + 4], "big", signed=True) * 2
            clip[place : place + 4] = doubled.to_bytes(4, "big", signed=True)


def another_format(clip: bytearray, report: dict) -> None:
    clip[clip.index(b"avcC") + 7] ^= 1


def another_shown_size(clip: bytearray, report: dict) -> None:
    """The player is told to turn the picture over, so that its text is mirrored."""
    clip[clip.index(b"tkhd") + 4 + 48] ^= 0x80


def another_format_everywhere(clip: bytearray, report: dict) -> None:
    """In the clip and the report alike, with the checksum that anybody can make."""
    another_format(clip, report)
    begin = bytearray(base64.b64decode(report["segments"][0]["beginning"]))
    another_format(begin, report)
    begin[-4:] = crc32(begin[:-4]).to_bytes(4, "big")
    report["segments"][0]["beginning"] = base64.b64encode(begin).decode()
    if report["form"] == "fragments":
        clip[: len(begin)] = begin


def no_segments(clip: bytearray, report: dict) -> None:
    report["segments"] = []


def a_part_in_the_middle(clip: bytearray, report: dict) -> None:
    """A changed fragment said to be only a part, so that it isn't hashed."""
    flip_payload(clip, report)
    report["fragments"][3] |= {"part_only": True, "size": report["fragments"][3]["size"] - 1}


NOT_LOGGED = "not in the log that was signed"
BOTH = [
    (flip_payload, "changed since they were recorded"),
    (flip_and_rehash_payload, "fragment 3 is not one of ours.*checksum"),
    (rehash_and_reseal, NOT_LOGGED),
    (another_time, NOT_LOGGED),
    (another_camera, "it is of gate/main"),
    (another_archive, "it is of another archive"),
    (another_format, "beginning is not as it was recorded|another format"),
    (another_format_everywhere, NOT_LOGGED),
    (no_segments, "fragment 0 is not one of ours"),
    (fewer_fragments, "12 pictures|isn't as it was recorded"),
    (a_leaf_elsewhere, NOT_LOGGED),
    (a_node_changed, NOT_LOGGED),
    (a_larger_tree, "don't belong together"),
    (a_checkpoint_changed, "signature is wrong"),
    (another_start, "times are not those"),
    (no_fragments, "names no fragments"),
    (a_part_in_the_middle, "In the middle of the clip"),
]
FORGERIES = [(*one, form) for one in BOTH for form in ("fragments", "progressive")] + [
    (a_longer_file, "goes on after", "fragments"),
    (another_shown_size, "beginning is not as it was recorded", "fragments"),
    (another_shown_size, "another size or turned", "progressive"),
    (parts_of_all, "In the middle of the clip", "fragments"),
    (parts_of_all, "In the middle of the clip", "progressive"),
    (a_shown_size_changed, "doesn't show fragment 0", "progressive"),
    (slow_motion, "doesn't show fragment 0", "progressive"),
]


@pytest.fixture(scope="module")
def clips(film: Film, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tmp_path = tmp_path_factory.mktemp("clips")
    recording = Recording(tmp_path / "archive")
    root_fd = os.open(recording.root, os.O_RDONLY)
    checkpoints = CheckpointFile(root_fd, recording.place.archive_id, KEY)
    archive = Archive(recording, root_fd, ProofLog(root_fd), checkpoints)
    archive.film(film, 0, 200)
    archive.file()
    made = {}
    for form in ("fragments", "progressive"):
        out = tmp_path / f"{form}.mp4"
        (part,) = archive.export(out, whole_fragments=form == "fragments").parts
        made[form] = part.path
    (tmp_path / "key").write_text(str(checkpoints.verifier_key))
    return made


def key_of(clip: Path) -> VerifierKey:
    return VerifierKey.parse((clip.parent / "key").read_text())


def changed(clip: Path, out: Path, change: Change) -> Path:
    """A forger's clip: the file and the report's own hash of it are made to agree."""
    data = bytearray(clip.read_bytes())
    report = json.loads(clip.with_suffix(".json").read_text())
    change(data, report)
    report |= {"size_bytes": len(data), "sha256": sha256(data).hexdigest()}
    out.write_bytes(data)
    out.with_suffix(".json").write_text(json.dumps(report))
    return out


@pytest.mark.parametrize(("change", "told", "form"), FORGERIES)
def test_a_forgery_is_seen(
    clips: dict[str, Path], tmp_path: Path, change: Change, told: str, form: str
) -> None:
    forged = changed(clips[form], tmp_path / "forged.mp4", change)
    for key in (None, key_of(clips[form])):
        verdict = verified(forged, key)
        assert re.search(told, text(verdict.problems)), verdict.problems
        assert not verdict.is_proven


@pytest.mark.parametrize("form", ["fragments", "progressive"])
def test_nothing_changed_is_no_forgery(clips: dict[str, Path], tmp_path: Path, form: str) -> None:
    same = changed(clips[form], tmp_path / "same.mp4", lambda _clip, _report: None)
    assert verified(same, key_of(clips[form])).is_proven


def test_bytes_that_the_report_was_not_made_for(clips: dict[str, Path], tmp_path: Path) -> None:
    for change, told in ((lambda data: data[:-1], "bytes, and its"), (flipped, "not those")):
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(change(clips["progressive"].read_bytes()))
        shutil.copy(clips["progressive"].with_suffix(".json"), clip.with_suffix(".json"))
        verdict = verified(clip)
        assert told in text(verdict.problems)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_a_log_that_a_forger_signed(clips: dict[str, Path], tmp_path: Path) -> None:
    """Report and clip agree with each other; only the recorder's own key tells."""

    def sign_again(clip: bytearray, report: dict) -> None:
        origin, body = report["proof"]["checkpoint"].split("\n", 1)
        signer = Signer(OTHER, origin)
        note = signer.sign(f"{origin}\n{body}".encode().split(b"\n\n")[0] + b"\n")
        report["proof"] |= {"checkpoint": note.decode(), "key": str(signer.verifier_key)}

    forged = changed(clips["fragments"], tmp_path / "forged.mp4", sign_again)
    trusting = verified(forged)
    assert trusting.is_proven
    assert "Compare it" in text(trusting.unproven)
    verdict = verified(forged, key_of(clips["fragments"]))
    assert "known here" in text(verdict.problems)
    assert not verdict.is_proven


def test_a_fragment_left_out_is_a_gap(clips: dict[str, Path], tmp_path: Path) -> None:
    """What is left out cannot be proven to have been there; that time is missing is told."""

    def leave_out(clip: bytearray, report: dict) -> None:
        *_, one, last = report["fragments"][:8]
        del report["fragments"][8:], report["proof"]["leaves"][8:]
        del clip[last["offset"] + last["size"] :]
        size = len(base64.b64decode(one["header"])) + one["size"]
        begin = one["offset"] - len(base64.b64decode(one["header"]))
        del clip[begin : begin + size]
        last["offset"] -= size
        report["fragments"].pop(6)
        report["proof"]["leaves"].pop(6)

    forged = changed(clips["fragments"], tmp_path / "cut.mp4", leave_out)
    verdict = verified(forged)
    # The proof was made for all of them together, and so it fails first.
    assert verdict.problems
    assert "not in this clip" in text(verdict.unproven)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (None, "cannot be read"),
        (b"", "no clip's report"),
        (b"{}", "no clip's report"),
        (b"[" * 100_000, "no clip's report"),
        (b'{"khupho_clip":2,"form":"fragments","size_bytes":1,"sha256":"","archive":"","camera":"",'
         b'"stream":"","start":"","end":""}', "version 2"),
    ],
)  # fmt: skip
def test_what_is_no_report(tmp_path: Path, data: bytes | None, match: str) -> None:
    path = tmp_path / "clip.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ClipReportError, match=match) as raised:
        read_report(path)
    assert raised.value.fault is Fault.USER


def test_a_clip_that_is_not_there(clips: dict[str, Path], tmp_path: Path) -> None:
    report = read_report(clips["fragments"].with_suffix(".json"))
    with pytest.raises(ClipReportError, match="clip cannot be read"):
        verify_clip(tmp_path / "nowhere.mp4", report)

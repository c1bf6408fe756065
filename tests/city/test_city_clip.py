import subprocess

import pytest

from khupho.city import encoding
from khupho.city.cache import cached
from khupho.city.clip import ClipError, load_clip
from khupho.city.encoding import clip_of_file
from khupho.city.street import Street
from khupho.media.formats import Codec


@pytest.mark.parametrize("kind", ["h264", "ts", "mkv"])
def test_the_same_clip_from_any_container(clip_path, clip, tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", clip_path("h264"), "-c", "copy", path],
        check=True, timeout=30,
    )  # fmt: skip
    plain, other = clip("h264"), load_clip(path)
    assert other.format.parameter_sets == plain.format.parameter_sets
    assert [u.is_key for u in other.units] == [u.is_key for u in plain.units]
    if kind != "ts":  # its muxer puts delimiters and parameter sets in, which are taken out again
        assert [u.nals for u in other.units] == [u.nals for u in plain.units]
    assert abs(other.duration_90k - plain.duration_90k) <= 90
    steps = {b.dts_90k - a.dts_90k for a, b in zip(other.units, other.units[1:], strict=False)}
    assert all(abs(step - 3600) <= 90 for step in steps)


def test_other_codecs_are_encoded_once(tmp_path, monkeypatch):
    path = tmp_path / "old.avi"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-t", "1", "-i", "testsrc2=size=162x122:rate=10",
         "-c:v", "mpeg4", path],
        check=True, timeout=30,
    )  # fmt: skip
    made = clip_of_file(path, tmp_path / "cache")
    assert made.format.codec is Codec.H264
    assert len(made.units) == 10
    assert made.duration_90k == 90_000
    monkeypatch.setattr(encoding, "_encode_file", lambda *_args: pytest.fail("encoded twice"))
    assert clip_of_file(path, tmp_path / "cache") == made


def test_what_is_no_video_is_refused(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video" * 100)
    sound = tmp_path / "sound.wav"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-t", "0.1", "-i", "anoisesrc", sound],
        check=True, timeout=30,
    )  # fmt: skip
    for path in (text, sound, tmp_path / "missing.mp4"):
        with pytest.raises(ClipError):
            clip_of_file(path, tmp_path)


def test_cached_files_are_whole_or_absent(tmp_path):
    def fail(draft):
        draft.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("x.mp4", fail, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cached("x.mp4", lambda draft: draft.write_bytes(b"whole"), tmp_path).read_bytes()
    cached("x.mp4", fail, tmp_path)


def test_street_moves_and_repeats_without_a_seam():
    street = Street(320, 180, 50, 25)
    first, second, last = (street.picture(n) for n in (0, 1, 49))
    assert len(first.y) == 320 * 180
    assert len(first.u) == len(first.v) == 160 * 90
    assert street.picture(50) == first

    def changed(a, b):
        return sum(x != y for x, y in zip(a.y, b.y, strict=True))

    assert 0 < changed(first, second) < 320 * 180 // 4
    assert changed(last, first) < 3 * changed(first, second)


def test_drawn_street_is_a_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "STREET_SECONDS", 4)
    made = encoding.street_clip(320, 180, tmp_path)
    assert (made.format.width_px, made.format.height_px) == (320, 180)
    assert len(made.units) == 100
    assert made.duration_90k == 360_000
    assert [n for n, unit in enumerate(made.units) if unit.is_key] == [0, 50]
    assert made.format.reorder_frames == 0

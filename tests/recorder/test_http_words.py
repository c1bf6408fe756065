"""Both languages are complete: no text of the page and no sentence of an error lacks one."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from said_sentences import sentences

from khupho.errors import Fault
from khupho.recorder.http import status, verdict
from khupho.recorder.http.words import CATALOGUE_NAME, Vietnamese, load_vietnamese

FOLDER = files("khupho.recorder.http")
WORDS: dict[str, dict[str, str]] = json.loads(FOLDER.joinpath("page/words.json").read_text())
CATALOGUE: dict[str, str] = json.loads(FOLDER.joinpath(CATALOGUE_NAME).read_text())
PAGE = FOLDER.joinpath("page/index.html").read_text()
SCRIPT = FOLDER.joinpath("page/page.js").read_text()

SAID_ON_THE_PAGE = [
    "recorder.connect", "recorder.handshake", "recorder.datagrams", "recorder.session",
    "recorder.source", "recorder.watchdog", "recorder.settings", "recorder.secrets",
    "wire.rtsp.client", "wire.rtsp.auth", "wire.rtsp.message", "wire.rtsp.sdp", "wire.rtsp.tracks",
    "wire.rtsp.track_setup", "wire.rtsp.transport", "wire.rtsp.refusals", "wire.rtsp.url",
    "wire.rtsp.errors", "wire.rtp.framing", "wire.rtp.interleaved",
    "archive.retention.forecast", "archive.place.place", "archive.archive", "archive.keeper.keeper",
    "archive.keeper.flush", "archive.keeper.retention", "archive.keeper.intake",
    "archive.clock.trust", "archive.catalog.catalog", "archive.catalog.queries", "archive.journal.journal",
    "archive.proof.log", "archive.place.append_file", "archive.place.identity", "archive.keeper.books",
    "archive.segments.recovery", "archive.proof.checkpoint",
]  # fmt: skip
"""Modules whose errors become a stream's trouble or an alarm."""


def used_keys() -> set[str]:
    keys = set(re.findall(r'data-word="(\w+)"', PAGE))
    keys |= set(re.findall(r'\bt\("(\w+)"', SCRIPT))
    keys |= {key for pair in re.findall(r't\([^?()]*\? "(\w+)" : "(\w+)"', SCRIPT) for key in pair}
    return keys | {f"fault_{fault.value}" for fault in Fault}


def test_every_text_of_the_page_is_there_in_both_languages_and_none_too_many() -> None:
    assert set(WORDS) == used_keys()
    for key, text in WORDS.items():
        assert set(text) == {"vi", "en"}, key
        assert all(part.strip() for part in text.values()), key
        holes = [sorted(re.findall(r"\{(\w+)\}", part)) for part in text.values()]
        assert holes[0] == holes[1], key


def test_what_stands_in_the_page_before_the_script_runs_is_vietnamese() -> None:
    for key, text in re.findall(r'data-word="(\w+)">([^<]*)<', PAGE):
        assert text == WORDS[key]["vi"], key


@pytest.mark.parametrize("module", SAID_ON_THE_PAGE)
def test_every_sentence_of_an_error_is_in_the_catalogue(module: str) -> None:
    missing = sentences(f"khupho.{module}") - CATALOGUE.keys()
    assert not missing


def test_the_verdicts_own_sentences_are_too() -> None:
    made = {status.NOT_RECORDED, status.NOT_RECORDED_ADVICE}
    source = FOLDER.joinpath("verdict.py").read_text()
    made |= {re.sub(r"\{[^}]*\}", "{}", text) for text in re.findall(r'return f?"([^"]+)"', source)}
    assert len(made) >= 6
    assert made <= CATALOGUE.keys()
    assert verdict.Verdict


def test_holes_agree() -> None:
    for english, text in CATALOGUE.items():
        assert english.count("{}") == text.count("{}"), english
        assert text


def test_what_varies_is_carried_over_and_may_be_a_sentence_itself() -> None:
    words = Vietnamese(
        {
            "Gone": "Mất rồi",
            "{} is refused": "Từ chối {}",
            "A {} of {}": "Một {} của {}",
            "{} days": "{} ngày",
        }
    )
    assert words.translate("Gone") == "Mất rồi"
    assert words.translate("DESCRIBE is refused") == "Từ chối DESCRIBE"
    assert words.translate("Gone is refused") == "Từ chối Mất rồi"
    assert words.translate("A {} of 3 days") == "Một {} của 3 ngày"
    assert words.translate("Never heard of") is None
    assert words.words("Never heard of").vi == "Never heard of"


def test_real_sentences_come_through() -> None:
    words = load_vietnamese()
    said = words.words(
        "the small stream does not come: The camera took the connection but does not answer SETUP"
    )
    assert said.vi == "luồng phụ không về: Camera nhận kết nối nhưng không trả lời lệnh SETUP"


def test_what_a_camera_makes_long_is_not_searched_for_long() -> None:
    assert load_vietnamese().translate("a: b of " * 5_000) is None

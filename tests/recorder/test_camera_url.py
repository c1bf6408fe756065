"""Addresses are parted from the passwords inside them, and nothing of a password is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from khupho.recorder.camera_url import CameraUrlError, part_url, redact, whole_url


@pytest.mark.parametrize(
    ("text", "url", "user", "password"),
    [
        ("rtsp://10.0.0.9/1", "rtsp://10.0.0.9/1", "", ""),
        ("RTSP://admin:x@10.0.0.9:554/1", "rtsp://10.0.0.9:554/1", "admin", "x"),
        ("rtsp://admin:p%40ss@10.0.0.9/1", "rtsp://10.0.0.9/1", "admin", "p@ss"),
        ("rtsp://admin:p@ss@10.0.0.9/1", "rtsp://10.0.0.9/1", "admin", "p@ss"),
        ("rtsp://admin:p@ss/w?rd@10.0.0.9/1", "rtsp://10.0.0.9/1", "admin", "p@ss/w?rd"),
        ("rtsp://admin:a/b@cam.local/1?x=2", "rtsp://cam.local/1?x=2", "admin", "a/b"),
        ("rtsp://a:b@[fe80::1]:554/s", "rtsp://[fe80::1]:554/s", "a", "b"),
        ("rtsp://10.0.0.9:554/x@y", "rtsp://10.0.0.9:554/x@y", "", ""),
    ],
)
def test_parts(text: str, url: str, user: str, password: str) -> None:
    found, login = part_url(text)
    assert (found, login.user, login.password) == (url, user, password)


def test_passwords_inside_the_path_are_taken_out_and_put_back() -> None:
    text = "rtsp://10.0.0.9/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp?real_stream"
    url, login = part_url(text)
    assert "tlJwpbo6" not in url
    assert login.hidden == ("tlJwpbo6",)
    assert whole_url(url, login) == text


@pytest.mark.parametrize(
    "text",
    ["", "http://10.0.0.9/1", "10.0.0.9", "rtsp://", "rtsp:///x", "rtsp://h:70000/", "rtsp://h:0/",
     "rtsp://[::1/x", "rtsp://a\nb/", "rtsp://" + "a" * 3000],
)  # fmt: skip
def test_impossible_addresses_are_refused(text: str) -> None:
    with pytest.raises(CameraUrlError):
        part_url(text)


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(CameraUrlError) as caught:
        part_url("http://admin:hunter2@10.0.0.9/1")
    assert "hunter2" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_parts_or_is_refused(text: str) -> None:
    try:
        url, login = part_url("rtsp://" + text)
    except CameraUrlError:
        return
    assert part_url(url)[0] == url
    assert not part_url(url)[1].hidden or login.hidden


def test_redact() -> None:
    line = "cannot open rtsp://admin:p@ss/w@10.0.0.9/1?password=abc now"
    assert "p@ss" not in redact(line)
    assert "abc" not in redact(line)
    assert redact(line).endswith(" now")
    assert redact("nothing to hide") == "nothing to hide"

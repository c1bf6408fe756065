"""The whole API over a running recorder: people, live, playback, stills, clips, and who may not."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from recorder_api import Person
from recorder_process import RunningRecorder, recorder
from recorder_street import Street, street
from websockets.exceptions import ConnectionClosed, InvalidStatus

from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.http.live_routes import ENDED
from khupho.recorder.secrets import load_sealer


class Site:
    """A recorder with two cameras that have been recorded for some seconds."""

    def __init__(self, running: RunningRecorder, data: Path, owner: Person) -> None:
        self.running = running
        self.data = data
        self.owner = owner
        self.start_us = 0

    def span(self, first_s: float, last_s: float) -> str:
        start = self.start_us + int(first_s * 1e6)
        return f"start={start}&end={self.start_us + int(last_s * 1e6)}"


@pytest.fixture(scope="module")
def city(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    with street(clip_file(), "--count", "2", "--sub-video", str(clip_file("h264", "160x120"))) as s:
        yield s


@pytest.fixture(scope="module")
def site(city: Street, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("api") / "data"
    data.mkdir(mode=0o700)
    store = CameraStore(data, load_sealer(data))
    for number in (1, 2):
        sub = part_url(city.url(number, "sub"))
        store.add(
            NewCamera(f"Cổng {number}", part_url(city.url(number)), sub=sub, id=f"c{number}"),
            time.time_ns() // 1000,
        )
    with recorder(data) as running:
        owner = Person(running.url)
        owner.set_up(running.ready["set_up_url"])
        site = Site(running, data, owner)
        running.until(lambda: running.records("c1", "c2", frames=250))

        now_us = time.time_ns() // 1000
        found = owner.json(
            f"/api/v1/cameras/c1/main/timeline?start={now_us - 3_600_000_000}&end={now_us}"
        )
        site.start_us = found["spans"][0]["start_utc_us"]
        yield site


def problem(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    status, headers, body = answer
    assert headers["content-type"].startswith("application/problem+json"), body
    found: dict[str, Any] = json.loads(body)
    assert found["status"] == status
    assert found["title"]
    return found


MEDIA = [
    "/api/v1/cameras/c1/main/playlist.m3u8?start=1&end=2",
    "/api/v1/cameras/c1/main/segments/1.mp4",
    "/api/v1/cameras/c1/main/timeline?start=1&end=2",
    "/api/v1/cameras/c1/main/still.jpg?at=1",
    "/api/v1/cameras/c1/main/clip.mp4?start=1&end=2",
]


@pytest.mark.parametrize("path", [*MEDIA, "/api/v1/cameras", "/api/v1/accounts",
                                  "/api/v1/access-log", "/api/v1/me/sessions"])  # fmt: skip
def test_who_is_not_signed_in_gets_nothing(site: Site, path: str) -> None:
    stranger = Person(site.running.url)
    assert problem(stranger.ask(path))["type"] == "not-signed-in"
    # Not even whether there is such a camera.
    assert problem(stranger.ask(path.replace("c1", "c9")))["type"] == "not-signed-in"


def test_the_set_up_link_makes_one_owner_only(site: Site) -> None:
    stranger = Person(site.running.url)
    me = stranger.json("/api/v1/me")
    assert (me["is_set_up"], me["person"], me["actions"]) == (True, None, ["open"])
    code = site.running.ready["set_up_url"].partition("code=")[2]
    body = {"code": code, "name": "Kẻ lạ", "password": "mật khẩu của kẻ lạ"}
    assert stranger.ask("/api/v1/set-up", body)[0] >= 400
    assert "live" in site.owner.json("/api/v1/me")["actions"]


def test_each_role_may_what_the_table_says(site: Site) -> None:
    viewer, _ = site.owner.invite("Người xem", "viewer", cameras=["c2"])
    maintainer, _ = site.owner.invite("Thợ", "maintainer")
    listed = [camera["id"] for camera in viewer.json("/api/v1/cameras")["cameras"]]
    assert listed == ["c2"]
    for path in MEDIA:
        assert problem(viewer.ask(path))["type"] == "no-such-camera"
        assert problem(maintainer.ask(path))["status"] == 404
    assert viewer.ask(MEDIA[2].replace("c1", "c2"))[0] == 200
    assert problem(viewer.ask(MEDIA[4].replace("c1", "c2")))["type"] == "no-such-camera"
    for path in ("/api/v1/accounts", "/api/v1/access-log"):
        for person in (viewer, maintainer):
            assert problem(person.ask(path))["type"] == "forbidden"
    for person, camera in ((viewer, "c1"), (maintainer, "c1"), (maintainer, "c2")):
        with pytest.raises(InvalidStatus) as refused:
            person.live(camera)
        assert refused.value.response.status_code in (403, 404)


def test_live_gives_pictures_that_play(site: Site, tmp_path: Path) -> None:
    film = bytearray()
    with site.owner.live("c1") as view:
        head = json.loads(view.recv(5))
        assert head["kind"] == "segment"
        assert head["mime"].startswith('video/mp4; codecs="avc1.')
        assert (head["width"], head["height"]) == (320, 240)
        for _ in range(60):
            data = view.recv(5)
            assert isinstance(data, bytes)
            film += data
    path = tmp_path / "live.mp4"
    path.write_bytes(film)
    assert frames_in(str(path)) >= 59


def test_a_view_ends_when_the_session_does(site: Site) -> None:
    viewer, account = site.owner.invite("Khách", "viewer", cameras=["c1"])
    with viewer.live("c1") as view:
        view.recv(5)
        began = time.monotonic()
        site.owner.json(f"/api/v1/accounts/{account}", {"cameras": []}, "PATCH")
        with pytest.raises(ConnectionClosed) as closed:
            while time.monotonic() < began + 10:
                view.recv(5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == ENDED
    with pytest.raises(InvalidStatus):
        viewer.live("c1")
    site.owner.ask(f"/api/v1/accounts/{account}", method="DELETE")
    assert problem(viewer.ask("/api/v1/cameras"))["type"] == "not-signed-in"


def test_a_page_of_another_site_gets_no_picture(site: Site) -> None:
    with pytest.raises(InvalidStatus):
        site.owner.live("c1", origin="http://evil.example")


def test_a_playlist_plays_with_what_it_names(site: Site) -> None:
    path = f"/api/v1/cameras/c1/main/playlist.m3u8?{site.span(2, 6)}"
    status, headers, body = site.owner.ask(path)
    assert (status, headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
    text = body.decode()
    names = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert names
    assert all(name.startswith("segments/") for name in names)
    name = names.pop()
    base = "/api/v1/cameras/c1/main/"
    status, headers, whole = site.owner.ask(base + name)
    assert status == 200
    status, headers, part = site.owner.ask(base + name, range="bytes=4-11")
    assert (status, part) == (206, whole[4:12])
    assert headers["content-range"].startswith("bytes 4-11/")
    assert part[:4] == b"ftyp"
    assert site.owner.ask(base + name, range="bytes=99999999999-")[0] == 416
    for wrong in ("segments/1.mp4", "segments/x.mp4", "segments/..%2f..%2fcatalog.db"):
        assert site.owner.ask(base + wrong)[0] == 404


def test_a_clip_is_whole_and_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    path = f"/api/v1/cameras/c1/main/clip.mp4?{site.span(2, 5)}"
    status, headers, whole = site.owner.ask(path)
    assert (status, int(headers["content-length"])) == (200, len(whole))
    assert "attachment" in headers["content-disposition"]
    half = len(whole) // 2
    status, headers, rest = site.owner.ask(
        path, **{"range": f"bytes={half}-", "if-range": headers["etag"]}
    )
    assert (status, rest) == (206, whole[half:])
    file = tmp_path / "clip.mp4"
    file.write_bytes(whole)
    assert frames_in(str(file)) in (75, 76)  # 76 where both ends cut a picture


def test_a_still_is_of_the_moment_before(site: Site) -> None:
    at_us = site.start_us + 4_000_000
    status, headers, jpeg = site.owner.ask(
        f"/api/v1/cameras/c1/main/still.jpg?at={at_us}&width=160"
    )
    assert status == 200
    assert jpeg[:2] == b"\xff\xd8"
    assert 0 <= at_us - int(headers["x-taken-utc-us"]) <= 600_000
    assert problem(site.owner.ask("/api/v1/cameras/c1/main/still.jpg?at=1"))["type"] == "no-footage"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("playlist.m3u8?start=5&end=4", "bad-span"),
        ("playlist.m3u8?start=0&end=99999999999999", "bad-span"),
        ("clip.mp4?start=now&end=4", "bad-moment"),
        ("still.jpg?at=yesterday", "bad-moment"),
        ("playlist.m3u8?start=1&end=2", "no-footage"),
    ],
)
def test_a_bad_question_is_told_what_is_wrong(site: Site, path: str, kind: str) -> None:
    assert problem(site.owner.ask(f"/api/v1/cameras/c1/main/{path}"))["type"] == kind


def test_the_access_log_tells_who_saw_what(site: Site) -> None:
    site.owner.ask(f"/api/v1/cameras/c2/main/clip.mp4?{site.span(2, 3)}")
    entries = site.owner.json("/api/v1/access-log?camera=c2&limit=5")["entries"]
    newest = entries[0]
    assert (newest["kind"], newest["camera"], newest["stream"]) == ("export", "c2", "main")
    assert newest["end_utc_us"] - newest["start_utc_us"] == 1_000_000
    page = site.owner.json("/api/v1/access-log?limit=2")
    following = site.owner.json(f"/api/v1/access-log?limit=2&before={page['next']}")
    ids = [entry["id"] for entry in page["entries"] + following["entries"]]
    assert ids == sorted(ids, reverse=True)


def test_the_contract_is_published(site: Site) -> None:
    described = Person(site.running.url).json("/api/v1/openapi.json")
    assert described["openapi"].startswith("3.")
    assert "/api/v1/cameras/{camera}/{stream}/clip.mp4" in described["paths"]


def frames_in(path: str) -> int:
    """Decoded by a program that nobody here wrote."""
    command = [
        "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
        "stream=nb_read_frames", "-of", "csv=p=0", path,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return int(done.stdout.strip().split(",")[0])


def test_who_hangs_up_at_once_leaves_nothing_open(site: Site) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{site.running.pid}/fd").iterdir()))

    parts = urlsplit(site.owner.origin)
    paths = [f"/api/v1/cameras/c1/main/clip.mp4?{site.span(1, 6)}"]
    text = site.owner.ask(f"/api/v1/cameras/c1/main/playlist.m3u8?{site.span(1, 6)}")[2].decode()
    paths.append("/api/v1/cameras/c1/main/" + next(x for x in text.split() if x.startswith("seg")))
    before = open_files()
    for turn in range(60):
        with socket.create_connection((parts.hostname, parts.port), 5) as caller:
            head = f"GET {paths[turn % 2]} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            caller.sendall(f"{head}Cookie: {site.owner.cookie()}\r\n\r\n".encode())
            if turn % 3 == 0:
                caller.recv(100)
    site.running.until(lambda: open_files() <= before + 5)

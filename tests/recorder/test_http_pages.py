"""The page over real HTTP, on a loop of its own, with states made by hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from page_room import page_application

from khupho.recorder.http.pages import load_page
from khupho.recorder.http.server import ListenError, PageServer, listen
from khupho.recorder.http.status import ArchiveView, StatusView
from khupho.recorder.stills import Still

STATUS = StatusView("0.1.0", 5, 1, "/srv", "UTC+07:00", 25_200, 0, 1440, [], [], ArchiveView())
JPEG = b"\xff\xd8picture"


class FakeStills:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def newest(self, camera: str) -> Still | None:
        self.asked.append(camera)
        return Still(77, JPEG) if camera == "gate" else None


def play(scene: Callable[[httpx.AsyncClient, FakeStills], Awaitable[None]]) -> None:
    async def run() -> None:
        stills = FakeStills()
        known = {"gate", "dark"}
        pages = page_application(lambda: STATUS, stills, known.__contains__)
        server = PageServer(pages, listen("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve())
        await asyncio.wait_for(server.started(), 10)
        async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
            await scene(client, stills)
        server.stop()
        await asyncio.wait_for(serving, 10)

    asyncio.run(run())


def test_the_page_and_all_that_it_names_are_there() -> None:
    async def scene(client: httpx.AsyncClient, _stills: FakeStills) -> None:
        page = await client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        named = set(re.findall(r'(?:href|src)="(/[^"]+)"', page.text))
        assert len(named) >= 3
        for path in named:
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        for path in ("/page/../status.py", "/page/pages.py", "/page/", "/openapi.json", "/schema"):
            assert (await client.get(path)).status_code == 404, path

    play(scene)


def test_nothing_of_the_page_comes_from_elsewhere_or_stands_in_line() -> None:
    for name, file in load_page().items():
        text = file.body.decode()
        elsewhere = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)
        assert set(elsewhere) <= {"http://www.w3.org"}, name
    page = load_page()["index.html"].body.decode()
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script(?![^>]*src=)", page)


def test_status_and_pictures() -> None:
    async def scene(client: httpx.AsyncClient, stills: FakeStills) -> None:
        status = await client.get("/api/v1/status")
        assert status.headers["cache-control"] == "no-store"
        assert status.json()["zone_offset_s"] == 25_200
        picture = await client.get("/api/v1/cameras/gate/picture.jpg")
        assert (picture.content, picture.headers["x-taken-utc-us"]) == (JPEG, "77")
        tag = {"if-none-match": picture.headers["etag"]}
        assert (
            await client.get("/api/v1/cameras/gate/picture.jpg", headers=tag)
        ).status_code == 304
        dark = await client.get("/api/v1/cameras/dark/picture.jpg")
        assert (dark.status_code, dark.content) == (204, b"")
        asked = len(stills.asked)
        assert (await client.get("/api/v1/cameras/nobody/picture.jpg")).status_code == 404
        assert len(stills.asked) == asked
        assert (await client.post("/api/v1/status")).status_code == 403  # it names no origin

    play(scene)


def test_an_address_that_cannot_be_had_is_explained() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match="already listens") as raised:
            listen("127.0.0.1", port)
        assert str(port) in raised.value.where
    with pytest.raises(ListenError, match="does not have"):
        listen("192.0.2.1", 0)
    with pytest.raises(ListenError, match="not known"):
        listen("no.such.name.invalid", 0)


def test_the_address_tells_a_token_only_where_one_is_needed() -> None:
    async def nothing(*_arguments: object) -> None:
        return

    with (
        listen("127.0.0.1", 0) as here,
        listen("::1", 0) as here_6,
        listen("0.0.0.0", 0) as all_of_it,
    ):
        assert PageServer(nothing, here).url == f"http://127.0.0.1:{here.getsockname()[1]}/"
        assert PageServer(nothing, here_6).url.startswith("http://[::1]:")
        first, second = PageServer(nothing, all_of_it), PageServer(nothing, all_of_it)
        assert first.token in first.url
        assert len(first.token) > 30
        assert first.token != second.token
        assert "0.0.0.0" not in first.url

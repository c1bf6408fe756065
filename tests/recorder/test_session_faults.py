"""What cameras do wrong, and what a session and its source make of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from keeping_room import keeping_room, source
from recorder_street import Street, street

from khupho.archive.events import CloseCause
from khupho.errors import Fault
from khupho.recorder import session
from khupho.recorder.snapshot import Phase
from khupho.recorder.source import SourceConfig
from khupho.units import US_PER_MINUTE, US_PER_S
from khupho.wire.rtsp.states import State


@pytest.fixture(scope="module")
def plain(clip_file) -> Iterator[Street]:  # type: ignore[no-untyped-def]  # a function
    with street(
        clip_file(), "--count", "3", "--other-video", str(clip_file("h264", "160x120"))
    ) as s:
        yield s


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog bites after 1.2 s."""
    monkeypatch.setattr("khupho.recorder.watchdog.MEDIA_PATIENCE_US", 1_200_000)


@pytest.mark.parametrize("scheme", ["basic", "digest", "digest-sha256"])
def test_signing_in(clip_file, scheme: str) -> None:  # type: ignore[no-untyped-def]  # a function
    async def scene(city: Street) -> None:
        good = source(city, 1, user="admin", password="secret")
        async with keeping_room(good, source(city, 2, user="admin", password="wrong")) as made:
            await made.until(lambda: made.frames("c1") > 5)
            await made.until(lambda: made.stream("c2").trouble is not None)
            refused = made.stream("c2")
            assert refused.trouble is not None
            assert refused.trouble.fault is Fault.CREDENTIALS
            assert "secret" not in str(refused)
            assert "wrong" not in str(refused)
            wait_us = (refused.next_try_utc_us or 0) - made.engine.snapshot().taken_utc_us
            assert US_PER_MINUTE // 2 - US_PER_S <= wait_us <= US_PER_MINUTE

    arguments = ["--count", "2", "--auth", scheme, "--password", "secret"]
    with street(clip_file(), *arguments) as city:
        asyncio.run(scene(city))


@pytest.mark.quirk(19)
def test_a_camera_that_hangs_up_after_asking_for_the_password(clip_file) -> None:  # type: ignore[no-untyped-def]
    async def scene(city: Street) -> None:
        city.fault("camera-*:hang-up")
        good = source(city, 1, user="admin", password="secret")
        async with keeping_room(good, source(city, 2, user="admin", password="wrong")) as made:
            await made.until(lambda: made.frames("c1") > 5)
            assert made.stream("c1").connects == 1
            await made.until(lambda: made.stream("c2").trouble is not None)
            # Tried rarely: hanging up must not hide that the password is wrong, and the account be locked.
            trouble = made.stream("c2").trouble
            assert trouble is not None
            assert trouble.fault is Fault.CREDENTIALS

    with street(clip_file(), "--count", "2", "--auth", "digest", "--password", "secret") as city:
        asyncio.run(scene(city))


def test_a_stale_nonce_costs_nothing(clip_file) -> None:  # type: ignore[no-untyped-def]  # a function
    async def scene(city: Street) -> None:
        signed = source(city, 1, user="admin", password="khupho")
        async with keeping_room(signed) as made:
            await made.until(lambda: made.frames("c1") > 5)
            city.fault("camera-0001:stale-nonce")
            # Keep-alives are due every second: two of them meet the new nonce.
            await asyncio.sleep(2.5)
            before = made.frames("c1")
            await made.until(lambda: made.frames("c1") > before)
            assert made.stream("c1").connects == 1

    with street(clip_file(), "--auth", "digest", "--session-timeout", "2") as city:
        asyncio.run(scene(city))


def test_a_camera_that_refuses_tcp_is_asked_for_udp_at_once(clip_file) -> None:  # type: ignore[no-untyped-def]
    async def scene(city: Street) -> None:
        async with keeping_room(source(city), source(city, 2, transport="tcp")) as made:
            await made.until(lambda: made.frames("c1") > 5)
            assert made.stream("c1").transport == "udp"
            assert made.stream("c1").connects == 1
            await made.until(lambda: made.stream("c2").trouble is not None)
            assert made.frames("c2") == 0

    with street(clip_file(), "--count", "2", "--no-tcp") as city:
        asyncio.run(scene(city))


@pytest.mark.usefixtures("impatient")
def test_a_camera_that_plays_and_sends_nothing_is_asked_for_the_other_transport(
    plain: Street,
) -> None:
    async def scene() -> None:
        plain.fault("camera-0001:stall=0")
        seen: list[str] = []

        async with keeping_room(source(plain)) as made:

            def both() -> bool:
                transport = made.stream("c1").transport
                if transport and (not seen or seen[-1] != transport):
                    seen.append(transport)
                return len(seen) == 3

            await made.until(both)
            assert seen == ["tcp", "udp", "tcp"]
            trouble = made.stream("c1").trouble
            assert trouble is not None
            assert (trouble.fault, trouble.what) == (Fault.CAMERA, "The camera sends no picture")
        plain.fault("camera-0001:clear")

    asyncio.run(scene())


@pytest.mark.usefixtures("impatient")
def test_a_stall_in_the_midst_ends_the_session_and_it_is_opened_again(plain: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(plain), source(plain, 2)) as made:
            await made.until(lambda: made.frames("c1") > 5)
            plain.fault("camera-0001:half-open=2.5")
            kept = made.kept["c1", "main"]
            await made.until(lambda: kept.closed)
            stopped_at = kept.breaks[0]
            await made.until(lambda: made.frames("c1") > stopped_at + 5)
            assert kept.closed[0] is CloseCause.CONNECTION
            assert made.stream("c2").connects == 1

    asyncio.run(scene())


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_lost_packets_are_counted_and_shown(plain: Street, transport: str) -> None:
    async def scene() -> None:
        async with keeping_room(source(plain, transport=transport)) as made:
            await made.until(lambda: made.frames("c1") > 5)
            plain.fault("camera-0001:drop-next=3")
            await made.until(lambda: made.stream("c1").lost_packets)
            before = made.frames("c1")
            await made.until(lambda: made.frames("c1") > before + 30)
            assert made.stream("c1").lost_packets == 3
            assert sum(s.lost_packets for s in made.kept["c1", "main"].samples) == 3
            assert made.stream("c1").connects == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    "fault",
    ["garbage=3000", "change", "jump=3600", "jump=-3600", "glitch=30", "no-parameter-sets=1"],
)
def test_an_odd_camera_disturbs_no_other_and_goes_on(plain: Street, fault: str) -> None:
    async def scene() -> None:
        async with keeping_room(source(plain, 1), source(plain, 2)) as made:
            await made.until(lambda: made.frames("c1") > 5 and made.frames("c2") > 5)
            plain.fault(f"camera-0001:{fault}")
            at = made.frames("c1")
            await made.until(lambda: made.frames("c1") > at + 40)
            assert made.stream("c2").connects == 1
            assert not any(s.lost_packets for s in made.kept["c2", "main"].samples)
            plain.fault("camera-0001:clear")

    asyncio.run(scene())


def test_nobody_there_is_the_networks_fault_and_told_with_advice() -> None:
    async def scene() -> None:
        nobody = SourceConfig("c1", "main", "rtsp://127.0.0.1:1/x")
        async with keeping_room(nobody) as made:
            await made.until(lambda: made.stream("c1").trouble is not None)
            gone = made.stream("c1")
            assert gone.phase is Phase.WAITING
            assert gone.trouble is not None
            assert gone.trouble.fault is Fault.NETWORK
            assert "nothing listens" in gone.trouble.what
            assert gone.trouble.advice

    asyncio.run(scene())


@asynccontextmanager
async def redirecting(target: str) -> AsyncIterator[str]:
    """A device that sends everybody on, to `target`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            cseq = next(line for line in lines if line.lower().startswith("cseq"))
            status = "200 OK" if lines[0].startswith("OPTIONS") else "302 Moved Temporarily"
            writer.write(f"RTSP/1.0 {status}\r\n{cseq}\r\nLocation: {target}\r\n\r\n".encode())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/old"


def test_a_redirect_within_the_device_is_followed(plain: Street) -> None:
    async def scene() -> None:
        async with (
            redirecting(plain.url(1)) as old,
            keeping_room(SourceConfig("c1", "main", old)) as made,
        ):
            await made.until(lambda: made.frames("c1") > 5)
            assert made.stream("c1").connects == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("target", "said"),
    [("rtsp://192.0.2.7/elsewhere", "another host"), ("/circle", "from address to address")],
)
def test_a_redirect_in_circles_or_to_another_host_is_not(target: str, said: str) -> None:
    async def scene() -> None:
        async with (
            redirecting(target) as address,
            keeping_room(SourceConfig("c1", "main", address)) as made,
        ):
            await made.until(lambda: made.stream("c1").trouble is not None)
            trouble = made.stream("c1").trouble
            assert trouble is not None
            assert said in trouble.what

    asyncio.run(scene())


def test_stopping_leaves_no_session_behind_at_the_camera(plain: Street) -> None:
    async def scene() -> None:
        async with keeping_room(source(plain), source(plain, 2, transport="udp")) as made:
            await made.until(lambda: made.frames("c1") > 75 and made.frames("c2") > 75)
            plain.fault("camera-*:stall=20")  # so that the answer to TEARDOWN comes alone
            sessions = [live for live in made.engine._live if isinstance(live, session.Session)]
            await made.engine.stop()
            plain.fault("camera-*:clear")
            # The answer to TEARDOWN was seen, not waited out.
            assert [live._client.state for live in sessions] == [State.CLOSED] * 2
            assert plain.ask("state")["playing"] == 0

    asyncio.run(scene())


def test_a_bug_met_by_one_camera_is_told_survived_and_met_by_no_other(
    plain: Street, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = session.Session._read_media

    def spoiled(self: session.Session) -> None:
        if self.config.camera == "c1" and not broken:
            broken.append(self)
            raise ZeroDivisionError("a bug")
        real(self)

    def taken(self: session.Session, feed: object) -> None:
        if self in broken:
            half_done.append(feed)
        real_taken(self, feed)

    half_done: list[object] = []

    real_taken = session.Session._taken
    monkeypatch.setattr(session.Session, "_taken", taken)
    broken: list[session.Session] = []

    async def scene() -> None:
        async with keeping_room(source(plain, 1), source(plain, 2)) as made:
            await made.until(lambda: made.stream("c1").trouble is not None)
            trouble = made.stream("c1").trouble
            assert trouble is not None
            assert trouble.fault is Fault.KHUPHO
            at = made.frames("c1")
            await made.until(lambda: made.frames("c1") > at + 5 and made.frames("c2") > 5)
            assert (made.stream("c1").connects, made.stream("c2").connects) == (2, 1)

    monkeypatch.setattr(session.Session, "_read_media", spoiled)
    asyncio.run(scene())
    assert broken
    assert half_done == [], "what a reader has half done is nothing to record"
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.quirk(20)
def test_a_camera_that_always_hangs_up_with_another_nonce_is_tried_rarely() -> None:
    async def scene() -> None:
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while b"DESCRIBE" not in (request := await reader.readuntil(b"\r\n\r\n")):
                number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
                writer.write(b"RTSP/1.0 200 OK\r\nCSeq: " + number + b"\r\n\r\n")
            asked.append(request)
            number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
            challenge = b'WWW-Authenticate: Digest realm="r", nonce="%d"' % len(asked)
            writer.write(b"RTSP/1.0 401 No\r\nCSeq: " + number + b"\r\n" + challenge + b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        camera = SourceConfig("c1", "main", f"rtsp://127.0.0.1:{port}/a", "admin", "secret", "tcp")
        async with keeping_room(camera) as made:
            await made.until(lambda: made.stream("c1").trouble is not None)
            trouble = made.stream("c1").trouble
            assert trouble is not None
            assert trouble.fault is Fault.CREDENTIALS
            assert len(asked) == 2
        server.close()

    asyncio.run(scene())

"""Recorded footage: playlists, segments by byte range, timelines, stills of a moment, clips."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from khupho.archive.archive_reader import ArchiveReader
from khupho.archive.place.segment_names import parse_segment_path, segment_path
from khupho.archive.segments.reader import SegmentError
from khupho.recorder.accounts.roles import Action
from khupho.recorder.http.door import Door
from khupho.recorder.http.moments import NotAMomentError, parse_moment
from khupho.recorder.http.problems import FAILURES, Problem, ProblemError
from khupho.recorder.http.sending import SentFile, answer
from khupho.recorder.viewing.clip_file import open_clip
from khupho.recorder.viewing.library import Library
from khupho.recorder.viewing.moments import MomentStills
from khupho.recorder.viewing.playlist import media_playlist, multivariant_playlist
from khupho.recorder.viewing.segment_index import SegmentIndexes
from khupho.recorder.viewing.timeline import Timeline, timeline
from khupho.units import US_PER_DAY, US_PER_MS

_Asked = Request[object, object, State]

MOST_PLAYLIST_US = US_PER_DAY
MOST_TIMELINE_US = 400 * US_PER_DAY
_PLAYLIST = "application/vnd.apple.mpegurl"
_NO_STORE = {"cache-control": "private, no-store"}
_ONE_VIEW_US = 60_000_000
"""Stills shown while a finger moves along the timeline are one entry of the access log a minute, and so is a
playlist that is asked for again and again."""
_MOST_VIEWS = 10_000


@dataclass(frozen=True, slots=True)
class Footage:
    """What the routes need."""

    door: Door
    library: Library
    stills: MomentStills
    utc_us: Callable[[], int]


def footage_routes(footage: Footage) -> list[BaseRouteHandler]:
    """Handlers for Litestar."""
    return [*_playback_routes(footage), *_still_routes(footage), *_clip_routes(footage)]


def _playback_routes(footage: Footage) -> list[BaseRouteHandler]:
    door, library = footage.door, footage.library
    indexes = SegmentIndexes()
    """Used in the library's thread alone."""
    views = _Views(footage)

    @get(
        "/api/v1/cameras/{camera:str}/playlist.m3u8",
        opt={"action": Action.PLAYBACK},
        media_type=_PLAYLIST,
        responses=FAILURES,
    )
    async def choice(request: _Asked, start: FromQuery[str], end: FromQuery[str]) -> Response[str]:
        """A multivariant playlist (RFC 8216 section 4.3.4) of a camera's main and sub streams."""
        camera = request.path_params["camera"]
        start_us, end_us = _span(start, end, MOST_PLAYLIST_US)
        text = await library.ask(
            lambda reader: multivariant_playlist(
                reader,
                camera,
                start_us,
                end_us,
                lambda stream: f"{stream}/playlist.m3u8?start={start_us}&end={end_us}",
                indexes=indexes,
            )
        )
        if text is None:
            raise _no_footage()
        return Response(text, media_type=_PLAYLIST, headers=_NO_STORE)

    @get(
        "/api/v1/cameras/{camera:str}/{stream:str}/playlist.m3u8",
        opt={"action": Action.PLAYBACK},
        media_type=_PLAYLIST,
        responses=FAILURES,
    )
    async def playlist(
        request: _Asked, start: FromQuery[str], end: FromQuery[str]
    ) -> Response[str]:
        """A media playlist (RFC 8216) of the footage between two moments, at most a day apart."""
        camera, stream = _named(request)
        start_us, end_us = _span(start, end, MOST_PLAYLIST_US)
        text = await library.ask(
            lambda reader: media_playlist(
                reader,
                camera,
                stream,
                start_us,
                end_us,
                _segment_url,
                indexes=indexes,
                now_utc_us=footage.utc_us(),
            )
        )
        if text is None:
            raise _no_footage()
        # A player asks again and again for a playlist that grows: that is one view.
        if views.is_new(request, "playback", start_us, end_us):
            await _note(footage, request, "playback", start_us, min(end_us, footage.utc_us()))
        return Response(text, media_type=_PLAYLIST, headers=_NO_STORE)

    @get(
        "/api/v1/cameras/{camera:str}/{stream:str}/segments/{name:str}",
        opt={"action": Action.PLAYBACK},
        media_type="video/mp4",
        responses=FAILURES,
    )
    async def segment(request: _Asked) -> Stream | Response[bytes]:
        """A segment file, or the part of it that `Range` asks for."""
        camera, stream = _named(request)
        path = _path_of(camera, stream, request.path_params["name"])
        opened = await library.ask(lambda reader: _open(reader, path))
        if opened is None:
            raise _no_footage()
        file, size_bytes = opened

        async def read(offset: int, size: int) -> bytes:
            return await library.read(lambda: os.pread(file, size, offset))

        sent = SentFile(size_bytes, read, lambda: os.close(file))
        return answer(request, sent, "video/mp4", door, {})

    @get(
        "/api/v1/cameras/{camera:str}/{stream:str}/timeline",
        opt={"action": Action.PLAYBACK},
        responses=FAILURES,
    )
    async def what_there_is(
        request: _Asked,
        start: FromQuery[str],
        end: FromQuery[str],
        buckets: Annotated[int, QueryParameter(ge=0, le=5_000)] = 0,
    ) -> Response[Timeline]:
        """What there is between two moments: spans, gaps with their causes, coverage in equal slices."""
        camera, stream = _named(request)
        start_us, end_us = _span(start, end, MOST_TIMELINE_US)
        found = await library.ask(
            lambda reader: timeline(reader, camera, stream, start_us, end_us, buckets)
        )
        return Response(found, headers=_NO_STORE)

    return [choice, playlist, segment, what_there_is]


def _still_routes(footage: Footage) -> list[BaseRouteHandler]:
    views = _Views(footage)

    @get(
        "/api/v1/cameras/{camera:str}/{stream:str}/still.jpg",
        opt={"action": Action.STILL},
        media_type="image/jpeg",
        responses=FAILURES,
    )
    async def still(
        request: _Asked,
        at: FromQuery[str],
        width: Annotated[int, QueryParameter(ge=0, le=7680)] = 320,
    ) -> Response[bytes]:
        """The key frame at or before a moment."""
        camera, stream = _named(request)
        at_us = _moment(at)
        if views.is_new(request, "still", 0, 0):
            await _note(footage, request, "still", at_us, at_us)
        found = await footage.stills.at(camera, stream, at_us, width)
        if found is None:
            raise _no_footage()
        headers = {**_NO_STORE, "x-taken-utc-us": str(found.taken_utc_us)}
        return Response(found.jpeg, media_type="image/jpeg", headers=headers)

    return [still]


def _clip_routes(footage: Footage) -> list[BaseRouteHandler]:
    door, library = footage.door, footage.library

    @get(
        "/api/v1/cameras/{camera:str}/{stream:str}/clip.mp4",
        opt={"action": Action.EXPORT},
        media_type="video/mp4",
        responses=FAILURES,
    )
    async def clip(
        request: _Asked, start: FromQuery[str], end: FromQuery[str]
    ) -> Stream | Response[bytes]:
        """A clip that plays everywhere, exact to the picture; may be gone on with by `Range`."""
        camera, stream = _named(request)
        start_us, end_us = _span(start, end, MOST_PLAYLIST_US)
        made = await library.ask(lambda reader: open_clip(reader, camera, stream, start_us, end_us))

        async def read(offset: int, size: int) -> bytes:
            return await library.read(lambda: made.read(offset, size))

        sent = SentFile(made.size_bytes, read, made.close)
        headers = {
            "etag": made.etag,
            "content-disposition": f"attachment; filename*=UTF-8''{quote(made.name)}",
        }
        await _note(footage, request, "export", start_us, end_us)
        return answer(request, sent, "video/mp4", door, headers)

    return [clip]


class _Views:
    """What was noted lately in the access log, and isn't to be noted again at each request."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._noted: dict[tuple[object, ...], int] = {}

    def is_new(self, request: _Asked, kind: str, start_us: int, end_us: int) -> bool:
        """Whether that session hasn't asked for it within a minute."""
        now_us = self._footage.utc_us()
        session = self._footage.door.known(request).session_id
        key = (session, kind, *_named(request), start_us, end_us)
        if now_us - self._noted.get(key, 0) < _ONE_VIEW_US:
            return False
        if len(self._noted) >= _MOST_VIEWS:
            self._noted.clear()
        self._noted[key] = now_us
        return True


# What was asked


def _named(request: _Asked) -> tuple[str, str]:
    return request.path_params["camera"], request.path_params["stream"]


def _moment(text: str) -> int:
    try:
        return parse_moment(text)
    except NotAMomentError as error:
        raise ProblemError(
            Problem(
                "bad-moment",
                "That is no moment",
                400,
                str(error),
                "Give microseconds since 1970 UTC, or 2026-11-25T08:00:00Z",
            )
        ) from None


def _span(start: str, end: str, most_us: int) -> tuple[int, int]:
    start_us, end_us = _moment(start), _moment(end)
    if not start_us < end_us:
        raise ProblemError(Problem("bad-span", "The end must be after the start", 400))
    if end_us - start_us > most_us:
        raise ProblemError(
            Problem(
                "bad-span",
                f"At most {most_us // US_PER_DAY} days can be asked for at once",
                400,
                advice="Ask for less",
            )
        )
    return start_us, end_us


def _path_of(camera: str, stream: str, name: str) -> str:
    stem = name.removesuffix(".mp4")
    if stem == name or not stem.isascii() or not stem.isdigit() or len(stem) > 14:
        raise _no_footage()
    return segment_path(camera, stream, int(stem) * US_PER_MS)


def _segment_url(path: str) -> str:
    """Beside the playlist, whose address ends in `/<stream>/playlist.m3u8`."""
    return f"segments/{_stem_of(path)}.mp4"


def _stem_of(path: str) -> int:
    name = parse_segment_path(path)
    if name is None:
        raise ValueError(path)
    return name.start_utc_ms


def _open(reader: ArchiveReader, path: str) -> tuple[int, int] | None:
    try:
        file = reader.open(path)
    except SegmentError:
        return None
    return file, os.fstat(file).st_size


def _no_footage() -> ProblemError:
    return ProblemError(
        Problem(
            "no-footage",
            "There is no footage of that time",
            404,
            advice="See on the timeline what there is",
        )
    )


async def _note(footage: Footage, request: _Asked, kind: str, start_us: int, end_us: int) -> None:
    """Into the access log, before a byte leaves."""
    door = footage.door
    camera, stream = _named(request)
    await door.accounts.log.begin(
        door.known(request), door.caller(request), kind, camera, stream, start_us, end_us, ""
    )

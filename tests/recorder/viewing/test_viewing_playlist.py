"""Playlists of real archives: read by another parser, and played over HTTP by ffmpeg."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import m3u8
import pytest
from viewing_footage import FILM_FRAMES, FRAME_US, GOP, T0_US, Films, RealArchive

from khupho.archive.events import CloseCause
from khupho.media.hls import HlsError
from khupho.recorder.viewing.playlist import (
    PlaylistError,
    media_playlist,
    multivariant_playlist,
)
from khupho.recorder.viewing.segment_index import SegmentIndexes
from khupho.units import US_PER_DAY, US_PER_S

HOUR_US = 3_600 * US_PER_S


def playlist_of(
    archive: RealArchive,
    start_utc_us: int = T0_US - HOUR_US,
    end_utc_us: int = T0_US + HOUR_US,
    **more: int,
) -> str | None:
    with archive.reader() as reader:
        return media_playlist(
            reader, "gate", "main", start_utc_us, end_utc_us, lambda path: path, **more
        )  # type: ignore[arg-type]  # moments only


def read(text: str | None) -> m3u8.M3U8:
    assert text is not None
    return m3u8.loads(text)


def seconds(us: int) -> float:
    return us / US_PER_S


def test_one_session(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    made = read(playlist_of(archive))
    assert made.playlist_type == "vod"
    assert made.is_endlist
    assert made.is_independent_segments
    assert made.target_duration == 3
    # Groups of pictures of 0.8 s: three make an entry.
    assert [segment.duration for segment in made.segments] == [2.4, 2.4, 1.2]
    first = made.segments[0]
    assert first.program_date_time is not None
    assert first.program_date_time.timestamp() == pytest.approx(seconds(T0_US), abs=0.05)
    ranges = [[int(n) for n in segment.byterange.split("@")] for segment in made.segments]
    for (size, offset), (_, following) in pairwise(ranges):
        assert offset + size == following


def test_it_begins_and_ends_with_the_groups_that_were_asked_for(
    archive: RealArchive, films: Films
) -> None:
    archive.record(films("h264"))
    start_us = T0_US + (GOP + 3) * FRAME_US
    made = read(playlist_of(archive, start_us, start_us + FRAME_US))
    assert [segment.duration for segment in made.segments] == [0.8]
    moment = made.segments[0].program_date_time
    assert moment is not None
    assert moment.timestamp() == pytest.approx(seconds(T0_US + GOP * FRAME_US), abs=0.05)


def test_each_file_begins_with_a_discontinuity(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    archive.pause(30)
    archive.record(films("h264-b", "320x240"))
    made = read(playlist_of(archive))
    seams = [segment for segment in made.segments if segment.discontinuity]
    assert len(seams) == 1
    assert len({segment.uri for segment in made.segments}) == 2
    gap_s = (seams[0].program_date_time - made.segments[0].program_date_time).total_seconds()
    assert gap_s == pytest.approx(36, abs=0.2)
    assert len(made.segment_map) == 2


def test_a_hole_inside_a_file_is_a_discontinuity(archive: RealArchive, films: Films) -> None:
    film, writer = films("h264"), archive.writer()
    archive.play(writer, film, 0, 2 * GOP - 5)
    archive.clock.advance(5 * FRAME_US)
    archive.play(writer, film, 2 * GOP, FILM_FRAMES, lost_packets=9)
    writer.close(CloseCause.AGE, archive.arrival())
    made = read(playlist_of(archive))
    assert len({segment.uri for segment in made.segments}) == 1
    (seam,) = (segment for segment in made.segments if segment.discontinuity)
    assert seam.program_date_time is not None
    assert seam.program_date_time.timestamp() == pytest.approx(
        seconds(T0_US + 2 * GOP * FRAME_US), abs=0.05
    )
    assert made.segments[0].duration == pytest.approx(seconds((2 * GOP - 5) * FRAME_US))


def test_what_an_event_has_said_stays(archive: RealArchive, films: Films) -> None:
    film, writer, indexes = films("h264"), archive.writer(), SegmentIndexes()
    before = ""
    with archive.reader() as reader:

        def ask() -> str | None:
            return media_playlist(
                reader, "gate", "main", T0_US, T0_US + HOUR_US, lambda path: path, indexes=indexes
            )

        for first in range(0, FILM_FRAMES, 10):
            archive.play(writer, film, first, first + 10)
            text = ask()
            if text is not None:
                assert "#EXT-X-PLAYLIST-TYPE:EVENT\n" in text
                assert "ENDLIST" not in text
                assert "#EXT-X-TARGETDURATION:10\n" in text
                assert text.startswith(before)
                before = text
        assert before
        writer.close(CloseCause.CONNECTION, archive.arrival())
        ended = ask()
    assert ended is not None
    assert ended.endswith("#EXT-X-ENDLIST\n")
    entries = before[before.index("#EXT-X-MAP") :]
    assert entries in ended


def test_with_the_time_it_goes_on_between_two_sessions(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    text = playlist_of(archive, now_utc_us=T0_US + 60 * US_PER_S)
    assert text is not None
    assert "ENDLIST" not in text
    text = playlist_of(archive, now_utc_us=T0_US + HOUR_US)
    assert text is not None
    assert "ENDLIST" in text


def test_an_open_segment_up_to_a_past_moment_is_complete(
    archive: RealArchive, films: Films
) -> None:
    archive.play(archive.writer(), films("h264"), 0, FILM_FRAMES)
    made = read(playlist_of(archive, T0_US, T0_US + 4 * US_PER_S))
    assert made.is_endlist
    assert sum(segment.duration for segment in made.segments) == pytest.approx(4, abs=0.81)


def test_no_footage(archive: RealArchive, films: Films) -> None:
    assert playlist_of(archive) is None
    archive.record(films("h264"))
    assert playlist_of(archive, T0_US + 20 * US_PER_S, T0_US + HOUR_US) is None
    assert playlist_of(archive, T0_US - HOUR_US, T0_US - US_PER_S) is None


def test_a_damaged_or_deleted_file_is_passed_over(archive: RealArchive, films: Films) -> None:
    for _ in range(3):
        archive.record(films("h264"))
        archive.pause(10)
    files = archive.segments()
    files[0].write_bytes(b"\0" * 5_000)
    files[1].unlink()
    made = read(playlist_of(archive))
    assert {segment.uri for segment in made.segments} == {str(files[2].relative_to(archive.root))}


@pytest.mark.parametrize("length_us", [0, -1, US_PER_DAY + 1, 1 << 70])
def test_bad_times_are_refused(archive: RealArchive, length_us: int) -> None:
    with pytest.raises(PlaylistError):
        playlist_of(archive, T0_US, T0_US + length_us)


def test_a_bad_address_is_refused(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    with archive.reader() as reader, pytest.raises(HlsError):
        media_playlist(reader, "gate", "main", T0_US, T0_US + HOUR_US, lambda path: path + '"\n')


def test_variants(archive: RealArchive, films: Films) -> None:
    for stream, film in (("main", films("h265", "320x240")), ("sub", films("h264"))):
        writer = archive.writer(stream=stream)
        archive.play(writer, film)
        writer.close(CloseCause.AGE, archive.arrival())
    with archive.reader() as reader:
        text = multivariant_playlist(
            reader, "gate", T0_US, T0_US + HOUR_US, lambda stream: f"{stream}/playlist.m3u8"
        )
        nothing = multivariant_playlist(
            reader, "other", T0_US, T0_US + HOUR_US, lambda stream: stream
        )
    assert nothing is None
    main, sub = read(text).playlists
    assert main.uri == "main/playlist.m3u8"
    assert main.stream_info.resolution == (320, 240)
    assert main.stream_info.codecs == films("h265", "320x240").format.rfc6381
    assert main.stream_info.bandwidth >= main.stream_info.average_bandwidth > 0
    assert sub.stream_info.resolution == (192, 144)


# Played


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of a server that gives files, whole or by byte range."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = (root / self.path.lstrip("/")).read_bytes()
            begin, stop, status = 0, len(data), 200
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
            if asked:
                begin, status = int(asked[1]), 206
                stop = min(int(asked[2]) + 1, len(data)) if asked[2] else len(data)
            self.send_response(status)
            self.send_header("content-length", str(stop - begin))
            self.send_header("accept-ranges", "bytes")
            if asked:
                self.send_header("content-range", f"bytes {begin}-{stop - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(data[begin:stop])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def packets_of(url: str) -> list[tuple[Fraction, bool]]:
    """Times of presentation in seconds, in decoding order, and which are key frames; as ffprobe demuxes."""
    command = [
        "ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
        "packet=pts,flags:stream=time_base", "-of", "json", url,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    base = Fraction(found["streams"][0]["time_base"])
    return [(packet["pts"] * base, "K" in packet["flags"]) for packet in found["packets"]]


def pictures_of(url: str) -> list[str]:
    """Hashes of the pictures that ffmpeg shows."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        url,
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [
        line.rsplit(",", 1)[1].strip()
        for line in done.stdout.splitlines()
        if not line.startswith("#")
    ]


def put(archive: RealArchive, text: str | None) -> None:
    assert text is not None
    (archive.root / "playlist.m3u8").write_text(text)


@pytest.mark.e2e
@pytest.mark.parametrize("codec", ["h264", "h264-b", "h265", "h265-b"])
def test_ffmpeg_plays_what_was_recorded(archive: RealArchive, films: Films, codec: str) -> None:
    film = films(codec)
    archive.record(film)
    put(archive, playlist_of(archive))
    with served(archive.root) as address:
        packets = packets_of(f"{address}/playlist.m3u8")
        pictures = pictures_of(f"{address}/playlist.m3u8")
    assert pictures == pictures_of(str(film.path))
    origin = packets[0][0]
    assert [(time - origin, is_key) for time, is_key in packets] == [
        (Fraction(frame.pts - film.frames[0].pts, 90_000), frame.is_key) for frame in film.frames
    ]


@pytest.mark.e2e
@pytest.mark.parametrize("codec", ["h264", "h265-b"])
def test_ffmpeg_plays_from_the_middle(archive: RealArchive, films: Films, codec: str) -> None:
    film = films(codec)
    archive.record(film)
    start_us = T0_US + 2 * GOP * FRAME_US + FRAME_US
    put(archive, playlist_of(archive, start_us, start_us + 3 * GOP * FRAME_US))
    with served(archive.root) as address:
        pictures = pictures_of(f"{address}/playlist.m3u8")
    assert pictures == pictures_of(str(film.path))[2 * GOP : 6 * GOP]


@pytest.mark.e2e
def test_ffmpeg_plays_over_a_hole_and_a_second_session(archive: RealArchive, films: Films) -> None:
    film, writer = films("h264"), archive.writer()
    archive.play(writer, film, 0, 2 * GOP - 5)
    archive.clock.advance(5 * FRAME_US)
    archive.play(writer, film, 2 * GOP, FILM_FRAMES, lost_packets=9)
    writer.close(CloseCause.AGE, archive.arrival())
    archive.pause(5)
    archive.record(film)
    put(archive, playlist_of(archive))
    with served(archive.root) as address:
        packets = packets_of(f"{address}/playlist.m3u8")
    assert len(packets) == 2 * FILM_FRAMES - 5
    assert sum(is_key for _, is_key in packets) == 2 * -(-FILM_FRAMES // GOP)
    assert packets[2 * GOP - 5][0] - packets[2 * GOP - 6][0] == Fraction(6 * FRAME_US, US_PER_S)


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="GStreamer isn't here")
def test_gstreamer_plays_what_was_recorded(archive: RealArchive, films: Films) -> None:
    archive.record(films("h264"))
    put(archive, playlist_of(archive))
    with served(archive.root) as address:
        command = [
            "gst-launch-1.0", "-q", "souphttpsrc", f"location={address}/playlist.m3u8", "!", "hlsdemux",
            "!", "qtdemux", "!", "identity", "silent=false", "!", "fakesink",
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=60)

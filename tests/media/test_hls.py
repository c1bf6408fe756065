"""Playlists as text: what RFC 8216 wants, and what is refused."""

from __future__ import annotations

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from khupho.media.hls import (
    HlsError,
    InitPart,
    MediaEntry,
    MediaPlaylist,
    PlaylistKind,
    Variant,
    render_media_playlist,
    render_multivariant_playlist,
)
from khupho.units import parse_utc

INIT = InitPart("segments/1.mp4", 800)


def entry(**changes: object) -> MediaEntry:
    fields: dict[str, object] = {
        "uri": INIT.uri, "offset": 932, "size_bytes": 4_000, "duration_us": 2_040_001, "init": INIT,
    }  # fmt: skip
    return MediaEntry(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_text_is_exactly_this() -> None:
    other = InitPart("segments/2.mp4", 810)
    text = render_media_playlist(
        MediaPlaylist(
            [
                entry(start_utc_us=parse_utc("2026-11-24T01:00:00.123999Z"), is_discontinuity=True),
                entry(offset=4_932, duration_us=9_500_000),
                entry(
                    uri=other.uri,
                    init=other,
                    is_discontinuity=True,
                    start_utc_us=parse_utc("2026-11-24T01:10:00Z"),
                ),
            ]
        )
    )
    assert text == (
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="segments/1.mp4",BYTERANGE="800@0"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T01:00:00.123Z\n"
        "#EXTINF:2.040001,\n#EXT-X-BYTERANGE:4000@932\nsegments/1.mp4\n"
        "#EXTINF:9.500000,\n#EXT-X-BYTERANGE:4000@4932\nsegments/1.mp4\n"
        "#EXT-X-DISCONTINUITY\n"
        '#EXT-X-MAP:URI="segments/2.mp4",BYTERANGE="810@0"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-24T01:10:00.000Z\n"
        "#EXTINF:2.040001,\n#EXT-X-BYTERANGE:4000@932\nsegments/2.mp4\n"
        "#EXT-X-ENDLIST\n"
    )


def test_one_that_grows_has_no_end() -> None:
    text = render_media_playlist(
        MediaPlaylist([entry()], PlaylistKind.EVENT, is_ended=False, target_duration_s=10)
    )
    assert "#EXT-X-PLAYLIST-TYPE:EVENT\n" in text
    assert "#EXT-X-TARGETDURATION:10\n" in text
    assert "ENDLIST" not in text


def test_one_without_type_has_a_media_sequence() -> None:
    text = render_media_playlist(
        MediaPlaylist([entry()], PlaylistKind.LIVE, is_ended=False, media_sequence=17)
    )
    assert "#EXT-X-MEDIA-SEQUENCE:17\n" in text
    assert "PLAYLIST-TYPE" not in text


@pytest.mark.parametrize(
    "uri", ["", "#x", "a\nb", "a\rb", 'a"b', "a b", "a\x00", "a\u2028b", "a\x85", "a\ud800"]
)
def test_an_address_that_breaks_the_text_is_refused(uri: str) -> None:
    with pytest.raises(HlsError):
        render_media_playlist(MediaPlaylist([entry(uri=uri)]))
    with pytest.raises(HlsError):
        render_media_playlist(MediaPlaylist([entry(init=InitPart(uri, 800))]))
    with pytest.raises(HlsError):
        render_multivariant_playlist([Variant(uri, 1, 1, ("avc1.640028",))])


@pytest.mark.parametrize(
    "changes",
    [
        {"size_bytes": 0}, {"offset": -1}, {"duration_us": -1}, {"init": InitPart("a", 0)},
        {"start_utc_us": 1 << 62},
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(HlsError):
        render_media_playlist(MediaPlaylist([entry(**changes)]))


def test_a_codec_with_a_quote_is_refused() -> None:
    with pytest.raises(HlsError):
        render_multivariant_playlist([Variant("main.m3u8", 1, 1, ('avc1"',))])
    with pytest.raises(HlsError):
        render_multivariant_playlist([Variant("main.m3u8", 1, 1, ("avc1\n",))])


def test_variants_read_back() -> None:
    text = render_multivariant_playlist(
        [
            Variant("main.m3u8", 4_000_000, 2_000_000, ("hvc1.1.6.L93.B0",), 1920, 1080),
            Variant("sub.m3u8", 500_000, 400_000, ("avc1.42C01E",), 640, 360),
        ]
    )
    main, sub = m3u8.loads(text).playlists
    assert main.stream_info.bandwidth == 4_000_000
    assert main.stream_info.average_bandwidth == 2_000_000
    assert main.stream_info.codecs == "hvc1.1.6.L93.B0"
    assert main.stream_info.resolution == (1920, 1080)
    assert sub.uri == "sub.m3u8"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**8), st.booleans()
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_another_parser_reads_is_what_was_meant(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    entries = [
        entry(offset=offset, size_bytes=size, duration_us=us, is_discontinuity=seam)
        for offset, size, us, seam in rows
    ]
    read = m3u8.loads(render_media_playlist(MediaPlaylist(entries)))
    assert read.is_endlist
    assert read.target_duration * 1_000_000 >= max(us for _, _, us, _ in rows)
    assert [segment.byterange for segment in read.segments] == [
        f"{size}@{offset}" for offset, size, _, _ in rows
    ]
    assert [round(segment.duration * 1_000_000) for segment in read.segments] == [
        us for _, _, us, _ in rows
    ]
    assert [segment.discontinuity for segment in read.segments] == [
        seam and index > 0 for index, (*_, seam) in enumerate(rows)
    ]

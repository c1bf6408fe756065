import pytest
from city_packets_read import access_units, interleaved, nal_units

from khupho.city.packets import PacketTrack


@pytest.mark.parametrize("name", ["h264", "h264-b", "h265"])
def test_packets_hold_the_clip_and_nothing_else(clip, name):
    video = clip(name)
    track = PacketTrack(video)
    assert len(video.units) == 48
    assert max(len(nal) for unit in video.units for nal in unit.nals) > 3 * 1388, "no fragments"
    for number, unit in enumerate(video.units):
        data = bytes(track.view[track.starts[number] : track.starts[number + 1]])
        packets, _rtcp, rest = interleaved(data)
        assert not rest
        sets = video.format.parameter_sets if unit.is_key else ()
        codec = video.format.codec.value
        assert nal_units([p.payload for p in packets], codec) == [*sets, *unit.nals]
        assert [p.marker for p in packets] == [False] * (len(packets) - 1) + [True]
        assert max(len(p.payload) for p in packets) <= 1388
        assert track.packets_before[number + 1] - track.packets_before[number] == len(packets)
        octets = sum(len(p.payload) for p in packets)
        assert track.octets_before[number + 1] - track.octets_before[number] == octets
        assert len(track.packet_spans(number)) == len(packets)


def test_clip_length_and_times_are_exact(clip):
    video = clip("h264")
    assert video.duration_90k == 48 * 3600
    assert [unit.dts_90k for unit in video.units] == [n * 3600 for n in range(48)]
    assert [n for n, unit in enumerate(video.units) if unit.is_key] == [0, 12, 24, 36]
    assert PacketTrack(video).key_interval_90k == 12 * 3600


def test_b_frames_keep_their_presentation_times(clip):
    video = clip("h264-b")
    pts = [unit.pts_90k for unit in video.units]
    assert pts != sorted(pts)
    assert sorted(pts) == [min(pts) + n * 3600 for n in range(48)]
    assert all(unit.pts_90k >= unit.dts_90k for unit in video.units)


def test_fragments_of_one_packet_too_many_bytes():
    from khupho.city.packets import MAX_PAYLOAD_BYTES, _payloads
    from khupho.media.formats import Codec

    for codec, size in [(Codec.H264, MAX_PAYLOAD_BYTES + 1), (Codec.H265, 2 * MAX_PAYLOAD_BYTES)]:
        nal = bytes((0x65, 1)) + bytes(range(256)) * 20
        nal = nal[:size]
        parts = [payload for payload, _last in _payloads(codec, nal)]
        assert max(map(len, parts)) <= MAX_PAYLOAD_BYTES
        assert nal_units(parts, codec.value) == [nal]


def test_groups_of_access_units_helper(clip):
    track = PacketTrack(clip("h264"))
    packets, _rtcp, _rest = interleaved(bytes(track.buffer))
    assert len(access_units(packets)) == 1, "the open fields are still zero"

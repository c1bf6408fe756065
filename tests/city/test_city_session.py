from itertools import pairwise

import pytest
from city_by_hand import HandDriven
from city_packets_read import access_units, interleaved, nal_units, rtp_packet

M16, M32 = 1 << 16, 1 << 32


def compare_to_truth(driven, packets):
    """Every packet on the wire is in the ground truth, and nothing else is."""
    wanted = []
    for unit in driven.truth.units():
        for n in range(unit.packets):
            sequence = unit.first_sequence + n
            if sequence not in unit.lost:
                wanted.append((sequence % M16, unit.rtp_timestamp))
    assert [(p.sequence, p.timestamp) for p in packets] == wanted


@pytest.mark.parametrize("name", ["h264", "h265"])
@pytest.mark.parametrize("burst_ms", [40, 200, 1000])
def test_numbers_and_times_run_on_through_loops(clip, name, burst_ms):
    video = clip(name)
    driven = HandDriven(video, burst_ms=burst_ms)
    driven.session.sequence = 65_500
    driven.session.rtp_base = M32 - 90_000
    driven.run(6.1)
    packets, reports, rest = interleaved(bytes(driven.tcp.data))
    assert not rest
    assert all((b.sequence - a.sequence) % M16 == 1 for a, b in pairwise(packets))
    assert {p.ssrc for p in packets} == {driven.session.ssrc}
    units = access_units(packets)
    whole = 6.1 * 25 if burst_ms == 40 else (6.1 - burst_ms / 1000) * 25
    assert whole <= len(units) <= 153
    assert all((b[0].timestamp - a[0].timestamp) % M32 == 3600 for a, b in pairwise(units))
    for number, unit in enumerate(units):
        source = video.units[number % 48]
        sets = video.format.parameter_sets if source.is_key else ()
        wanted = [*sets, *source.nals]
        assert nal_units([p.payload for p in unit], video.format.codec.value) == wanted
    compare_to_truth(driven, packets)
    truth = list(driven.truth.units())
    assert [unit.number for unit in truth] == list(range(len(units)))
    assert [unit.is_key for unit in truth] == [n % 48 % 12 == 0 for n in range(len(units))]
    assert len(driven.truth.runs) == 1
    assert len(reports) == 2


def test_b_frames_in_loops(clip):
    driven = HandDriven(clip("h264-b"))
    driven.run(5)
    stamps = sorted(unit.pts_90k for unit in driven.truth.units())
    steps = {b - a for a, b in pairwise(stamps)}
    assert 3600 in steps
    assert steps <= {3600, 7200, 10800}, "only the last pictures' order may leave a hole"
    compare_to_truth(driven, interleaved(bytes(driven.tcp.data))[0])


def test_pictures_leave_when_they_are_taken(clip):
    driven = HandDriven(clip("h264"))
    driven.run(4)
    times = [us for us, _size in driven.tcp.sends if _size != 0]
    frame_times = sorted(set(times))
    assert frame_times[:4] == [0, 40_000, 80_000, 120_000]
    assert len(frame_times) == 101


def test_bursts_gather_pictures(clip):
    driven = HandDriven(clip("h264"), burst_ms=200)
    driven.run(4)
    assert 20 <= len({us for us, _size in driven.tcp.sends}) <= 23
    assert driven.truth.unit_count >= 96


def test_clip_shorter_than_a_burst(clip):
    driven = HandDriven(clip("h264", seconds="0.2"), burst_ms=1000)
    driven.run(10)
    packets, _reports, _rest = interleaved(bytes(driven.tcp.data))
    compare_to_truth(driven, packets)
    assert len(access_units(packets)) >= 225


def test_channels_are_the_clients(clip):
    driven = HandDriven(clip("h264"), channels=(6, 7))
    other = HandDriven(clip("h264"))
    driven.run(1)
    assert {p.channel for p in interleaved(bytes(driven.tcp.data))[0]} == {6}
    other.run(1)
    assert {p.channel for p in interleaved(bytes(other.tcp.data))[0]} == {0}


def test_sessions_share_a_track_without_mixing(clip):
    driven = HandDriven(clip("h264"))
    from khupho.city.session import Session

    second = Session(
        driven.camera, driven.session.stream, driven.clock, driven.session.pacing,
        driven.tcp, None, (2, 3),
    )  # fmt: skip
    driven.run(1.0)
    due = second.begin(driven.clock.mono_us())
    assert second.clip_unit == 36, "the camera's next key frame"
    assert due == 36 * 40_000
    while driven.clock.mono_us() < 3_000_000:
        driven.run(0.04)
        if driven.clock.mono_us() >= due:
            due = second.send_due(driven.clock.mono_us())
    packets, _reports, _rest = interleaved(bytes(driven.tcp.data))
    mine = [p for p in packets if p.channel == 2]
    assert {p.ssrc for p in mine} == {second.ssrc}
    assert {p.ssrc for p in packets if p.channel == 0} == {driven.session.ssrc}
    compare_to_truth(driven, [p for p in packets if p.channel == 0])


def test_slow_reader_loses_whole_pictures_and_numbers_show_it(clip):
    driven = HandDriven(clip("h264"))
    driven.run(1)
    driven.tcp.is_full = True
    driven.run(2)
    assert len(driven.tcp.waiting) < 200_000, "only the batch that found no room is kept"
    driven.tcp.is_full = False
    driven.run(1)
    packets, _reports, _rest = interleaved(bytes(driven.tcp.data))
    compare_to_truth(driven, packets)
    gaps = [(b.sequence - a.sequence) % M16 - 1 for a, b in pairwise(packets)]
    assert sum(1 for gap in gaps if gap) == 1
    (skipped,) = driven.truth.skipped
    assert skipped.cause == "slow reader"
    assert 48 <= skipped.pictures <= 51
    assert driven.truth.unit_count + skipped.pictures == 101


def test_waiting_for_a_slow_reader_loses_nothing(clip):
    driven = HandDriven(clip("h264"), drops=False)
    driven.run(1)
    driven.tcp.is_full = True
    driven.run(5)
    assert len(driven.tcp.waiting) < 200_000
    driven.tcp.is_full = False
    driven.run(1)
    packets, _reports, _rest = interleaved(bytes(driven.tcp.data))
    compare_to_truth(driven, packets)
    assert driven.truth.unit_count == 176
    assert not driven.truth.skipped


def test_sender_reports(clip):
    driven = HandDriven(clip("h264"))
    start_ntp_s = driven.clock.utc_us() // 1_000_000 + 2_208_988_800
    driven.run(11)
    packets, reports, _rest = interleaved(bytes(driven.tcp.data))
    assert len(reports) == 3
    report = reports[1]
    assert report[:4] == bytes((0x80, 200, 0, 6))
    assert int.from_bytes(report[4:8], "big") == driven.session.ssrc
    assert int.from_bytes(report[8:12], "big") == start_ntp_s + 5
    stamp = int.from_bytes(report[16:20], "big")
    assert (stamp - packets[0].timestamp) % M32 == 5 * 90_000
    sent = int.from_bytes(report[20:24], "big")
    first_units = access_units(packets)[:126]
    assert sent == sum(map(len, first_units))
    octets = sum(len(p.payload) for unit in first_units for p in unit)
    assert int.from_bytes(report[24:28], "big") == octets
    assert report[28:32] == bytes((0x81, 202, 0, (len(report) - 28) // 4 - 1))
    assert b"camera-0001@" in report


def test_datagrams(clip):
    driven = HandDriven(clip("h264"), udp=True)
    driven.run(4)
    packets = [rtp_packet(packet) for packet in driven.udp.packets]
    compare_to_truth(driven, packets)
    assert len(access_units(packets)) == 101

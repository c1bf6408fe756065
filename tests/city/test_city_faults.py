from itertools import pairwise

import pytest
from city_by_hand import HandDriven
from city_packets_read import access_units, interleaved, nal_units, rtp_packet
from hypothesis import given, settings
from hypothesis import strategies as st
from test_city_session import M16, M32, compare_to_truth

from khupho.city.faults import MEANINGS, FaultKind, FaultSpec, FaultSpecError, parse_fault


def test_how_faults_are_written():
    assert parse_fault("camera-0003:drop=0.01") == FaultSpec("camera-0003", FaultKind.DROP, 0.01)
    assert parse_fault("camera-*:reboot=20@60") == FaultSpec("camera-*", FaultKind.REBOOT, 20, 60)
    assert parse_fault("camera-0001:jump=-7").value == -7
    assert set(MEANINGS) == set(FaultKind)


@pytest.mark.parametrize(
    "text",
    ["", "drop", "camera:what", "camera:drop=2", "camera:drop=x", "camera:stall=-1",
     "camera:clear=1", "camera:drop=0.1.2", "camera:garbage=99999999", "camera:drift=900000",
     "camera:drop=0.1@", "camera:drop=0.1@1.1.1", "a:b:drop=1"],
)  # fmt: skip
def test_badly_written_faults_are_refused(text):
    with pytest.raises(FaultSpecError):
        parse_fault(text)


@settings(max_examples=100)
@given(st.text(max_size=60) | st.from_regex(r"c:[a-z-]{1,9}=[-+.0-9]{0,9}@?[0-9.]{0,4}"))
def test_any_text_is_a_fault_or_refused(text):
    try:
        parse_fault(text)
    except FaultSpecError as error:
        assert error.what


@pytest.mark.parametrize("udp", [False, True])
def test_drop_keeps_back_exactly_what_the_truth_says(clip, udp):
    driven = HandDriven(clip("h264"), udp=udp)
    driven.fault("drop=0.05")
    driven.run(10)
    packets = _packets(driven)
    compare_to_truth(driven, packets)
    missing = set()
    for a, b in pairwise(packets):
        gap = (b.sequence - a.sequence) % M16
        missing |= {(a.sequence + n) % M16 for n in range(1, gap)}
    lost = {sequence % M16 for unit in driven.truth.lost.values() for sequence in unit}
    assert len(lost) > 20
    edges = {(packets[0].sequence - 1) % M16, (packets[-1].sequence + 1) % M16}
    assert missing <= lost
    assert len(lost - missing) <= 3, f"beyond the first and last packet {edges}"


def test_drop_next_and_clear(clip):
    driven = HandDriven(clip("h264"))
    driven.run(1)
    driven.fault("drop-next=48")
    driven.run(3)
    assert sum(map(len, driven.truth.lost.values())) == 48
    assert not driven.camera.faults.spoils_sending
    compare_to_truth(driven, _packets(driven))
    driven.fault("drop=1")
    count = len(_packets(driven))
    driven.run(1)
    assert len(_packets(driven)) == count
    driven.fault("clear")
    driven.run(1)
    assert len(_packets(driven)) > count


def test_duplicates(clip):
    driven = HandDriven(clip("h264"))
    driven.fault("duplicate=0.2")
    driven.run(4)
    packets = _packets(driven)
    twice = [a.sequence for a, b in pairwise(packets) if a == b]
    assert len(twice) > 10
    assert twice == [sequence % M16 for sequence in driven.truth.duplicated]


def test_reorder_swaps_neighbours(clip):
    driven = HandDriven(clip("h264"), udp=True)
    driven.fault("reorder=0.2")
    driven.run(4)
    packets = _packets(driven)
    swapped = [
        b.sequence for a, b in pairwise(packets) if (b.sequence - a.sequence) % M16 == M16 - 1
    ]
    assert len(swapped) > 10
    assert swapped == [sequence % M16 for sequence in driven.truth.reordered]
    ordered = sorted(driven.truth.units(), key=lambda unit: unit.number)
    assert sum(unit.packets for unit in ordered) == len(packets)


def test_stall_makes_no_picture_and_no_gap_in_the_numbers(clip):
    driven = HandDriven(clip("h264"))
    driven.run(1)
    driven.fault("stall=3")
    sent = len(driven.tcp.data)
    driven.run(2.9)
    assert len(driven.tcp.data) == sent
    driven.run(1.1)
    packets = _packets(driven)
    compare_to_truth(driven, packets)
    assert all((b.sequence - a.sequence) % M16 == 1 for a, b in pairwise(packets))
    (skipped,) = driven.truth.skipped
    assert (skipped.cause, skipped.first_number) == ("stall", 26)
    jumps = [(b[0].timestamp - a[0].timestamp) % M32 for a, b in pairwise(access_units(packets))]
    assert sorted(jumps)[-2:] == [3600, (skipped.pictures + 1) * 3600]
    assert 74 <= skipped.pictures <= 77


def test_jump_and_glitch(clip):
    driven = HandDriven(clip("h264"))
    driven.run(1)
    driven.fault("jump=-3600")
    driven.run(1)
    driven.fault("glitch=7200")
    driven.run(1)
    packets = _packets(driven)
    compare_to_truth(driven, packets)
    steps = [
        (b[0].timestamp - a[0].timestamp + M32 // 2) % M32 - M32 // 2
        for a, b in pairwise(access_units(packets))
    ]
    odd = [step for step in steps if step != 3600]
    assert odd == [3600 - 3600 * 90_000, 3600 + 7200 * 90_000, 3600 - 7200 * 90_000]
    assert all((b.sequence - a.sequence) % M16 == 1 for a, b in pairwise(packets))


def test_garbage_stands_between_frames_once(clip):
    driven = HandDriven(clip("h264"))
    driven.run(1)
    clean = len(driven.tcp.data)
    driven.fault("garbage=77")
    driven.run(1)
    data = bytes(driven.tcp.data)
    assert driven.truth.garbage_bytes == 77
    packets, _reports, rest = interleaved(data[:clean] + data[clean + 77 :])
    assert not rest
    compare_to_truth(driven, packets)


@pytest.mark.parametrize(("name", "sets"), [("h264", 2), ("h265", 3)])
def test_no_parameter_sets_in_band_for_a_time(clip, name, sets):
    video = clip(name)
    driven = HandDriven(video)
    driven.run(0.2)
    driven.fault("no-parameter-sets=1")
    driven.run(2.8)
    packets = _packets(driven)
    compare_to_truth(driven, packets)
    found = []
    for unit, group in zip(driven.truth.units(), access_units(packets), strict=True):
        if unit.is_key:
            nals = nal_units([p.payload for p in group], name)
            found.append(sum(nal in video.format.parameter_sets for nal in nals))
    assert found == [sets, 0, 0, sets, sets, sets, sets]
    assert all((b.sequence - a.sequence) % M16 == 1 for a, b in pairwise(packets))


def test_change_of_format_goes_on_in_time_and_number(clip):
    small = clip("h264", "160x128")
    driven = HandDriven(clip("h264"), small)
    driven.run(1)
    driven.fault("change")
    driven.run(1)
    packets = _packets(driven)
    compare_to_truth(driven, packets)
    units = access_units(packets)
    first_new = nal_units([p.payload for p in units[26]], "h264")
    assert tuple(first_new[:2]) == small.format.parameter_sets
    truth = list(driven.truth.units())
    assert [unit.number for unit in truth] == list(range(len(truth)))
    assert all((b.sequence - a.sequence) % M16 == 1 for a, b in pairwise(packets))
    steps = [(b[0].timestamp - a[0].timestamp) % M32 for a, b in pairwise(units)]
    assert all(0 < step <= 3600 for step in steps)
    driven.fault("change")
    driven.run(1)
    compare_to_truth(driven, _packets(driven))


def test_change_needs_another_video(clip):
    driven = HandDriven(clip("h264"))
    with pytest.raises(FaultSpecError, match="no other video"):
        driven.fault("change")


def test_drift(clip):
    driven = HandDriven(clip("h264"))
    driven.run(10)
    assert driven.truth.unit_count == 251
    driven.fault("drift=10000")
    driven.run(100)
    assert driven.truth.unit_count == 251 + 2525
    compare_to_truth(driven, _packets(driven))
    driven.fault("clear")
    driven.run(10)
    assert driven.truth.unit_count == 251 + 2525 + 250


def test_reboot_begins_anew_at_zero(clip):
    driven = HandDriven(clip("h264"))
    driven.run(2)
    driven.fault("reboot=5")
    now_us = driven.clock.mono_us()
    assert driven.camera.is_rebooting(now_us + 4_999_999)
    assert not driven.camera.is_rebooting(now_us + 5_000_000)
    from khupho.city.session import Session

    session = Session(
        driven.camera, driven.session.stream, driven.clock, driven.session.pacing,
        driven.tcp, None, (0, 1),
    )  # fmt: skip
    assert session.begin(now_us + 5_000_000) == now_us + 5_000_000
    assert session.next_rtp_timestamp == 0
    assert session.number == 0


def _packets(driven):
    if driven.udp is not None:
        return [rtp_packet(packet) for packet in driven.udp.packets]
    packets, _reports, rest = interleaved(bytes(driven.tcp.data))
    assert not rest
    return packets

"""Sending with faults: packet by packet, noting every one that was kept back."""

from __future__ import annotations

from khupho.city.faults import Faults
from khupho.city.packets import INTERLEAVED_BYTES, OPEN_FIELDS, PATCH_OFFSET, RTP_HEADER_BYTES
from khupho.city.session import RETRY_US, Session

LOOK_AGAIN_US = 50_000
_MASK_32 = 0xFFFFFFFF


def send_due_spoiled(session: Session, now_us: int) -> int:
    """As `Session.send_due`, with the camera's faults. Returns when to be called again."""
    faults = session.camera.faults
    session.follow_camera()
    if now_us < max(faults.stalled_until_us, faults.half_open_until_us):
        for begin, end in session.take_due(now_us):
            session.skip(begin, end, "stall", numbers_show_it=False)
            session.move_on(end)
        return max(session.due_us(), now_us + LOOK_AGAIN_US)
    waits = bool(session.tcp.waiting_bytes) and not session.tcp.flush()
    if waits and not session.pacing.drops_for_slow_readers:
        return now_us + RETRY_US
    for begin, end in session.take_due(now_us):
        if waits:
            session.skip(begin, end, "slow reader", numbers_show_it=True)
            session.move_on(end)
            continue
        for unit in range(begin, end):
            _send_unit(session, unit, faults, now_us)
            session.move_on(unit + 1)
        waits = bool(session.tcp.waiting_bytes)
    faults.refresh(now_us)
    return session.after_sending(now_us)


def _send_unit(session: Session, unit: int, faults: Faults, now_us: int) -> None:
    glitch_90k, faults.glitch_90k = faults.glitch_90k, 0
    if glitch_90k:
        session.rtp_base += glitch_90k
        session.break_run()
    with_parameter_sets = now_us >= faults.no_parameter_sets_until_us
    run = session.run(with_parameter_sets)
    run.count += 1
    packets = _spoil(session, _number(session, unit, with_parameter_sets), faults)
    if session.udp is not None:
        for packet in packets:
            session.udp.send_packet(packet)
    else:
        session.tcp.send(b"".join(packets))
    if glitch_90k:
        session.rtp_base -= glitch_90k
        session.break_run()


def _number(session: Session, unit: int, with_parameter_sets: bool) -> list[tuple[int, bytes]]:
    """A unit's packets with this session's numbers: unwrapped sequence number, interleaved frame."""
    track = session.track
    spans = track.packet_spans(unit)
    if not with_parameter_sets:
        spans = spans[track.parameter_set_packets[unit] :]
    pts_90k = session.round_start_90k + track.pts_90k[unit]
    timestamp = (session.rtp_base + pts_90k) & _MASK_32
    numbered: list[tuple[int, bytes]] = []
    for begin, end in spans:
        packet = bytearray(track.view[begin:end])
        packet[1] = session.channels[0]
        OPEN_FIELDS.pack_into(
            packet, PATCH_OFFSET, session.sequence & 0xFFFF, timestamp, session.ssrc
        )
        numbered.append((session.sequence, bytes(packet)))
        session.sequence += 1
    return numbered


def _spoil(session: Session, numbered: list[tuple[int, bytes]], faults: Faults) -> list[bytes]:
    """What is really sent of one unit, in order."""
    rng, truth, is_udp = faults.rng, session.truth, session.udp is not None
    kept: list[tuple[int, bytes]] = []
    for sequence, packet in numbered:
        if faults.drop_next or (faults.drop and rng.random() < faults.drop):
            faults.drop_next = max(faults.drop_next - 1, 0)
            truth.note_lost(session.number, sequence)
            continue
        kept.append((sequence, packet))
        header_bytes = INTERLEAVED_BYTES + RTP_HEADER_BYTES
        session.count_sent(1, len(packet) - header_bytes)
        if faults.duplicate and rng.random() < faults.duplicate:
            truth.duplicated.append(sequence)
            kept.append((sequence, packet))
    if is_udp and faults.reorder:
        n = 0
        while n + 1 < len(kept):
            if kept[n][0] != kept[n + 1][0] and rng.random() < faults.reorder:
                truth.reordered.append(kept[n][0])
                kept[n], kept[n + 1] = kept[n + 1], kept[n]
                n += 1
            n += 1
    chunks = [packet for _sequence, packet in kept]
    if faults.garbage_bytes and not is_udp:
        truth.garbage_bytes += faults.garbage_bytes
        chunks.insert(0, rng.randbytes(faults.garbage_bytes))
        faults.garbage_bytes = 0
    return chunks

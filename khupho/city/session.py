"""One playing session: which pictures are due, and their packets with this session's numbers."""

from __future__ import annotations

import secrets
from bisect import bisect_right
from dataclasses import dataclass

from khupho.city.camera import Camera, Position, Stream
from khupho.city.outlets import TcpOutlet, UdpOutlet
from khupho.city.packets import OPEN_FIELDS
from khupho.city.reports import REPORT_INTERVAL_US, sender_report
from khupho.city.truth import Run, SessionTruth
from khupho.clock import Clock
from khupho.units import US_PER_S, utc_us_to_ntp

RETRY_US = 10_000
MAX_BATCH_BYTES = 1 << 20
_MASK_32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Pacing:
    """How sessions send."""

    burst_us: int
    """Pictures of so long leave at once; at or below the frame interval each leaves alone."""
    drops_for_slow_readers: bool
    """False: wait for the reader and go on where it stopped, ever later."""
    session_timeout_us: int


class Session:
    """Sends one stream to one client. Made by SETUP, begun by PLAY.

    `tcp` is the connection; `channels` are interleaved channels and count where `udp` is None.
    """

    def __init__(
        self,
        camera: Camera,
        stream: Stream,
        clock: Clock,
        pacing: Pacing,
        tcp: TcpOutlet,
        udp: UdpOutlet | None,
        channels: tuple[int, int],
    ) -> None:
        self.id = secrets.token_hex(8)
        self.camera = camera
        self.stream = stream
        self.pacing = pacing
        self.tcp = tcp
        self.udp = udp
        self.channels = channels
        self.is_playing = False
        self.is_scheduled = False
        """Whether the city's heap of times holds it."""
        self.heard_us = clock.mono_us()
        """When the client last gave a sign of life."""
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(16)
        """The next packet's, unwrapped."""
        self.rtp_base = 0 if camera.timestamps_from_zero else secrets.randbits(32)
        self.track = stream.track
        self.number = self.clip_unit = self.round_start_90k = 0
        self.truth = SessionTruth(self.id, camera.name, stream.name, self.ssrc, clock.utc_us())
        self.worst_lateness_us = 0
        """By how much the latest picture left too late, since the last look."""
        self._clock = clock
        self._run: Run | None = None
        self._jumped_90k = camera.rtp_jump_90k
        self._planned_us = 0
        self._report_due_us = 0
        self._packets_sent = 0
        self._octets_sent = 0

    def begin(self, now_us: int) -> int:
        """Take the next key frame as the first picture. Returns when it is due (monotonic, µs)."""
        self.track = self.stream.track
        self._place(self.stream.next_key(self.camera.clock.now_90k(now_us)))
        self.is_playing = True
        self._report_due_us = 0
        self._planned_us = self.due_us()
        return self._planned_us

    def _place(self, position: Position) -> None:
        self.number = position.number
        self.clip_unit = position.clip_unit
        self.round_start_90k = position.round_start_90k
        self._run = None

    def due_us(self) -> int:
        """When the next picture is due, on the machine's monotonic clock."""
        due_90k = self.round_start_90k + self.track.dts_90k[self.clip_unit]
        return self.camera.clock.mono_us(due_90k)

    @property
    def next_rtp_timestamp(self) -> int:
        """Of the next picture, as on the wire."""
        pts_90k = self.round_start_90k + self.track.pts_90k[self.clip_unit]
        return (self.rtp_base + pts_90k) & _MASK_32

    def send_due(self, now_us: int) -> int:
        """Send every picture that is due. Returns when to be called again (monotonic, µs)."""
        self.follow_camera()
        waits = bool(self.tcp.waiting_bytes) and not self.tcp.flush()
        if waits and not self.pacing.drops_for_slow_readers:
            return now_us + RETRY_US
        for begin, end in self.take_due(now_us):
            if waits:
                self.skip(begin, end, "slow reader", numbers_show_it=True)
            elif self.udp is not None:
                self._send_datagrams(begin, end)
            else:
                self._send_interleaved(begin, end)
                waits = bool(self.tcp.waiting_bytes)
            self.move_on(end)
            if waits and not self.pacing.drops_for_slow_readers:
                return now_us + RETRY_US
        return self.after_sending(now_us)

    def follow_camera(self) -> None:
        """Take on what changed for all sessions: the clip, a jump of the timestamps."""
        if self.stream.track is not self.track:
            position = self.stream.begin()
            if position.number > self.number:
                late = position.number - self.number
                self.truth.note_skipped(self.number, late, "change")
            self.track = self.stream.track
            self._place(position)
        if self.camera.rtp_jump_90k != self._jumped_90k:
            self.rtp_base += self.camera.rtp_jump_90k - self._jumped_90k
            self._jumped_90k = self.camera.rtp_jump_90k
            self._run = None

    def take_due(self, now_us: int) -> list[tuple[int, int]]:
        """Ranges of units of the clip that are due, to be handled in order with `move_on`."""
        track, begin = self.track, self.clip_unit
        rest_90k = self.camera.clock.now_90k(now_us) - self.round_start_90k
        late_90k = rest_90k - track.dts_90k[begin]
        if late_90k * 100 // 9 > self.worst_lateness_us:
            self.worst_lateness_us = late_90k * 100 // 9
        end = bisect_right(track.dts_90k, rest_90k, begin)
        if end < len(track) and track.starts[end] - track.starts[begin] <= MAX_BATCH_BYTES:
            return [(begin, end)] if end > begin else []
        ranges: list[tuple[int, int]] = []
        while begin < end:
            fits = bisect_right(track.starts, track.starts[begin] + MAX_BATCH_BYTES) - 1
            part_end = min(max(fits, begin + 1), end)
            ranges.append((begin, part_end))
            begin = part_end
            if begin == len(track):
                rest_90k -= track.duration_90k
                begin, end = 0, bisect_right(track.dts_90k, rest_90k)
        return ranges

    def move_on(self, end: int) -> None:
        """The next picture is unit `end` of the clip, or the first of the next round."""
        self.number += end - self.clip_unit
        self.clip_unit = end
        if end == len(self.track):
            self.clip_unit = 0
            self.round_start_90k += self.track.duration_90k

    def run(self, with_parameter_sets: bool = True) -> Run:
        """The run that the next units belong to; a new one if something broke the last."""
        run = self._run
        if run is None or run.with_parameter_sets != with_parameter_sets:
            run = self._run = Run(
                self.track, self.number, self.clip_unit, self.round_start_90k,
                self.rtp_base, self.sequence, with_parameter_sets,
            )  # fmt: skip
            self.truth.runs.append(run)
        return run

    def break_run(self) -> None:
        """The next unit does not follow the last one's numbers or times."""
        self._run = None

    def skip(self, begin: int, end: int, cause: str, *, numbers_show_it: bool) -> None:
        """Do not send these units; sequence numbers go on as if they had been, or do not."""
        self.truth.note_skipped(self.number, end - begin, cause)
        if numbers_show_it:
            track = self.track
            self.sequence += track.packets_before[end] - track.packets_before[begin]
        self._run = None

    def _patch(self, begin: int, end: int) -> None:
        """Write this session's numbers into the shared buffer."""
        track = self.track
        pack, buffer, ssrc = OPEN_FIELDS.pack_into, track.buffer, self.ssrc
        pts_90k, patch_offsets = track.pts_90k, track.patch_offsets
        base, sequence = self.rtp_base + self.round_start_90k, self.sequence
        for unit in range(begin, end):
            timestamp = (base + pts_90k[unit]) & _MASK_32
            for offset in patch_offsets[unit]:
                pack(buffer, offset, sequence & 0xFFFF, timestamp, ssrc)
                sequence += 1
        run = self._run or self.run()
        run.count += end - begin
        self.sequence = sequence
        self._packets_sent += track.packets_before[end] - track.packets_before[begin]
        self._octets_sent += track.octets_before[end] - track.octets_before[begin]

    def _send_interleaved(self, begin: int, end: int) -> None:
        track, channel = self.track, self.channels[0]
        self._patch(begin, end)
        if channel:
            self._set_channel(begin, end, channel)
        self.tcp.send(track.view[track.starts[begin] : track.starts[end]])
        if channel:
            self._set_channel(begin, end, 0)

    def _set_channel(self, begin: int, end: int, channel: int) -> None:
        for unit in range(begin, end):
            for packet, _end in self.track.packet_spans(unit):
                self.track.buffer[packet + 1] = channel

    def _send_datagrams(self, begin: int, end: int) -> None:
        assert self.udp is not None
        self._patch(begin, end)
        view = self.track.view
        for unit in range(begin, end):
            for packet, packet_end in self.track.packet_spans(unit):
                self.udp.send_packet(view[packet:packet_end])

    def count_sent(self, packets: int, octets: int) -> None:
        """For the sender report: packets that left another way than through `send_due`."""
        self._packets_sent += packets
        self._octets_sent += octets

    def after_sending(self, now_us: int) -> int:
        """Report if it is time. Returns when to be called again."""
        if now_us >= self._report_due_us and self._packets_sent:
            self._report_due_us = now_us + REPORT_INTERVAL_US
            self._report(now_us)
        burst_us = self.pacing.burst_us
        self._planned_us = max(self.due_us(), self._planned_us + burst_us, now_us - burst_us)
        return self._planned_us

    def _report(self, now_us: int) -> None:
        timestamp = (self.rtp_base + self.camera.clock.now_90k(now_us)) & _MASK_32
        packet = sender_report(
            self.ssrc, utc_us_to_ntp(self._clock.utc_us()), timestamp,
            self._packets_sent, self._octets_sent, f"{self.camera.name}@khupho.city",
        )  # fmt: skip
        if self.udp is not None:
            if self.udp.drain():
                self.heard_us = now_us
            self.udp.send_report(packet)
        elif not self.tcp.waiting_bytes:
            self.tcp.send(
                b"$" + bytes((self.channels[1],)) + len(packet).to_bytes(2, "big") + packet
            )

    def has_timed_out(self, now_us: int) -> bool:
        """Whether the client gave no sign of life for longer than it was told."""
        return now_us - self.heard_us > self.pacing.session_timeout_us + US_PER_S

    def end(self) -> None:
        """Send no more; give UDP ports back."""
        self.is_playing = False
        self.truth.unsent_bytes = self.tcp.waiting_bytes
        if self.udp is not None:
            self.truth.refused_datagrams = self.udp.refused_datagrams
            self.udp.close()

"""The usual packets of a video track, taken by the run instead of one by one.

Nothing is decided here: a run is taken only while every packet of it is what the slow path
(`track.TrackReader.packet`) would take without a second look. That is a slice that comes whole or in
fragments, the next sequence number, the known source and type, a timestamp that is the picture's or a
little later. The first packet that is anything else is left to the slow path; a test feeds both the same.

What makes it fast: fragments of one NAL unit are of one size but for the last, so a picture is unpacked by
one `Struct`, compared by columns, and packed by another, towards the front of the same buffer. So nothing
is allocated for long, and a batch is mostly one piece of memory that is hot already.
"""

from __future__ import annotations

from struct import Struct

from khupho.media.formats import Codec
from khupho.media.samples import Sample
from khupho.units import MEDIA_CLOCK_HZ
from khupho.wire.rtp.access_units import IN_PLACE, NO_FRAGMENT, AccessUnits
from khupho.wire.rtp.fast_layouts import LAYOUTS, LONGEST_RUN, make_layout
from khupho.wire.rtp.nal_kinds import (
    DELIMITER,
    KEY_PICTURE,
    NAL_KINDS,
    PARAMETER_SET,
    PICTURE,
)
from khupho.wire.rtp.timeline import MAX_STEP_S
from khupho.wire.rtp.track import TrackReader
from khupho.wire.rtp.unit_parts import MAX_UNIT_BYTES
from khupho.wire.rtp.usual_pictures import UsualPictures

_MARKER = 0x80
_VERSION_2 = 0x8000
_START, _END = 0x80, 0x40
_FU_A, _FU_H265 = 28, 49
_BEFORE_PAYLOAD = 16
"""Interleaved frame and RTP header."""
_TIME_AND_SOURCE = Struct(">II").pack
_HEAD = Struct(">IH").pack
_LENGTH = Struct(">I").pack
_put_length = Struct(">I").pack_into
_new_sample = tuple.__new__
_BYTES = [bytes((byte,)) for byte in range(256)]
_NUMBERS = tuple(range(1 << 16))
"""Slices of it are what sequence numbers in order look like."""
_MOST_STEP_90K = MAX_STEP_S * MEDIA_CLOCK_HZ


class FastPath:
    """Takes runs of one video track's packets from an interleaved connection."""

    __slots__ = (
        "_data_at", "_flags", "_frame", "_head", "_header_bytes", "_is_h264", "_kinds", "_ssrc",
        "_start", "_track", "_units", "_usual", "puts_off",
    )  # fmt: skip

    def __init__(self, track: TrackReader, units: AccessUnits, codec: Codec, channel: int) -> None:
        self._track = track
        self._units = units
        self._is_h264 = codec is Codec.H264
        self._header_bytes = NAL_KINDS[codec].header_bytes
        self._kinds = NAL_KINDS[codec].table
        self._frame = 0x2400 | channel
        self._flags = _VERSION_2
        self._data_at = _BEFORE_PAYLOAD + 1 + self._header_bytes
        self._head = Struct(f">IHH{9 + self._header_bytes}s").unpack_from
        self._start = Struct(">IIBBBB").unpack_from
        self._ssrc = -1
        self._usual = UsualPictures()
        self.puts_off = False
        """What stands where `take` stopped is a picture whose end is still to come: to be taken whole
        then. One that began the buffer isn't put off again, so nothing is for long."""

    def take(self, scratch: memoryview, position: int, end: int) -> int:
        """Take what it can of `scratch[position:end]`. Returns where the slow path goes on.

        One long function: its names are the state of the loop, and a call for each packet would cost
        as much as the packet does.
        """
        track, units, usual = self._track, self._units, self._usual
        sequence, timeline = track.sequence, units.timeline
        self.puts_off = False
        raw, ssrc, number = scratch.obj, track.ssrc, sequence.next
        if ssrc is None or number is None or track.suspect or not units.is_ready:
            return position
        if not isinstance(raw, bytearray) or len(raw) != len(scratch):
            return position
        unpack, unpack_start = self._head, self._start
        data_at, header_bytes, kinds = self._data_at, self._header_bytes, self._kinds
        frame, flags, is_h264 = self._frame, _VERSION_2 | track.payload_type, self._is_h264
        if flags != self._flags or ssrc != self._ssrc:
            self._flags, self._ssrc = flags, ssrc
            usual.forget()
        tell = units.samples.append
        begun = expected = number & 0xFFFF
        can_begin = units.is_plain and timeline.clock_hz == MEDIA_CLOCK_HZ
        is_kept, is_damaged = not units.broken, units.loss.is_damaged
        timestamp, pts_90k, is_key = units.unit_timestamp, units.pts_90k, units.is_key
        ticks, size_bytes = timeline.ticks, units.size_bytes
        nal_bytes, nal_header = units.nal_bytes, units.nal_header
        in_nal = may_run = units.fragment == IN_PLACE
        middle, last = self._tails(timestamp, ssrc, nal_header) if in_nal else (b"", b"")
        picture, usual_size, usual_headers = usual.matcher, usual.size, usual.headers
        usual_layouts = usual.layouts
        step, had_marker, is_over, had_key = 0, units.marker, units.is_over, False
        # Where the access unit in progress and its open NAL unit begin in what is written here; -1
        # where they began before.
        unit_at = nal_at = -1
        written_from = written = position
        last_start = end - data_at - 2
        while position <= last_start:
            if picture is not None and can_begin and not in_nal:
                # Perhaps a whole picture, made like the last one.
                match = picture(raw, position, end)
                if match is not None and match.lastindex is not None:
                    end_data = match.end()
                    count = (end_data - position) // usual_size
                    layout = usual_layouts[count] or usual.layout(count, header_bytes)
                    fields = layout.picture(raw, position)
                    now = fields[1]
                    following = end_data - data_at + 4 + (fields[-3] & 0xFFFF)
                    if (
                        fields[0] == expected
                        and fields[3:-3:2] == _NUMBERS[expected + 1 : expected + count]
                        and fields[-1] == expected + count
                        and end_data < following <= end
                        and 0 < now - timestamp <= _MOST_STEP_90K
                        and size_bytes <= MAX_UNIT_BYTES
                    ):
                        tell(
                            _new_sample(
                                Sample, (pts_90k, size_bytes, is_key, 0, is_damaged, None, False)
                            )
                        )
                        unit_at = written
                        size_bytes = 4 + layout.data_bytes + following - end_data
                        nal_header = usual_headers[match.lastindex - 1]
                        layout.put_picture(
                            raw, written, size_bytes - 4, nal_header, *fields[2:-3:2]
                        )
                        data = written + 4 + layout.data_bytes
                        written += size_bytes
                        scratch[data:written] = scratch[end_data:following]
                        step = now - timestamp
                        ticks += step
                        pts_90k, timestamp, is_key = ticks, now, False
                        expected += count + 1
                        position = following
                        had_marker = fields[-2] != flags
                        is_over = False
                        continue
                if unit_at >= 0 and usual.is_cut(raw, position, end, timestamp):
                    self.puts_off = True
                    break
            head, packet_flags, number, tail = unpack(raw, position)
            size = (head & 0xFFFF) + 4
            following = position + size
            data = position + data_at
            data_bytes = size - data_at
            marker = packet_flags & _MARKER
            if (
                number != expected
                or head >> 16 != frame
                or packet_flags - marker != flags
                or following > end
            ):
                break
            if data_bytes <= 0:
                if data_bytes or in_nal or not can_begin or kinds[tail[8]] != DELIMITER:
                    break
                if int.from_bytes(tail[4:8], "big") != ssrc:
                    break
            elif tail == middle:
                if marker:
                    break
                if is_kept:
                    scratch[written : written + data_bytes] = scratch[data:following]
                    written += data_bytes
                nal_bytes += data_bytes
                size_bytes += data_bytes
            elif tail == last:
                nal_bytes += data_bytes
                size_bytes += data_bytes
                if is_kept:
                    scratch[written : written + data_bytes] = scratch[data:following]
                    written += data_bytes
                    if nal_at >= 0:
                        _put_length(raw, nal_at, nal_bytes)
                    else:
                        units.parts[units.nal_at] = _LENGTH(nal_bytes) + nal_header
                        units.nal_at = -1
                in_nal = may_run = False
                middle = last = b""
            else:
                if not can_begin or in_nal:
                    break
                now, source, first, second, third, fourth = unpack_start(raw, position + 8)
                if is_h264:
                    is_fragment = first & 0x1F == _FU_A
                    fu_header, after_header = second, third if is_fragment else second
                    header = first & 0xE0 | second & 0x1F if is_fragment else first
                else:
                    is_fragment = first >> 1 & 0x3F == _FU_H265
                    fu_header, after_header = third, fourth if is_fragment else third
                    header = first & 0x81 | (third & 0x3F) << 1 if is_fragment else first
                kind = kinds[header]
                if source != ssrc or size_bytes > MAX_UNIT_BYTES:
                    break
                if kind == PARAMETER_SET and not is_fragment:
                    # Repeated before each key frame, and nearly always what it was.
                    if not units.sets.knows(bytes(raw[position + _BEFORE_PAYLOAD : following])):
                        break
                    is_over = True
                    had_marker = marker != 0
                    expected += 1
                    position = following
                    continue
                if kind != PICTURE and (kind != KEY_PICTURE or is_damaged):
                    break
                if is_fragment:
                    if marker or fu_header & 0xC0 != _START:
                        break
                elif not (first or second):
                    break  # a start code
                if now != timestamp:
                    # The next picture, as its first slice tells; so the last one is a sample.
                    if not 0 < now - timestamp <= _MOST_STEP_90K or not after_header & 0x80:
                        break
                    tell(
                        _new_sample(
                            Sample, (pts_90k, size_bytes, is_key, 0, is_damaged, None, False)
                        )
                    )
                    unit_at = written
                    step = now - timestamp
                    ticks += step
                    pts_90k, timestamp, size_bytes = ticks, now, 0
                    is_key = kind == KEY_PICTURE
                    had_key |= is_key
                elif after_header & 0x80 or had_marker:
                    break
                is_over = False
                if is_fragment:
                    nal_at = written
                    nal_header = _BYTES[header] if is_h264 else bytes((header, second))
                    nal_bytes = header_bytes + data_bytes
                    written += 4 + header_bytes
                    raw[written - header_bytes : written] = nal_header
                    scratch[written : written + data_bytes] = scratch[data:following]
                    written += data_bytes
                    size_bytes += 4 + nal_bytes
                    front = tail[:-1]
                    nal_type = fu_header & 0x3F
                    middle, last = front + _BYTES[nal_type], front + _BYTES[nal_type | _END]
                    in_nal = may_run = True
                    if kind == PICTURE and unit_at == nal_at:
                        usual.learn(frame, flags, size, tail, nal_header)
                        picture, usual_size, usual_headers = usual.matcher, size, usual.headers
                        usual_layouts = usual.layouts
                else:
                    nal_bytes = size - _BEFORE_PAYLOAD
                    data = position + _BEFORE_PAYLOAD
                    _put_length(raw, written, nal_bytes)
                    written += 4
                    scratch[written : written + nal_bytes] = scratch[data:following]
                    written += nal_bytes
                    size_bytes += 4 + nal_bytes
            had_marker = marker != 0
            expected += 1
            position = following
            while may_run:
                # What follows is mostly of the same size, up to the fragment that ends the NAL unit.
                count = min((end - position) // size, LONGEST_RUN)
                column = raw[position + data_at - 1 : position + count * size : size]
                before_end = column.find(last[-1])
                if before_end >= 0:
                    count = before_end
                may_run = False
                if count < 2:
                    break
                key = data_bytes << 8 | count << 2 | header_bytes
                layout = LAYOUTS.get(key) or make_layout(header_bytes, data_bytes, count)
                fields = layout.run(raw, position)
                if (
                    fields[0::4].count(_HEAD(head, flags)) != count
                    or fields[1::4] != _NUMBERS[expected : expected + count]
                    or fields[2::4].count(middle) != count
                ):
                    break
                if is_kept:
                    layout.put_run(raw, written, *fields[3::4])
                    written += data_bytes * count
                nal_bytes += data_bytes * count
                size_bytes += data_bytes * count
                expected += count
                position += size * count
                may_run = count == LONGEST_RUN
                had_marker = False
        if expected != begun:
            sequence.go_on(expected - begun)
            track.packets += expected - begun
            units.marker, units.is_over = had_marker, is_over
            if had_key:
                units.skips_leading = False
            units.fragment = IN_PLACE if in_nal else NO_FRAGMENT
            units.nal_bytes, units.nal_header = nal_bytes, nal_header
            if step:
                timeline.go_on(timestamp, step, ticks)
                units.unit_timestamp, units.pts_90k, units.is_key = timestamp, pts_90k, is_key
            if is_kept:
                units.size_bytes = size_bytes
                units.written(scratch, written_from, unit_at, nal_at if in_nal else -1, written)
        return position

    def _tails(self, timestamp: int, ssrc: int, nal_header: bytes) -> tuple[bytes, bytes]:
        """Tails of the middle and last fragments of a NAL unit."""
        front = _TIME_AND_SOURCE(timestamp, ssrc)
        first = nal_header[0]
        if self._is_h264:
            front += _BYTES[first & 0xE0 | _FU_A]
            kind = first & 0x1F
        else:
            front += bytes((first & 0x81 | _FU_H265 << 1, nal_header[1]))
            kind = first >> 1 & 0x3F
        return front + _BYTES[kind], front + _BYTES[kind | _END]

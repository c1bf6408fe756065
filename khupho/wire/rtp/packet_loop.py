# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=False
"""The usual packets of a video track, taken one by one by compiled code.

Does what `fast_path.FastPath` does, and nothing is decided here either: a packet is taken only if it is
what the slow path (`track.TrackReader.packet`) would take without a second look; the first one that is
anything else is left to it. A test feeds all three the same.

This file is Python that Cython compiles at installation, where there is a C compiler; without one it cannot
be imported, and `FastPath` does the work at several times the cost. The rules that keep any input within
the buffer, though compiled code doesn't check each access:

- Only `raw[position:following]` is read, and `position + 20 <= following <= end <= len(raw)` is checked
  first for each packet.
- Only `raw[written:following]` is written, and `written <= position` is checked first; what is written for a
  packet is always shorter than the packet.
"""

from __future__ import annotations

import cython

from khupho.media.formats import Codec
from khupho.media.samples import Sample
from khupho.units import MEDIA_CLOCK_HZ
from khupho.wire.rtp import access_units, nal_kinds, timeline, unit_parts
from khupho.wire.rtp.access_units import AccessUnits
from khupho.wire.rtp.track import TrackReader

if not cython.compiled:
    raise ImportError("The packet loop is not compiled")

from cython.cimports.libc.string import memmove

_FRONT_BYTES = cython.declare(cython.Py_ssize_t, 16)
"""Interleaved frame and RTP header."""
_LEAST_BYTES = cython.declare(cython.Py_ssize_t, 20)
"""So that the first bytes of a payload can be looked at."""
_FU_A = cython.declare(cython.int, 28)
_FU_H265 = cython.declare(cython.int, 49)
_START = cython.declare(cython.int, 0x80)
_END = cython.declare(cython.int, 0x40)
_MARKER = cython.declare(cython.int, 0x80)
_DELIMITER = cython.declare(cython.int, nal_kinds.DELIMITER)
_PARAMETER_SET = cython.declare(cython.int, nal_kinds.PARAMETER_SET)
_PICTURE = cython.declare(cython.int, nal_kinds.PICTURE)
_KEY_PICTURE = cython.declare(cython.int, nal_kinds.KEY_PICTURE)
_NO_FRAGMENT = cython.declare(cython.int, access_units.NO_FRAGMENT)
_IN_PLACE = cython.declare(cython.int, access_units.IN_PLACE)
_MAX_UNIT_BYTES = cython.declare(cython.Py_ssize_t, unit_parts.MAX_UNIT_BYTES)
_MOST_STEP_90K = cython.declare(cython.int, timeline.MAX_STEP_S * MEDIA_CLOCK_HZ)
_MOST_STEP_BACK_90K = cython.declare(cython.int, timeline.MAX_STEP_BACK_S * MEDIA_CLOCK_HZ)
_CLOCK_HZ = MEDIA_CLOCK_HZ
_LENGTH_BYTES = cython.declare(cython.Py_ssize_t, 4)
_BYTES = [bytes((byte,)) for byte in range(256)]
_new_sample = tuple.__new__


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _word(at: cython.p_uchar) -> cython.uint:
    return (
        cython.cast(cython.uint, at[0]) << 24
        | cython.cast(cython.uint, at[1]) << 16
        | cython.cast(cython.uint, at[2]) << 8
        | cython.cast(cython.uint, at[3])
    )


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put_word(at: cython.p_uchar, value: cython.Py_ssize_t) -> cython.void:
    at[0] = value >> 24 & 0xFF
    at[1] = value >> 16 & 0xFF
    at[2] = value >> 8 & 0xFF
    at[3] = value & 0xFF


@cython.cclass
class PacketLoop:
    """Takes runs of one video track's packets from an interleaved connection."""

    _track: TrackReader
    _units: AccessUnits
    _kinds: bytes
    _is_h264: cython.bint
    _channel: cython.int
    _header_bytes: cython.Py_ssize_t

    def __init__(self, track: TrackReader, units: AccessUnits, codec: Codec, channel: int) -> None:
        self._track = track
        self._units = units
        self._is_h264 = codec is Codec.H264
        self._kinds = nal_kinds.NAL_KINDS[codec].table
        self._header_bytes = nal_kinds.NAL_KINDS[codec].header_bytes
        self._channel = channel

    @property
    def puts_off(self) -> bool:
        """Nothing is put off: what has come of a picture is taken."""
        return False

    def take(self, scratch: memoryview, position: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
        """Take what it can of `scratch[position:end]`. Returns where the slow path goes on."""
        track, units = self._track, self._units
        sequence, line = track.sequence, units.timeline
        source, number = track.ssrc, sequence.next
        whole = scratch.obj
        if source is None or number is None or track.suspect or not units.is_ready:
            return position
        if not isinstance(whole, bytearray) or position < 0:
            return position
        if end > len(whole) or len(whole) != len(scratch):
            return position
        raw: cython.p_uchar = cython.cast(bytearray, whole)
        kinds: cython.p_uchar = self._kinds
        is_h264: cython.bint = self._is_h264
        header_bytes: cython.Py_ssize_t = self._header_bytes
        channel: cython.int = self._channel
        payload_type: cython.int = track.payload_type
        ssrc: cython.uint = source
        begun: cython.Py_ssize_t = number & 0xFFFF
        taken: cython.Py_ssize_t = 0
        # The picture in progress, and its NAL unit that is open.
        can_begin: cython.bint = units.is_plain and line.clock_hz == _CLOCK_HZ
        may_reorder: cython.bint = line.may_reorder
        is_kept: cython.bint = not units.broken
        damaged: object = units.loss.is_damaged
        is_damaged: cython.bint = damaged
        timestamp: cython.uint = units.unit_timestamp
        ticks: cython.longlong = line.ticks
        pts_90k: cython.longlong = units.pts_90k
        is_key: cython.bint = units.is_key
        size_bytes: cython.Py_ssize_t = units.size_bytes
        nal_bytes: cython.Py_ssize_t = units.nal_bytes
        open_header: bytes = units.nal_header
        in_nal: cython.bint = units.fragment == _IN_PLACE
        first_header: cython.int = open_header[0] if in_nal else 0
        second_header: cython.int = open_header[1] if in_nal and not is_h264 else 0
        was_marked: cython.bint = units.marker
        is_over: cython.bint = units.is_over
        had_key: cython.bint = False
        has_stepped: cython.bint = False
        usual_step: cython.int = 0
        # Where the access unit in progress and its open NAL unit begin in what is written here; -1
        # where they began before.
        unit_at: cython.Py_ssize_t = -1
        nal_at: cython.Py_ssize_t = -1
        written_from: cython.Py_ssize_t = position
        written: cython.Py_ssize_t = position
        following: cython.Py_ssize_t
        data: cython.Py_ssize_t
        data_bytes: cython.Py_ssize_t
        at: cython.p_uchar
        payload: cython.p_uchar
        now: cython.uint
        step: cython.int
        marker: cython.int
        first: cython.int
        second: cython.int
        kind: cython.int
        fu_header: cython.int
        is_fragment: cython.bint
        is_first: cython.bint
        while position + _LEAST_BYTES <= end and written <= position:
            at = raw + position
            following = position + 4 + (at[2] << 8 | at[3])
            if following > end or at[0] != 0x24 or at[1] != channel:
                break
            if at[4] != 0x80 or (at[5] & 0x7F) != payload_type or _word(at + 12) != ssrc:
                break
            if (at[6] << 8 | at[7]) != ((begun + taken) & 0xFFFF):
                break
            marker = at[5] & _MARKER
            now = _word(at + 8)
            payload = at + _FRONT_BYTES
            if following - position < _LEAST_BYTES:
                # Only an access unit delimiter is as short as that.
                if following - position != _FRONT_BYTES + header_bytes + 1 or in_nal:
                    break
                if not can_begin or kinds[payload[0]] != _DELIMITER:
                    break
                was_marked = marker != 0
                taken += 1
                position = following
                continue
            first = payload[0]
            second = 0
            if is_h264:
                is_fragment = (first & 0x1F) == _FU_A
                fu_header = payload[1]
                if is_fragment:
                    first = first & 0xE0 | fu_header & 0x1F
                is_first = (payload[2 if is_fragment else 1] & 0x80) != 0
            else:
                is_fragment = (first >> 1 & 0x3F) == _FU_H265
                second = payload[1]
                fu_header = payload[2]
                if is_fragment:
                    first = first & 0x81 | (fu_header & 0x3F) << 1
                is_first = (payload[3 if is_fragment else 2] & 0x80) != 0
            if is_fragment:
                data = position + _FRONT_BYTES + header_bytes + 1
            else:
                data = position + _FRONT_BYTES
            data_bytes = following - data
            if in_nal:
                # The next fragment of the NAL unit that is open, or its last one.
                if not is_fragment or fu_header & _START or now != timestamp:
                    break
                if first != first_header or second != second_header:
                    break
                if marker and not fu_header & _END:
                    break
                if is_kept:
                    memmove(raw + written, raw + data, data_bytes)
                    written += data_bytes
                nal_bytes += data_bytes
                size_bytes += data_bytes
                if fu_header & _END:
                    in_nal = False
                    if is_kept:
                        if nal_at >= 0:
                            _put_word(raw + nal_at, nal_bytes)
                        else:
                            units.parts[units.nal_at] = nal_bytes.to_bytes(4, "big") + open_header
                            units.nal_at = -1
                was_marked = marker != 0
                taken += 1
                position = following
                continue
            if not can_begin or size_bytes > _MAX_UNIT_BYTES:
                break
            kind = kinds[first]
            if kind == _PARAMETER_SET and not is_fragment:
                # Repeated before each key frame, and nearly always what it was.
                if not units.sets.knows(payload[:data_bytes]):
                    break
                is_over = True
                was_marked = marker != 0
                taken += 1
                position = following
                continue
            if kind != _PICTURE and (kind != _KEY_PICTURE or is_damaged):
                break
            if is_fragment:
                if marker or fu_header & (_START | _END) != _START:
                    break
            elif payload[0] == 0 and payload[1] == 0:
                break  # a start code
            if now != timestamp:
                # The next picture, as its first slice tells; so the last one is a sample.
                step = cython.cast(cython.int, now - timestamp)
                if not is_first or step > _MOST_STEP_90K:
                    break
                if step < 0 and (not may_reorder or step < -_MOST_STEP_BACK_90K):
                    break
                units.samples.append(
                    _new_sample(Sample, (pts_90k, size_bytes, is_key, 0, damaged, None, False))
                )
                unit_at = written
                if step > 0:
                    usual_step = step
                has_stepped = True
                ticks += step
                pts_90k, timestamp, size_bytes = ticks, now, 0
                is_key = kind == _KEY_PICTURE
                had_key = had_key or is_key
            elif is_first or was_marked:
                break
            is_over = False
            if is_fragment:
                nal_at = written
                raw[written + _LENGTH_BYTES] = first
                if not is_h264:
                    raw[written + _LENGTH_BYTES + 1] = second
                first_header, second_header = first, second
                written += _LENGTH_BYTES + header_bytes
                nal_bytes = header_bytes + data_bytes
                in_nal = True
            else:
                nal_bytes = data_bytes
                _put_word(raw + written, nal_bytes)
                written += _LENGTH_BYTES
            memmove(raw + written, raw + data, data_bytes)
            written += data_bytes
            size_bytes += _LENGTH_BYTES + nal_bytes
            was_marked = marker != 0
            taken += 1
            position = following
        if taken:
            sequence.go_on(taken)
            track.packets += taken
            units.marker, units.is_over = was_marked, is_over
            if had_key:
                units.skips_leading = False
            units.fragment = _IN_PLACE if in_nal else _NO_FRAGMENT
            units.nal_bytes = nal_bytes
            if in_nal and nal_at >= 0:
                head = _BYTES[first_header]
                units.nal_header = head if is_h264 else head + _BYTES[second_header]
            if has_stepped:
                line.go_on(timestamp, usual_step, ticks)
                units.unit_timestamp, units.pts_90k, units.is_key = timestamp, pts_90k, is_key
            if is_kept:
                units.size_bytes = size_bytes
                units.written(scratch, written_from, unit_at, nal_at if in_nal else -1, written)
        return position

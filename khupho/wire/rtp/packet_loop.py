# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=False
"""The usual packets of a video track, taken one by one by compiled code.

Does what `fast_path.FastPath` does, and nothing is decided here either: a packet is taken only if it is
what the slow path (`track.TrackReader.packet`) would take without a second look; the first one that is
anything else is left to it. A test feeds all three the same.

This file is Python that Cython compiles at installation, where there is a C compiler; without one it cannot
be imported, and `FastPath` does the work at several times the cost. The rules that keep any input within
the buffer, though compiled code doesn't check each access:

- Of a packet only what lies before `following <= end <= len(raw)` is read, and its first 20 bytes only after
  `position + 20 <= end`.
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

_DOLLAR = cython.declare(cython.int, 0x24)
_VERSION_2 = cython.declare(cython.int, 0x80)
"""Without padding, extension and contributing sources."""
_INTERLEAVED_BYTES = cython.declare(cython.Py_ssize_t, 4)
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
_MOST_USUAL_STEP_90K = cython.declare(cython.int, timeline.MAX_USUAL_STEP_S * MEDIA_CLOCK_HZ)
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

    # The state of one `take`: `_load` brings it, `_store` takes it back.
    _raw: cython.p_uchar
    """The caller's buffer, only while `take` runs."""
    _end: cython.Py_ssize_t
    _position: cython.Py_ssize_t
    """Where the next packet begins, and up to where it is written."""
    _written: cython.Py_ssize_t
    _payload_type: cython.int
    _ssrc: cython.uint
    _first_number: cython.Py_ssize_t
    _taken: cython.Py_ssize_t
    """Packets so far, and the sequence number that the first one had to have."""
    _can_begin: cython.bint
    """The access unit in progress is a plain sample, and so is the next one."""
    _may_reorder: cython.bint
    _is_kept: cython.bint
    _is_damaged: cython.bint
    _timestamp: cython.uint
    _ticks: cython.longlong
    _pts_90k: cython.longlong
    _is_key: cython.bint
    _size_bytes: cython.Py_ssize_t
    _in_nal: cython.bint
    """A fragmented NAL unit is open; then its header, and its bytes so far."""
    _nal_first: cython.int
    _nal_second: cython.int
    _nal_bytes: cython.Py_ssize_t
    _was_marked: cython.bint
    _is_over: cython.bint
    _had_key: cython.bint
    _has_stepped: cython.bint
    _usual_step: cython.int
    _unit_at: cython.Py_ssize_t
    """Where the access unit in progress and its open NAL unit begin in what is written; -1: before it."""
    _nal_at: cython.Py_ssize_t

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
        whole = scratch.obj
        if not isinstance(whole, bytearray) or len(whole) != len(scratch):
            return position
        if position < 0 or end > len(whole) or not self._is_ready():
            return position
        self._raw = cython.cast(bytearray, whole)
        self._position = self._written = position
        self._end = end
        self._load()
        while self._next():
            pass
        if self._taken:
            self._store()
            if self._is_kept:
                nal_at = self._nal_at if self._in_nal else -1
                self._units.written(scratch, position, self._unit_at, nal_at, self._written)
        return self._position

    @cython.cfunc
    def _is_ready(self) -> cython.bint:
        track = self._track
        is_begun = track.ssrc is not None and track.sequence.next is not None
        return is_begun and not track.suspect and self._units.is_ready

    @cython.cfunc
    def _load(self) -> cython.void:
        track, units, line = self._track, self._units, self._units.timeline
        self._payload_type = track.payload_type
        self._ssrc = track.ssrc
        self._first_number = (track.sequence.next or 0) & 0xFFFF
        self._taken = 0
        self._can_begin = units.is_plain and line.clock_hz == MEDIA_CLOCK_HZ
        self._may_reorder = line.may_reorder
        self._is_kept = not units.broken
        self._is_damaged = units.loss.is_damaged
        self._timestamp = units.unit_timestamp
        self._ticks = line.ticks
        self._pts_90k = units.pts_90k
        self._is_key = units.is_key
        self._size_bytes = units.size_bytes
        self._in_nal = units.fragment == _IN_PLACE
        header: bytes = units.nal_header
        self._nal_first = header[0] if self._in_nal else 0
        self._nal_second = header[1] if self._in_nal and not self._is_h264 else 0
        self._nal_bytes = units.nal_bytes
        self._was_marked = units.marker
        self._is_over = units.is_over
        self._had_key = self._has_stepped = False
        self._usual_step = 0
        self._unit_at = self._nal_at = -1

    @cython.cfunc
    def _store(self) -> cython.void:
        track, units = self._track, self._units
        track.sequence.go_on(self._taken)
        track.packets += self._taken
        units.marker, units.is_over = self._was_marked, self._is_over
        if self._had_key:
            units.skips_leading = False
        units.fragment = _IN_PLACE if self._in_nal else _NO_FRAGMENT
        units.nal_bytes = self._nal_bytes
        if self._in_nal and self._nal_at >= 0:
            header = _BYTES[self._nal_first]
            units.nal_header = header if self._is_h264 else header + _BYTES[self._nal_second]
        if self._has_stepped:
            units.timeline.go_on(self._timestamp, self._usual_step, self._ticks)
            units.unit_timestamp, units.pts_90k = self._timestamp, self._pts_90k
            units.is_key = self._is_key
        if self._is_kept:
            units.size_bytes = self._size_bytes

    @cython.cfunc
    def _next(self) -> cython.bint:
        """Take the packet at `_position`; false if the slow path must look at it, or it is not whole."""
        position: cython.Py_ssize_t = self._position
        if position + _LEAST_BYTES > self._end or self._written > position:
            return False
        at: cython.p_uchar = self._raw + position
        following: cython.Py_ssize_t = position + _INTERLEAVED_BYTES + (at[2] << 8 | at[3])
        if following > self._end or at[0] != _DOLLAR or at[1] != self._channel:
            return False
        if at[4] != _VERSION_2 or (at[5] & 0x7F) != self._payload_type:
            return False
        if (at[6] << 8 | at[7]) != ((self._first_number + self._taken) & 0xFFFF):
            return False
        if _word(at + 12) != self._ssrc:
            return False
        is_marked: cython.bint = (at[5] & _MARKER) != 0
        if following - position < _LEAST_BYTES:
            if not self._is_delimiter(at, following - position):
                return False
        elif not self._payload(at, position, following, is_marked):
            return False
        self._was_marked = is_marked
        self._taken += 1
        self._position = following
        return True

    @cython.cfunc
    def _is_delimiter(self, at: cython.p_uchar, size_bytes: cython.Py_ssize_t) -> cython.bint:
        """An access unit delimiter, which alone is so short, between two NAL units: it says nothing."""
        return (
            size_bytes == _FRONT_BYTES + self._header_bytes + 1
            and self._can_begin
            and not self._in_nal
            and self._kinds_at(at[_FRONT_BYTES]) == _DELIMITER
        )

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _kinds_at(self, first: cython.int) -> cython.int:
        return cython.cast(cython.p_uchar, self._kinds)[first]

    @cython.cfunc
    def _payload(
        self,
        at: cython.p_uchar,
        position: cython.Py_ssize_t,
        following: cython.Py_ssize_t,
        is_marked: cython.bint,
    ) -> cython.bint:
        """A whole NAL unit (RFC 6184 section 5.6, RFC 7798 section 4.4.1) or a fragment (5.8, 4.4.3)."""
        payload: cython.p_uchar = at + _FRONT_BYTES
        first: cython.int = payload[0]
        second: cython.int = 0
        fu_header: cython.int
        after_header: cython.int
        is_fragment: cython.bint
        if self._is_h264:
            is_fragment = (first & 0x1F) == _FU_A
            fu_header = payload[1]
            after_header = payload[2 if is_fragment else 1]
            if is_fragment:
                first = first & 0xE0 | fu_header & 0x1F
        else:
            is_fragment = (first >> 1 & 0x3F) == _FU_H265
            second = payload[1]
            fu_header = payload[2]
            after_header = payload[3 if is_fragment else 2]
            if is_fragment:
                first = first & 0x81 | (fu_header & 0x3F) << 1
        data: cython.Py_ssize_t = position + _FRONT_BYTES
        if is_fragment:
            data += self._header_bytes + 1
        now: cython.uint = _word(at + 8)
        if self._in_nal:
            if not is_fragment or fu_header & _START or now != self._timestamp:
                return False
            if first != self._nal_first or second != self._nal_second:
                return False
            if is_marked and not fu_header & _END:
                return False
            self._goes_on(data, following - data, (fu_header & _END) != 0)
            return True
        if not self._can_begin or self._size_bytes > _MAX_UNIT_BYTES:
            return False
        kind: cython.int = self._kinds_at(first)
        if kind == _PARAMETER_SET and not is_fragment:
            # Repeated before each key frame, and nearly always what it was.
            if not self._units.sets.knows(payload[: following - data]):
                return False
            self._is_over = True
            return True
        if kind != _PICTURE and (kind != _KEY_PICTURE or self._is_damaged):
            return False
        if is_fragment:
            if is_marked or (fu_header & (_START | _END)) != _START:
                return False
        elif payload[0] == 0 and payload[1] == 0:
            return False  # a start code
        is_first: cython.bint = (after_header & 0x80) != 0
        if now == self._timestamp:
            if is_first or self._was_marked:
                return False
        elif not is_first or not self._next_picture(now, kind == _KEY_PICTURE):
            return False
        self._is_over = False
        if is_fragment:
            self._open_nal(first, second)
        self._begins(data, following - data, is_fragment)
        return True

    @cython.cfunc
    def _next_picture(self, now: cython.uint, is_key: cython.bint) -> cython.bint:
        """A picture's first slice has come; so the last picture is a sample. False if the time line must
        look at it first."""
        step: cython.int = cython.cast(cython.int, now - self._timestamp)
        if step > _MOST_STEP_90K or step < -_MOST_STEP_BACK_90K:
            return False
        if step < 0 and not self._may_reorder:
            return False
        self._units.samples.append(
            _new_sample(
                Sample,
                (self._pts_90k, self._size_bytes, self._is_key, 0, self._is_damaged, None, False),
            )
        )
        if 0 < step <= _MOST_USUAL_STEP_90K:
            self._usual_step = step
        self._has_stepped = True
        self._ticks += step
        self._pts_90k, self._timestamp = self._ticks, now
        self._size_bytes = 0
        self._is_key = is_key
        self._had_key = self._had_key or is_key
        self._unit_at = self._written
        return True

    # What is written

    @cython.cfunc
    @cython.exceptval(check=False)
    def _open_nal(self, first: cython.int, second: cython.int) -> cython.void:
        """Leave room for the length of a NAL unit that comes in fragments, and write its header."""
        header: cython.p_uchar = self._raw + self._written + _LENGTH_BYTES
        header[0] = first
        if not self._is_h264:
            header[1] = second
        self._nal_at = self._written
        self._nal_first, self._nal_second = first, second
        self._in_nal = True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _begins(
        self, data: cython.Py_ssize_t, data_bytes: cython.Py_ssize_t, is_fragment: cython.bint
    ) -> cython.void:
        """A NAL unit's first bytes, or all of them."""
        if is_fragment:
            self._nal_bytes = self._header_bytes + data_bytes
            self._written += _LENGTH_BYTES + self._header_bytes
        else:
            self._nal_bytes = data_bytes
            _put_word(self._raw + self._written, data_bytes)
            self._written += _LENGTH_BYTES
        memmove(self._raw + self._written, self._raw + data, data_bytes)
        self._written += data_bytes
        self._size_bytes += _LENGTH_BYTES + self._nal_bytes

    @cython.cfunc
    def _goes_on(
        self, data: cython.Py_ssize_t, data_bytes: cython.Py_ssize_t, is_last: cython.bint
    ) -> cython.void:
        """A further fragment of the NAL unit that is open."""
        if self._is_kept:
            memmove(self._raw + self._written, self._raw + data, data_bytes)
            self._written += data_bytes
        self._nal_bytes += data_bytes
        self._size_bytes += data_bytes
        if not is_last:
            return
        self._in_nal = False
        if not self._is_kept:
            return
        if self._nal_at >= 0:
            _put_word(self._raw + self._nal_at, self._nal_bytes)
        else:
            units = self._units
            units.parts[units.nal_at] = self._nal_bytes.to_bytes(4, "big") + units.nal_header
            units.nal_at = -1

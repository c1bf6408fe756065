"""NAL units put together to access units, in the form that MP4 wants, and these to batches.

Where an access unit ends: a picture of another timestamp begins, or a first slice comes although the
picture has one (quirks 39 and 40). Markers aren't trusted but for one thing: whether the last access
unit before a hole, or before the session's end, is whole. What stands between pictures (parameter sets,
SEI) belongs to the next one, whatever its timestamp (quirk 41).
"""

from __future__ import annotations

from struct import Struct

from khupho.media.formats import Codec, TrackFormat, VideoFormat
from khupho.media.nal import split_annex_b
from khupho.media.samples import Sample, SampleBatch
from khupho.wire.rtp.loss import Loss
from khupho.wire.rtp.nal_kinds import (
    DELIMITER,
    KEY_PICTURE,
    LEADING_PICTURE,
    LEADS,
    NAL_KINDS,
    PARAMETER_SET,
    PICTURE,
)
from khupho.wire.rtp.parameter_sets import ParameterSets
from khupho.wire.rtp.timeline import Timeline
from khupho.wire.rtp.unit_parts import MAX_UNIT_BYTES, Piece, UnitParts

MAX_HELD_BYTES = 64 * 1024
"""SEI that waits for its picture."""
PROBED_NAL_UNITS = 48
"""So many slices at a session's start are searched for start codes; a camera that hides NAL units in
others (quirk 43) does so from the first key frame on."""

_START_CODE = b"\0\0\1"
_LENGTH = Struct(">I").pack
NO_FRAGMENT, IN_PLACE, ASIDE = 0, 1, 2


class AccessUnits(UnitParts):
    """One video track's access units. For each packet: set `timestamp`, tell its NAL units, call
    `packet_ends`."""

    __slots__ = (
        "_after_hole", "_aside", "_aside_timestamp", "_held", "_held_bytes", "_hides_start_codes",
        "_kinds", "_lost_after", "_told_format", "_unit_hole", "broken", "discontinuity", "fragment",
        "has_picture", "is_key", "is_over", "loss", "lost", "marker", "marker_lies", "probes_left",
        "pts_90k", "sets", "skips_leading", "timeline", "timestamp", "unit_timestamp",
    )  # fmt: skip

    def __init__(self, codec: Codec, declared: TrackFormat | None, timeline: Timeline) -> None:
        super().__init__()
        self.sets = ParameterSets(codec, declared)
        self.loss = Loss()
        self.timeline = timeline
        self.timestamp = 0
        """Of the packet being taken apart."""
        self.unit_timestamp = 0
        self.pts_90k = 0
        self.has_picture = False
        self.is_key = False
        self.broken = False
        """The access unit in progress lacks something, and is passed over."""
        self.discontinuity = False
        self.lost = 0
        """Packets lost since the last sample, before the access unit in progress."""
        self.fragment = NO_FRAGMENT
        self.probes_left = PROBED_NAL_UNITS
        self._kinds = NAL_KINDS[codec]
        self._hides_start_codes = False
        self._told_format: VideoFormat | None = None
        self._after_hole = False
        self._unit_hole = False
        self._lost_after = 0
        self.is_over = False
        """Something came that belongs to the next picture."""
        self.marker = False
        """The last packet had it."""
        self.marker_lies = False
        """A marker stood in the midst of a picture."""
        self.skips_leading = False
        """Decoding began with this key frame: pictures that lead it cannot be decoded."""
        self._held: list[Piece] = []
        self._held_bytes = 0
        self._aside = bytearray()
        self._aside_timestamp = 0
        self._learn_order()

    # What the fast path must know

    @property
    def is_ready(self) -> bool:
        """Slices are taken as they come, without a search for start codes."""
        return not self.probes_left and not self._hides_start_codes

    @property
    def is_plain(self) -> bool:
        """The access unit in progress is a sample without anything special to tell, and so is the
        next one if it follows without a hole."""
        return (
            self.has_picture
            and not self.broken
            and not (self.lost or self._lost_after or self._after_hole or self._unit_hole)
            and not (self.is_key and self.loss.is_damaged)
            and not (self.discontinuity or self.loss.is_waiting or self.timeline.is_in_doubt)
            and not (self.sets.pending or self._held)
            and self.sets.format is self._told_format
        )

    # Packets

    def packet_ends(self, marker: bool) -> None:
        """Its NAL units have been told."""
        self.marker = marker

    def hole(self, packets: int, *, suspect: bool = False) -> None:
        """So many packets are missing here, or were damaged. `suspect`: so may be the last one."""
        if self.has_picture:
            is_whole = self.is_over or (self.marker and not self.marker_lies and not suspect)
            if self.fragment == IN_PLACE or not is_whole:
                self._break()
            self._lost_after += packets
            self._unit_hole = True
        else:
            self.lost += packets
            self.loss.hole(self.pts_90k)
        self._after_hole = True
        self._forget_fragment()

    # NAL units

    def nal(self, unit: Piece) -> None:
        """A whole NAL unit, or several with start codes between them (quirk 43)."""
        self._close_fragment()
        self._whole(unit)

    def _whole(self, unit: Piece) -> None:
        if len(unit) <= self._kinds.header_bytes:
            return
        kind = self._kinds.table[unit[0]]
        is_searched = kind < PICTURE or self.probes_left or self._hides_start_codes
        if is_searched or unit[:3] == _START_CODE or unit[:4] == b"\0\0\0\1":
            data = bytes(unit)
            if kind >= PICTURE and self.probes_left:
                self.probes_left -= 1
            if _START_CODE in data:
                self._hides_start_codes = self._hides_start_codes or kind >= PICTURE
                for single in split_annex_b(data):
                    if len(single) > self._kinds.header_bytes:
                        self._single(single)
                return
        self._single(unit)

    def _single(self, unit: Piece) -> None:
        kind = self._kinds.table[unit[0]]
        if kind >= PICTURE:
            self._slice(kind, unit[self._kinds.header_bytes])
        elif kind == PARAMETER_SET:
            self.sets.add(bytes(unit))
            self.is_over = self.has_picture
            return
        elif kind <= DELIMITER:
            return
        elif kind == LEADS and self.has_picture:
            self._hold(unit)
            return
        if not self.broken:
            self.parts += (_LENGTH(len(unit)), unit)
            self.grown(4 + len(unit))

    def _hold(self, unit: Piece) -> None:
        self.is_over = True
        if self._held_bytes + len(unit) <= MAX_HELD_BYTES:
            self._held += (_LENGTH(len(unit)), bytes(unit))
            self._held_bytes += 4 + len(unit)

    def fragment_begins(self, header: bytes, data: Piece) -> None:
        """The first fragment of a NAL unit; `header` is that of the NAL unit."""
        self._close_fragment()  # one that never ended, though nothing is missing, is whole (quirk 44)
        kind = self._kinds.table[header[0]]
        if kind < PICTURE or self.probes_left or self._hides_start_codes or not len(data):
            self.fragment = ASIDE
            self._aside = bytearray(header)
            self._aside += data
            self._aside_timestamp = self.timestamp
            if kind >= PICTURE and self.timestamp != self.unit_timestamp:
                self.is_over = self.has_picture
            return
        self._slice(kind, data[0])
        self.fragment = IN_PLACE
        self.nal_at = len(self.parts)
        self.nal_header = header
        self.nal_bytes = len(header) + len(data)
        if not self.broken:
            self.parts += (b"", data)
            self.grown(4 + self.nal_bytes)

    def fragment_goes_on(self, data: Piece) -> None:
        """A further fragment. One without a beginning is damage (quirk 44)."""
        if self.fragment == IN_PLACE:
            if self.timestamp != self.unit_timestamp:
                self.hole(1)
            elif not self.broken:
                self.parts.append(data)
                self.nal_bytes += len(data)
                self.grown(len(data))
        elif self.fragment == ASIDE:
            self._aside += data
            if len(self._aside) > MAX_UNIT_BYTES or self.timestamp != self._aside_timestamp:
                self.hole(1)
        elif not self._after_hole:
            self.hole(1)
        elif self.has_picture and self.timestamp == self.unit_timestamp:
            self._break()

    def fragment_ends(self) -> None:
        """The last fragment has been told."""
        self._close_fragment()

    def _close_fragment(self) -> None:
        mode, self.fragment = self.fragment, NO_FRAGMENT
        if mode == IN_PLACE:
            if not self.broken:
                self.parts[self.nal_at] = _LENGTH(self.nal_bytes) + self.nal_header
            self.nal_at = -1
        elif mode == ASIDE:
            data = bytes(self._aside)
            self._aside = bytearray()
            now, self.timestamp = self.timestamp, self._aside_timestamp
            self._whole(data)
            self.timestamp = now

    def _forget_fragment(self) -> None:
        self.fragment = NO_FRAGMENT
        self.nal_at = -1
        self._aside = bytearray()

    # Pictures

    def _slice(self, kind: int, after_header: int) -> None:
        """A slice comes; `after_header` is the byte behind its NAL header."""
        is_first = after_header & 0x80 != 0
        if self.has_picture:
            is_same_time = self.timestamp == self.unit_timestamp
            if is_same_time and not (is_first and self.sets.splits_pictures):
                if self._unit_hole:
                    self._break()
                elif self.marker:
                    self.marker_lies = True
                self.is_over = False
                return
            self._end_unit()
            if is_same_time:
                self.pts_90k += 1  # two pictures cannot be shown at once
                self._begin_unit(kind, is_first)
                return
        self.pts_90k = self.timeline.push(self.timestamp, after_loss=self._after_hole)
        self.discontinuity |= self.timeline.jumped
        self._begin_unit(kind, is_first)

    def _begin_unit(self, kind: int, is_first: bool) -> None:
        self.unit_timestamp = self.timestamp
        self.has_picture = True
        self.is_key = kind == KEY_PICTURE
        if self._after_hole:
            self._after_hole = False
            if not is_first:
                self._break()
        if self.is_key:
            self.skips_leading = self.loss.is_waiting
        elif kind == LEADING_PICTURE and self.skips_leading:
            self._break()
        if self.sets.pending:
            self.sets.apply()
            self._learn_order()

    def _learn_order(self) -> None:
        if self.sets.format is not None:
            self.timeline.may_reorder = self.sets.format.reorder_frames != 0

    def _end_unit(self) -> None:
        """The access unit in progress is over: a sample, or nothing."""
        self.has_picture = False
        track_format = self.sets.format
        if track_format is None or self.broken or not self.loss.keeps(self.pts_90k, self.is_key):
            self._break()
            self.broken = False
        else:
            self._tell_sample(track_format)
        self.lost += self._lost_after
        if self._unit_hole:
            self.loss.hole(self.pts_90k)
        self._lost_after = 0
        self._unit_hole = self.is_over = False
        self.size_bytes = self._held_bytes
        self.begins_at = len(self.parts)
        if self._held:
            self.parts += self._held
            self._held = []
            self._held_bytes = 0

    def _tell_sample(self, track_format: VideoFormat) -> None:
        told = self._told_format
        changed = None if track_format is told or track_format == told else track_format
        self._told_format = track_format
        self.samples.append(
            Sample(
                self.pts_90k,
                self.size_bytes,
                self.is_key,
                # Who joins in the midst of a picture has lost nothing: there was no sample before.
                self.lost if told is not None else 0,
                self.loss.is_damaged,
                changed,
                self.discontinuity,
            )
        )
        self.lost = 0
        self.discontinuity = False

    def grown(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self.size_bytes > MAX_UNIT_BYTES:
            self.lost += 1
            self._unit_hole = self.has_picture
            self._break()
        else:
            self.gather()

    def _break(self) -> None:
        """Give up the access unit in progress."""
        self.broken = True
        self.drop_unit()

    def written(self, scratch: memoryview, begin: int, unit_at: int, nal_at: int, end: int) -> None:
        """The fast path wrote; see `append_written`."""
        self.append_written(scratch, begin, unit_at, nal_at, end)
        self.grown(0)

    # Batches

    def take_batch(self) -> SampleBatch | None:
        """The samples since the last call."""
        return self.take_parts(self.pts_90k if self.has_picture else None, self.lost)

    def finish(self) -> SampleBatch | None:
        """The samples since the last call, and the access unit in progress if it is whole."""
        is_whole = self.is_over or (self.marker and self.fragment == NO_FRAGMENT)
        self._forget_fragment()
        if self.has_picture and is_whole:
            self._end_unit()
        return self.take_batch()

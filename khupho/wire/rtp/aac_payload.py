"""AAC payloads (RFC 3640 sections 3.2 and 3.3.6): AU headers, then access units or a part of one."""

from __future__ import annotations

from khupho.media.aac import has_adts
from khupho.media.bits import BitReader, BitsError
from khupho.wire.rtp.track_spec import AacLayout

MAX_FRAME_BYTES = 64 * 1024
MAX_FRAMES = 256
"""Of one packet."""


class AacFrames:
    """Takes payloads, gives access units. Holds one that comes in parts until it is whole.

    `damaged` counts payloads that could not be used; whoever reads it sets it back.
    """

    __slots__ = ("_part", "_part_index", "_part_timestamp", "_wanted_bytes", "damaged", "layout")

    def __init__(self, layout: AacLayout) -> None:
        self.layout = layout
        self.damaged = 0
        self._part = bytearray()
        self._part_index = 0
        self._part_timestamp = 0
        self._wanted_bytes = 0

    def forget(self) -> None:
        """A packet is missing: what is held is of no use."""
        self._part = bytearray()
        self._wanted_bytes = 0

    def _give_up(self) -> None:
        """Another access unit begins: one that isn't whole is damaged."""
        if self._wanted_bytes:
            self.damaged += 1
            self.forget()

    def take(self, payload: memoryview, timestamp: int) -> list[tuple[int, bytes]]:
        """Access units, each with its place counted in frames from the packet's timestamp."""
        if has_adts(payload):
            return [(0, bytes(payload))]
        try:
            headers, begin = self._headers(payload)
        except BitsError:
            self.damaged += 1
            return []
        data = payload[begin:]
        if not headers:
            return self._without_headers(data)
        if len(headers) == 1 and (headers[0][0] > len(data) or self._wanted_bytes):
            return self._take_part(headers[0], data, timestamp)
        self._give_up()
        frames: list[tuple[int, bytes]] = []
        position = 0
        for size_bytes, index in headers:
            if position + size_bytes > len(data):
                self.damaged += 1
                break
            if size_bytes:
                frames.append((index, bytes(data[position : position + size_bytes])))
            position += size_bytes
        return frames

    def _without_headers(self, data: memoryview) -> list[tuple[int, bytes]]:
        size_bytes = self.layout.constant_size_bytes or len(data)
        pieces = range(0, min(len(data), MAX_FRAMES * max(size_bytes, 1)), max(size_bytes, 1))
        return [(n, bytes(data[at : at + size_bytes])) for n, at in enumerate(pieces)]

    def _take_part(
        self, header: tuple[int, int], data: memoryview, timestamp: int
    ) -> list[tuple[int, bytes]]:
        """A fragment: its header tells the whole access unit's size (section 3.2.3)."""
        size_bytes, index = header
        goes_on = self._wanted_bytes == size_bytes and self._part_timestamp == timestamp
        if not goes_on:
            self._give_up()
            if size_bytes <= len(data):
                return [(index, bytes(data[:size_bytes]))]
            if size_bytes > MAX_FRAME_BYTES:
                self.damaged += 1
                return []
            self._wanted_bytes, self._part_timestamp = size_bytes, timestamp
            self._part_index = index
        self._part += data
        if len(self._part) < size_bytes:
            return []
        whole = bytes(self._part[:size_bytes])
        self.forget()
        return [(self._part_index, whole)]

    def _headers(self, payload: memoryview) -> tuple[list[tuple[int, int]], int]:
        """Sizes and indices, and where the access units begin. Raises `BitsError`."""
        layout = self.layout
        begin = 0
        headers: list[tuple[int, int]] = []
        if layout.size_bits or layout.index_bits:
            bits = BitReader(bytes(payload))
            end = 16 + bits.u(16)
            begin = (end + 7) // 8
            if begin > len(payload):
                raise BitsError("AU headers longer than the packet")
            index = -1
            while bits.position_bits < end and len(headers) < MAX_FRAMES:
                size_bytes = bits.u(layout.size_bits) or layout.constant_size_bytes
                if index < 0:
                    index = bits.u(layout.index_bits)
                    first = index
                else:
                    index += bits.u(layout.index_delta_bits) + 1
                self._skip_rest(bits)
                headers.append((size_bytes, index - first))
            if bits.position_bits > end:
                raise BitsError("an AU header is cut")
        if layout.auxiliary_size_bits:
            auxiliary = BitReader(bytes(payload), begin)
            size_bits = auxiliary.u(layout.auxiliary_size_bits)
            begin += (layout.auxiliary_size_bits + size_bits + 7) // 8
            if begin > len(payload):
                raise BitsError("auxiliary data longer than the packet")
        return headers, begin

    def _skip_rest(self, bits: BitReader) -> None:
        layout = self.layout
        if layout.cts_delta_bits and bits.flag():
            bits.skip(layout.cts_delta_bits)
        if layout.dts_delta_bits and bits.flag():
            bits.skip(layout.dts_delta_bits)
        if layout.has_random_access:
            bits.skip(1)
        bits.skip(layout.stream_state_bits)

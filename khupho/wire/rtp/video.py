"""A video track: RTP packets in, access units out."""

from __future__ import annotations

from khupho.media.formats import Codec
from khupho.media.reorder import DEFAULT_FRAME_DURATION_90K
from khupho.media.samples import SampleBatch
from khupho.wire.rtp.access_units import AccessUnits
from khupho.wire.rtp.h264_payload import take_h264
from khupho.wire.rtp.h265_payload import take_h265
from khupho.wire.rtp.packet import RtpHeader
from khupho.wire.rtp.timeline import Timeline
from khupho.wire.rtp.track import TrackReader
from khupho.wire.rtp.track_spec import TrackSpec


class VideoReader(TrackReader):
    """H.264 or H.265."""

    __slots__ = ("_has_don", "_is_h264", "units")

    def __init__(self, spec: TrackSpec) -> None:
        super().__init__(spec)
        timeline = Timeline(spec.clock_hz, DEFAULT_FRAME_DURATION_90K * spec.clock_hz // 90_000)
        self.units = AccessUnits(spec.codec, spec.format, timeline)
        self._is_h264 = spec.codec is Codec.H264
        self._has_don = spec.has_decoding_order_numbers

    def hole(self, packets: int) -> None:
        self.units.hole(packets, suspect=self.suspect)

    def payload(self, header: RtpHeader, buffer: memoryview) -> None:
        units = self.units
        units.timestamp = header.timestamp
        payload = buffer[header.start : header.end]
        if self._is_h264:
            take_h264(units, payload)
        else:
            take_h265(units, payload, self._has_don)
        units.packet_ends(header.marker)

    def take_batch(self) -> SampleBatch | None:
        return self.units.take_batch()

    def finish(self) -> SampleBatch | None:
        return self.units.finish()

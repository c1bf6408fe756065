"""Parameter sets as they come in band, and the track format they make (quirks 1, 2, 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping

from khupho.media import h264, h265
from khupho.media.formats import Codec, TrackFormat, VideoFormat
from khupho.media.h264_sps import parse_sps
from khupho.media.nal import MAX_PARAMETER_SET_BYTES, ParameterSetError

MAX_PENDING = 64
"""Of one access unit; a real one has three or four."""


class ParameterSets:
    """Collects parameter sets; `apply` turns them into the format of the picture that follows.

    What stands in band wins over the SDP. A set that cannot be read changes nothing.
    """

    __slots__ = (
        "_codec",
        "_known",
        "_pps",
        "_sps",
        "_tried",
        "_vps",
        "format",
        "pending",
        "splits_pictures",
    )

    def __init__(self, codec: Codec, declared: TrackFormat | None) -> None:
        self.format: VideoFormat | None = None
        self.pending: list[bytes] = []
        """Came since the last picture began."""
        self.splits_pictures = True
        """Two pictures of one time are two frames. False where they may be a frame's two fields."""
        self._codec = codec
        self._vps = b""
        self._sps = b""
        self._pps: dict[int, bytes] = {}
        self._known: frozenset[bytes] = frozenset()
        self._tried: tuple[bytes, ...] = ()
        if isinstance(declared, VideoFormat):
            self.pending = list(declared.parameter_sets)
            self.apply()

    def add(self, nal: bytes) -> None:
        """Take a VPS, SPS or PPS. One beyond all bounds is ignored."""
        if self.knows(nal):
            return
        if len(nal) <= MAX_PARAMETER_SET_BYTES and len(self.pending) < MAX_PENDING:
            self.pending.append(nal)

    def knows(self, nal: bytes) -> bool:
        """Whether it changes nothing, since it counts already."""
        return not self.pending and nal in self._known

    def apply(self) -> None:
        """Let what has come count from here on."""
        pending, self.pending = self.pending, []
        if self._known.issuperset(pending):
            return
        vps, sps, pps = self._vps, self._sps, {}
        is_h264 = self._codec is Codec.H264
        for nal in pending:
            kind = h264.nal_type(nal[0]) if is_h264 else h265.nal_type(nal[0])
            if kind in (h264.NAL_SPS, h265.NAL_SPS):
                sps = nal
            elif kind == h265.NAL_VPS:
                vps = nal
            else:
                pps.update(_pps_by_id(nal, is_h264))
        if sps == self._sps or not pps:
            # PPS that come one by one are of one set; those of another SPS are not.
            pps = {**self._pps, **pps}
        self._vps, self._sps, self._pps = vps, sps, pps
        self._known = frozenset((vps, sps, *pps.values()))
        self._make(vps, sps, pps)

    def _make(self, vps: bytes, sps: bytes, pps: Mapping[int, bytes]) -> None:
        units = [pps[number] for number in sorted(pps)]
        tried = (vps, sps, *units)
        if not sps or not units or tried == self._tried:
            return
        self._tried = tried
        try:
            if self._codec is Codec.H264:
                made = h264.video_format(sps, units)
                self.splits_pictures = parse_sps(made.parameter_sets[0]).frame_mbs_only
            else:
                made = h265.video_format(vps, sps, units)
        except ParameterSetError:
            return
        if made != self.format:
            self.format = made


def _pps_by_id(nal: bytes, is_h264: bool) -> dict[int, bytes]:
    try:
        parse = h264.parse_pps_ids if is_h264 else h265.parse_pps_ids
        return {parse(nal)[0]: nal}
    except ParameterSetError:
        return {}

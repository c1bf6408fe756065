"""Whether a session still brings what it is for. Counts packets, not key frames: smart codecs send those
minutes apart (quirk 46)."""

from __future__ import annotations

from khupho.units import US_PER_S
from khupho.wire.rtsp.errors import RtspError

MEDIA_PATIENCE_US = 10 * US_PER_S
"""Without a media packet for so long the session ends (quirk 50)."""
FORGOTTEN_PATIENCE_US = 3 * US_PER_S
"""The same once the camera says that it knows the session no more: some say so wrongly (quirk 21)."""
PICTURE_PATIENCE_US = 60 * US_PER_S
"""Media flows, but so long no whole picture came of it: a new session may begin with a key frame."""


class Watchdog:
    """Of one session, from the answer to PLAY."""

    __slots__ = ("_media_us", "_picture_us", "_video_packets", "_video_us", "_where")

    def __init__(self, where: str, mono_us: int) -> None:
        self._where = where
        self._media_us = self._video_us = self._picture_us = mono_us
        self._video_packets = 0

    def media(self, mono_us: int) -> None:
        """A media packet came."""
        self._media_us = mono_us

    def picture(self, mono_us: int) -> None:
        """A whole picture came."""
        self._picture_us = mono_us

    def look(self, video_packets: int, mono_us: int, *, forgotten: bool = False) -> None:
        """Raise `RtspError` if something has been missing for too long. `video_packets` so far;
        `forgotten`: the camera says that it knows the session no more."""
        patience_us = FORGOTTEN_PATIENCE_US if forgotten else MEDIA_PATIENCE_US
        if mono_us - self._media_us > patience_us:
            raise RtspError(
                "The camera sends no picture",
                where=self._where,
                advice="If it stays so, restart the camera, or look whether its channel has a source",
            )
        if video_packets != self._video_packets:
            self._video_packets, self._video_us = video_packets, mono_us
        if mono_us - self._video_us > MEDIA_PATIENCE_US:
            raise RtspError(
                "The camera sends sound but no picture",
                where=self._where,
                advice="Switch the camera's picture on, or restart it; its sound is kept meanwhile",
            )
        if mono_us - self._picture_us > PICTURE_PATIENCE_US:
            raise RtspError(
                "The camera sends data, but no whole picture comes of it",
                where=self._where,
                advice="If it stays so, and the camera's picture is well in its own app, please report it",
            )

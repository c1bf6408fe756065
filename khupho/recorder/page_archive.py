"""The archive as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from khupho.archive.archive import Archive
from khupho.archive.catalog.catalog import CATALOG_NAME, open_reader
from khupho.archive.catalog.day_minutes import Minute, minutes_between
from khupho.archive.place.place import WRITE_ALARM
from khupho.errors import Fault
from khupho.recorder.http.status import ArchiveView
from khupho.recorder.snapshot import Trouble

_UNEXPLAINED = "The disk does not take this camera's footage"
_UNEXPLAINED_ADVICE = "Look at the archive's disk: df, dmesg"


class PageArchive:
    """Reads what the keeper last saw, and for today's bars the catalog."""

    def __init__(self, archive: Archive, root: Path) -> None:
        self._archive = archive
        self._catalog = root / CATALOG_NAME

    def view(self) -> ArchiveView:
        """Disk and forecast. Quick: nothing is asked of the disk."""
        seen = self._archive.snapshot()
        forecast = seen.forecast
        return ArchiveView(
            total_bytes=seen.total_bytes,
            free_bytes=seen.free_bytes,
            footage_bytes=seen.footage_bytes,
            writes=not self._archive.refused(),
            is_measured=forecast is not None and forecast.needed_bytes > 0,
            breaks_in_us=forecast.breaks_in_us if forecast is not None else None,
            needed_bytes=forecast.needed_bytes if forecast is not None else 0,
            holds_percent=forecast.holds_percent if forecast is not None else 100,
        )

    def refused(self) -> Mapping[str, Trouble]:
        """Cameras whose picture the disk does not take, and why."""
        cameras = {camera for camera, stream in self._archive.refused() if stream == "main"}
        if not cameras:
            return {}
        alarm = self._archive.alarms.find(WRITE_ALARM)
        if alarm is None:
            trouble = Trouble(
                Fault.DISK, _UNEXPLAINED, "", _UNEXPLAINED_ADVICE, self._archive.arrival().utc_us
            )
        else:
            error = alarm.error
            trouble = Trouble(
                error.fault, error.what, error.where, error.advice, alarm.since_utc_us
            )
        return dict.fromkeys(cameras, trouble)

    def minutes(
        self, camera: str, stream: str, first_minute: int, end_minute: int
    ) -> Sequence[Minute]:
        """For a thread of its own. Raises `CatalogError`."""
        # Opened for each question: a catalog that was made anew is another file.
        catalog = open_reader(self._catalog, self._archive.archive_id.hex())
        try:
            return minutes_between(catalog, camera, stream, first_minute, end_minute)
        finally:
            catalog.close()

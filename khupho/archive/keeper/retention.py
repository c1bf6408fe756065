"""Retention carried out: the plan is journalled, then its files go, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from khupho.archive.alarms import AlarmBoard
from khupho.archive.catalog.queries import CatalogError
from khupho.archive.clock.trust import FootageClock
from khupho.archive.journal.entries import GuaranteeBroken, SegmentDeleted
from khupho.archive.keeper.books import Books, lay_ballast, remove_segment
from khupho.archive.retention.disk_use import DiskUse
from khupho.archive.retention.forecast import Forecast, forecast
from khupho.archive.retention.holds import HeldRanges, Hold
from khupho.archive.retention.plan import DaysPolicy, Deletion, DiskRoom, RetentionPlan, plan
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_DAY, format_utc

_FILES_A_STEP = 32
_GB = 1_000_000_000
ROOM_ALARM, GUARANTEE_ALARM, CAPACITY_ALARM, DELETE_ALARM = (
    "no room", "guarantee broken", "capacity", "deletion",
)  # fmt: skip


class RetentionError(KhuphoError):
    """Footage could not be deleted as planned, or deleting it doesn't help."""

    fault = Fault.DISK


class Retention:
    """Decides by `retention.plan`, deletes, and foretells. For the keeper's thread alone."""

    def __init__(
        self,
        books: Books,
        clock: FootageClock,
        alarms: AlarmBoard,
        free_space_percent: Callable[[], int],
        room: Callable[[int, int], DiskRoom] | None = None,
    ) -> None:
        """`room(root_fd, percent)` is for tests; else the file system is asked."""
        self._books = books
        self._clock = clock
        self._alarms = alarms
        self._percent = free_space_percent
        self._room = room or disk_room
        self.policies: Mapping[str, DaysPolicy] = {}
        self.use = DiskUse()
        self.forecast: Forecast | None = None
        self._broken_utc_us = 0
        """When a guarantee was broken last."""

    def room(self) -> DiskRoom:
        """The archive's disk at this moment. Raises `OSError`."""
        return self._room(self._books.root_fd, self._percent())

    def run(self, holds: Sequence[Hold], newest_end_utc_us: int) -> Iterator[None]:
        """Delete what is to be deleted; yields after every few files, so that flushes aren't late.

        Raises `KhuphoError`, `OSError`.
        """
        catalog = self._books.catalog
        if catalog is None:
            return
        now_us = self._clock.arrival().utc_us
        # What went and isn't noted there yet would be planned again.
        self._books.commit()
        made = plan(
            catalog.stored(),
            self.policies,
            HeldRanges(holds),
            self.room(),
            now_utc_us=now_us,
            clock_confirmed=self._clock.confirmed,
            newest_end_utc_us=newest_end_utc_us,
        )
        for broken in made.broken:
            self._books.note(GuaranteeBroken.of(broken), now_us)
        for begin in range(0, len(made.deletions), _FILES_A_STEP):
            self._delete(made.deletions[begin : begin + _FILES_A_STEP], now_us)
            yield
        self._tell(made, now_us)
        if not made.lacking_bytes:
            lay_ballast(self._books.root_fd)

    def _delete(self, deletions: Sequence[Deletion], now_us: int) -> None:
        """Journal, sync, remove, and only then forget: a kill in between is made good at the start."""
        books = self._books
        for deletion in deletions:
            books.note(SegmentDeleted.of(deletion), now_us)
        books.sync_journal_on_a_full_disk()
        refused: OSError | None = None
        today = format_utc(now_us)[:10]
        for deletion in deletions:
            try:
                remove_segment(books.root_fd, deletion.segment.relative_path, keep_day=today)
                self.use.remove(deletion.segment)
            except OSError as error:
                refused = error
        books.commit()
        if refused is None:
            self._alarms.clear(DELETE_ALARM)
            return
        self._alarms.sound(
            DELETE_ALARM,
            RetentionError(
                f"Footage that is due cannot be deleted: {refused.strerror}",
                where=str(refused.filename or ""),
                advice="Check owner and mode of the archive's files, and its disk (dmesg)",
            ),
        )

    def _tell(self, made: RetentionPlan, now_us: int) -> None:
        if made.broken:
            worst = min(made.broken, key=lambda broken: broken.kept_us)
            days = worst.kept_us / US_PER_DAY
            self._alarms.sound(
                GUARANTEE_ALARM,
                RetentionError(
                    "Guaranteed footage had to be deleted, since the disk is full",
                    where=f"{worst.camera}: {days:.1f} of {worst.guaranteed_days} days are left",
                    advice="Make room on the archive's disk, add one, or promise fewer days",
                ),
            )
            self._broken_utc_us = now_us
        elif now_us - self._broken_utc_us >= US_PER_DAY:
            # It stands for a day, so that somebody sees it.
            self._alarms.clear(GUARANTEE_ALARM)
        if made.lacking_bytes:
            self._alarms.sound(
                ROOM_ALARM,
                RetentionError(
                    "The disk is full and no footage may be deleted to make room",
                    where=f"{made.lacking_bytes / _GB:.1f} GB are lacking",
                    advice="Release holds (khupho archive holds), or remove what else lies on that disk",
                ),
            )
        elif made.is_whole:
            self._alarms.clear(ROOM_ALARM)

    def foretell(self) -> None:
        """Compare what was promised with what the disk can hold. Raises `KhuphoError`, `OSError`."""
        catalog = self._books.catalog
        if catalog is None:
            raise CatalogError("The catalog isn't open yet")
        room = self.room()
        uses = self.use.uses(self.policies, catalog.oldest(), self._clock.arrival().utc_us)
        room_bytes = self.use.total_bytes + room.free_bytes - room.reserve_bytes
        self.forecast = forecast(uses, room_bytes - catalog.held_bytes())
        warning = self.forecast.warning()
        if warning is None:
            self._alarms.clear(CAPACITY_ALARM)
        else:
            self._alarms.sound(CAPACITY_ALARM, warning)


def disk_room(root_fd: int, free_space_percent: int) -> DiskRoom:
    """What the file system says. Raises `OSError`."""
    status = os.fstatvfs(root_fd)
    # Less what only root may use, or the rest would never be reached.
    reserved = status.f_bfree - status.f_bavail
    return DiskRoom(
        (status.f_blocks - reserved) * status.f_frsize,
        status.f_bavail * status.f_frsize,
        free_space_percent,
    )

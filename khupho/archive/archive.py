"""One archive, open for recording: writers, the keeper's thread, the clock, the alarms."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from khupho.archive.alarms import Alarm, AlarmBoard
from khupho.archive.archive_opening import note_start, open_books, remember_ends
from khupho.archive.clock.kernel import kernel_synchronised
from khupho.archive.clock.trust import ClockFact, FootageClock
from khupho.archive.events import Arrival
from khupho.archive.following import Following
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.event_queue import MAX_EVENTS, EventQueue
from khupho.archive.keeper.intake import newest_segments
from khupho.archive.keeper.keeper import SILENCE_US, Keeper
from khupho.archive.keeper.retention import disk_room
from khupho.archive.keeper.snapshot import ArchiveSnapshot
from khupho.archive.place.identity import WritingLock, open_archive
from khupho.archive.place.place import DiskError, Place
from khupho.archive.proof.checkpoint import recorder_id
from khupho.archive.retention.plan import DaysPolicy, DiskRoom
from khupho.archive.segments.stream_writer import StreamWriter
from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.units import US_PER_S

CLOSE_PATIENCE_S = 15.0
_MAX_FACTS = 10_000

logger = logging.getLogger("khupho.archive")


class ArchiveAlarms(AlarmBoard):
    """The archive's alarms, and the one that the keeper cannot raise itself: that it hangs."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._board_clock = clock
        self.keeper: Keeper | None = None

    def standing(self) -> tuple[Alarm, ...]:
        """All that stand, oldest first."""
        standing = super().standing()
        keeper = self.keeper
        silent_us = keeper.silent_us if keeper is not None else 0
        if silent_us <= SILENCE_US:
            return standing
        error = DiskError(
            f"The archive's disk has not answered for {silent_us // US_PER_S} s",
            where="keeper",
            advice="Look at it: dmesg, iostat -x 5. Recording goes on in memory as long as the kernel can",
        )
        silent = Alarm(self._board_clock.utc_us() - silent_us, error)
        return tuple(sorted((*standing, silent), key=lambda alarm: alarm.since_utc_us))


class ArchiveOptions(NamedTuple):
    """What tests turn by hand."""

    has_thread: bool = True
    """Else `archive.keeper.round` is to be called."""
    max_events: int = MAX_EVENTS
    room: Callable[[int, int], DiskRoom] = disk_room
    synchronised: Callable[[], bool | None] = kernel_synchronised


class Archive:
    """What the recorder has of an archive. All of it is quick and may be called on the loop's thread,
    but for `open` and `close`."""

    def __init__(
        self,
        lock: WritingLock,
        place: Place,
        books: Books,
        queue: EventQueue,
        footage_clock: FootageClock,
        keeper: Keeper,
        alarms: ArchiveAlarms,
    ) -> None:
        """For `open`."""
        self.alarms: AlarmBoard = alarms
        self.clock = footage_clock
        self.following = Following(queue)
        """Where live viewers learn what is appended."""
        self._lock = lock
        self._place = place
        self._books = books
        self._keeper = keeper

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        key: Ed25519PrivateKey,
        clock: Clock,
        flush_interval_s: int = 10,
        free_space_percent: int = 5,
        policies: Mapping[str, DaysPolicy] | None = None,
        options: ArchiveOptions | None = None,
    ) -> Archive:
        """Become the archive's writer; it is made if there is none. `key` signs its checkpoints.

        Footage may be written as soon as this returns; what an unclean end left is made good meanwhile.
        Raises `ArchiveBusyError`, `ArchiveIdentityError`, and other `KhuphoError`.
        """
        options = options or ArchiveOptions()
        now_us = clock.utc_us()
        recorder = recorder_id(key.public_key())
        identity = open_archive(root, recorder, now_us)
        lock = WritingLock.take(root, now_us)
        try:
            alarms = ArchiveAlarms(clock)
            place = Place(root, identity.archive_id, clock, alarms)
            newest = newest_segments(place.root_fd)
            newest_us = remember_ends(place, newest)
            facts: deque[ClockFact] = deque(maxlen=_MAX_FACTS)
            footage_clock = FootageClock(clock, options.synchronised, newest_us, facts.append)
            books = open_books(root, place.root_fd, identity.archive_id, key, alarms, now_us)
            note_start(books, lock, recorder, footage_clock.arrival().utc_us)
        except BaseException:
            lock.abandon()
            raise
        queue = EventQueue(options.max_events)
        keeper = Keeper(
            place, books, queue, clock, footage_clock, alarms, facts,
            newest=newest, last_end=lock.last_end, flush_interval_s=flush_interval_s,
            free_space_percent=free_space_percent, room=options.room,
        )  # fmt: skip
        keeper.retention.policies = dict(policies or {})
        alarms.keeper = keeper
        archive = cls(lock, place, books, queue, footage_clock, keeper, alarms)
        if options.has_thread:
            keeper.start()
        return archive

    def writer(self, camera: str, stream: str) -> StreamWriter:
        """Where a stream's samples go: one for each session."""
        return StreamWriter(self._place, camera, stream, self.following)

    def arrival(self) -> Arrival:
        """Now, as footage is dated."""
        return self.clock.arrival()

    @property
    def archive_id(self) -> bytes:
        return self._place.archive_id

    @property
    def keeper(self) -> Keeper:
        """For tests that have no thread, and for measurements."""
        return self._keeper

    def set_policies(self, policies: Mapping[str, DaysPolicy]) -> None:
        """How long each camera's footage is kept, from the next round on."""
        self._keeper.retention.policies = dict(policies)

    def set_limits(self, flush_interval_s: int, free_space_percent: int) -> None:
        """The two settings that count while it runs."""
        self._keeper.flush_interval_us = flush_interval_s * US_PER_S
        self._keeper.free_space_percent = free_space_percent

    def refused(self) -> frozenset[tuple[str, str]]:
        """Cameras and streams whose footage the disk does not take at this moment; why, the alarm
        `place.place.WRITE_ALARM` says."""
        return self._place.refused()

    def snapshot(self) -> ArchiveSnapshot:
        """How the archive stood at the keeper's last look."""
        return self._keeper.snapshot

    def close(self, patience_s: float = CLOSE_PATIENCE_S) -> bool:
        """Bring all to the disk and end; close all writers before. Waits at most so long.

        Whether that was done: if not, the next start looks closely. After it nothing else may be called.
        """
        # What a slow disk kept in memory must be written, and told, before the keeper's last flush.
        drained = self._place.drain(patience_s)
        done = self._keeper.stop(patience_s) and drained
        if not done:
            logger.error("The archive was closed without order: the next start makes it good")
            self._lock.abandon()
            return False
        self._books.close()
        try:
            self._lock.release()
        except KhuphoError as error:
            logger.error("%s", error)
            return False
        finally:
            self._place.close()
        return True

"""The keeper: one thread that makes what the writers append durable, known, proven, and in time deleted.

The loop never waits for it. It wakes once a second, or more often with long work at hand, takes the events
that have gathered, and every flush interval brings all to the disk in the order that `keeper.books` tells.
Whatever fails is an alarm and is tried again; a bug in one part doesn't stop the others. `beat_mono_us` is
when it last got something done: the loop sees by it that the disk doesn't answer, even while this thread
hangs in a system call.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from khupho.archive.alarms import AlarmBoard
from khupho.archive.catalog.queries import CatalogBrokenError
from khupho.archive.clock.trust import ClockFact, FootageClock
from khupho.archive.journal.entries import ClockChanged, DiskFault, Ended, Repaired
from khupho.archive.journal.hold_requests import settle_request, waiting_requests
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.event_queue import EventQueue
from khupho.archive.keeper.flush import Flusher
from khupho.archive.keeper.intake import Intake, Newest, newest_segments
from khupho.archive.keeper.retention import Retention, disk_room
from khupho.archive.keeper.snapshot import ArchiveSnapshot, Survey
from khupho.archive.place.identity import LastEnd
from khupho.archive.place.place import WRITE_ALARM, Place, explain_disk_error
from khupho.archive.proof.checkpoint import CheckpointError
from khupho.archive.retention.disk_use import DiskUse
from khupho.archive.retention.plan import DiskRoom, Stored
from khupho.clock import Clock
from khupho.errors import KhuphoError
from khupho.units import US_PER_MINUTE, US_PER_MS, US_PER_S

ROUND_S = 1.0
BUSY_ROUND_S = 0.25
"""Between rounds while there is long work to go on with."""
SILENCE_US = 20 * US_PER_S
"""Without a sign of life for so long, the disk doesn't answer."""
_EVENTS_A_ROUND = 20_000
_WATCH_US = 5 * US_PER_S
_LOOK_US = US_PER_S
_RETENTION_US = US_PER_MINUTE
_CHECKPOINT_US = US_PER_MINUTE
_SNAPSHOT_US = 15 * US_PER_S
_FORECAST_US = 5 * US_PER_MINUTE
_FIRST_FORECAST_US = 30 * US_PER_S
_WORK_US = 50 * US_PER_MS
"""Long work goes on for so long in a round: a fifth of the time."""
_LAST_WORK_US = 5 * US_PER_S
"""At the end it is given so long to be done."""
CATALOG_ALARM, CLOCK_ALARM, PROOF_ALARM, KEEPER_ALARM = "catalog", "clock", "proof", "keeper"

logger = logging.getLogger("khupho.archive.keeper")


class KeeperError(KhuphoError):
    """The keeper itself is in trouble."""


class Keeper:
    """The thread and its schedule. `round` does what is due; the thread calls it again and again."""

    def __init__(
        self,
        place: Place,
        books: Books,
        queue: EventQueue,
        clock: Clock,
        footage_clock: FootageClock,
        alarms: AlarmBoard,
        clock_facts: deque[ClockFact],
        *,
        newest: Newest,
        last_end: LastEnd,
        flush_interval_s: int,
        free_space_percent: int,
        room: Callable[[int, int], DiskRoom] = disk_room,
    ) -> None:
        """`clock_facts` is filled by the footage clock on any thread; `newest` are the segments that were
        there before this run; `room` is for tests."""
        self.flush_interval_us = flush_interval_s * US_PER_S
        self.free_space_percent = free_space_percent
        self.beat_mono_us = clock.mono_us()
        """When something was done last; read by any thread."""
        self.snapshot = ArchiveSnapshot()
        self.ended_well = False
        """All is on the disk and signed; the next start needn't look closely."""
        self._place = place
        self._books = books
        self._queue = queue
        self._clock = clock
        self._footage_clock = footage_clock
        self._alarms = alarms
        self._clock_facts = clock_facts
        self._newest = newest
        self._last_end = last_end
        self.retention = Retention(
            books, footage_clock, alarms, lambda: self.free_space_percent, room
        )
        self.flusher = Flusher(books, queue, alarms, self._closed, self._beat)
        self.flusher.uncertain = set(newest) if last_end is not LastEnd.CLEAN else set()
        self._survey = Survey(place, books, queue, self.retention, self.flusher)
        self._needs_reopening = False
        """Another descriptor leads to the archive now, and the books aren't open below it yet."""
        self._disk_refuses = False
        self._is_beside_writers = False
        self._followed: frozenset[str] = frozenset()
        self._is_complete = False
        """The catalog has all that it can have at this moment."""
        self._taking_in: Iterator[None] | None = self._take_in()
        self._deleting: Iterator[None] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        now_us = clock.mono_us()
        self._due_us = dict.fromkeys(("watch", "look", "retention", "snapshot"), now_us)
        self._due_us["flush"] = now_us + self.flush_interval_us
        self._due_us["checkpoint"] = now_us + _CHECKPOINT_US
        self._due_us["forecast"] = now_us + _FIRST_FORECAST_US

    # The thread

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_s: float) -> bool:
        """Bring all to the disk and end; whether that was done in time."""
        self._stopping.set()
        if self._thread.ident is None:
            self.finish()
        else:
            self._thread.join(patience_s)
        return self.ended_well

    def _run(self) -> None:
        while not self._stopping.wait(BUSY_ROUND_S if self._has_work else ROUND_S):
            self.round()
        self.finish()

    @property
    def _has_work(self) -> bool:
        return self._taking_in is not None or self._deleting is not None

    @property
    def silent_us(self) -> int:
        """For how long there was no sign of life."""
        return self._clock.mono_us() - self.beat_mono_us

    def _beat(self) -> None:
        self.beat_mono_us = self._clock.mono_us()

    # One round

    def round(self) -> None:
        """Whatever is due. Never raises."""
        now_us = self._clock.mono_us()
        self._beat()
        if self._is_due("watch", now_us, _WATCH_US):
            self._guarded(self._watch)
        self._guarded(self._note_clock)
        self._guarded(self._advance_intake)
        self._guarded(self._take_events)
        if self._is_due("look", now_us, _LOOK_US):
            self._guarded(self._look)
        if self._is_due("flush", now_us, self.flush_interval_us):
            self._guarded(self._flush)
        if self._is_due("checkpoint", now_us, _CHECKPOINT_US):
            self._guarded(self._sign)
        if self._books.is_caught_up:
            if self._is_due("retention", now_us, _RETENTION_US):
                self._deleting = self._deleting or self._delete()
            if self._is_due("forecast", now_us, _FORECAST_US):
                self._guarded(self.retention.foretell)
            if self._is_due("snapshot", now_us, _SNAPSHOT_US):
                self._guarded(self._take_snapshot)
            self._guarded(self._advance_deleting)
        self._beat()

    def _is_due(self, what: str, now_us: int, every_us: int) -> bool:
        if now_us < self._due_us[what]:
            return False
        self._due_us[what] = now_us + every_us
        return True

    def _guarded(self, part: Callable[[], None]) -> None:
        """One part of a round; what fails is told, and done again in its turn."""
        try:
            part()
            self._alarms.clear(f"{KEEPER_ALARM}/{part.__name__}")
        except CatalogBrokenError as error:
            self._guarded_renewal(error)
        except KhuphoError as error:
            self._tell(part.__name__, error)
        except OSError as error:
            self._tell(part.__name__, explain_disk_error(error, self._place.path))
        except Exception as error:
            logger.exception("The keeper met a bug in %s", part.__name__)
            bug = KeeperError(
                f"A fault of this program: {type(error).__name__}: {error}",
                where=f"keeper, {part.__name__}",
                advice="Recording goes on. Please report it with the log's lines",
            )
            self._tell(part.__name__, bug)

    def _tell(self, part: str, error: KhuphoError) -> None:
        if self._alarms.sound(f"{KEEPER_ALARM}/{part}", error):
            logger.error("%s", error, extra={"cause": part})

    # Its parts

    def _watch(self) -> None:
        self._place.watch()
        if self._place.root_fd != self._books.root_fd:
            self._needs_reopening = True
        if self._needs_reopening:
            self._books.reopen(self._place.root_fd)
            self.flusher.reopened()
            self._needs_reopening = False
            self._taking_in = self._take_in()

    def _note_clock(self) -> None:
        while self._clock_facts:
            fact = self._clock_facts.popleft()
            self._books.note(ClockChanged.of(fact), fact.utc_us)

    def _take_events(self) -> None:
        self.flusher.take(self._queue.take(_EVENTS_A_ROUND), self._utc_us())
        if self._queue.take_lost_sight():
            self._renew_intake(lost_sight=True)

    def _look(self) -> None:
        """What costs little and is wanted soon."""
        trouble = self._footage_clock.trouble()
        if trouble is None:
            self._alarms.clear(CLOCK_ALARM)
        else:
            self._alarms.sound(CLOCK_ALARM, trouble)
        self._note_disk()
        room = self.retention.room()
        if room.free_bytes < room.reserve_bytes:
            self._due_us["retention"] = 0
        if self._books.is_caught_up:
            self._take_requests()

    def _note_disk(self) -> None:
        """A line when streams begin to be refused, and one when all write again."""
        refuses = bool(self._place.refused())
        if refuses == self._disk_refuses:
            return
        self._disk_refuses = refuses
        if not refuses:
            self._books.note(DiskFault(state="back"), self._utc_us())
            return
        alarm = self._alarms.find(WRITE_ALARM)
        error = alarm.error.what if alarm is not None else ""
        self._books.note(DiskFault(state="failed", error=error), self._utc_us())

    def _take_requests(self) -> None:
        books = self._books
        requests = waiting_requests(books.root_fd)
        for request in requests:
            if request.entry is None:
                logger.warning("The request %s cannot be understood", request.name)
            else:
                books.note(request.entry, self._utc_us())
        if requests:
            books.sync_journal()
            books.commit()
            for request in requests:
                settle_request(books.root_fd, request.name)

    def _flush(self) -> None:
        self.flusher.flush(self._utc_us())

    def _sign(self) -> None:
        books = self._books
        try:
            books.checkpoints.sign(books.proof)
        except CheckpointError as error:
            # Told for good, in the journal and until the next start; what comes from now on is signed anew.
            self._alarms.sound(PROOF_ALARM, error)
            logger.error("%s", error)
            books.checkpoints.begin_anew()
            books.note(Repaired(file="proof/leaves", cut_bytes=0, cause=error.what), self._utc_us())

    def _closed(self, segment: Stored) -> None:
        self.retention.use.add(segment)

    def _take_snapshot(self) -> None:
        catalog = self._books.catalog
        if catalog is not None:
            self.snapshot = self._survey.snapshot(catalog, self._utc_us())

    def _take_in(self) -> Iterator[None]:
        books = self._books
        broken = books.open_catalog(self._utc_us())
        if broken is not None:
            self._alarms.sound(CATALOG_ALARM, broken)
            logger.error("%s", broken, extra={"cause": "catalog"})
        yield from books.catch_up()
        if books.catalog is not None:
            self.retention.use = DiskUse(books.catalog.day_use())
        intake = Intake(
            books, self._newest, self._last_end, self._closed, self._utc_us,
            is_beside_writers=self._is_beside_writers, followed=self._followed,
        )  # fmt: skip
        yield from intake.steps()
        self._is_complete = not intake.left_for_later
        self.flusher.note_late_gaps(self._utc_us())
        self._alarms.clear(CATALOG_ALARM)

    def _advance_intake(self) -> None:
        if self._taking_in is None:
            return
        work, self._taking_in = self._taking_in, self._take_in()
        # Left so, to begin again, if it raises; what was done isn't done twice.
        self._taking_in = self._advance(work)

    def _advance_deleting(self) -> None:
        work, self._deleting = self._deleting, None
        self._deleting = self._advance(work)

    def _delete(self) -> Iterator[None]:
        catalog = self._books.catalog
        if catalog is not None:
            self._take_requests()
            yield from self.retention.run(catalog.holds(), catalog.newest_end_utc_us())

    def _advance(self, work: Iterator[None] | None) -> Iterator[None] | None:
        """Go on with long work for a moment; None once it is done."""
        if work is None:
            return None
        until_us = self._clock.mono_us() + _WORK_US
        for _ in work:
            self._beat()
            if self._clock.mono_us() >= until_us:
                return work
        return None

    # A broken catalog

    def _guarded_renewal(self, error: CatalogBrokenError) -> None:
        self._alarms.sound(CATALOG_ALARM, error)
        logger.error("%s", error, extra={"cause": "catalog"})
        self._guarded(self._renew_catalog)

    def _renew_catalog(self) -> None:
        """Put the catalog aside and make it anew from the files, while recording goes on."""
        self._books.put_catalog_aside(self._utc_us())
        self.flusher.forget_rows()
        self._renew_intake()

    def _renew_intake(self, *, lost_sight: bool = False) -> None:
        """Take in all that isn't being written at this moment."""
        newest = newest_segments(self._books.root_fd)
        # After the listing: what is opened from now on has later names.
        live = self._queue.live()
        self.flusher.take(self._queue.take(len(self._queue)), self._utc_us())
        if lost_sight:
            self.flusher.see_again(live)
        for segment in live:
            path, camera, stream = segment.relative_path, segment.camera, segment.stream
            if newest.get((camera, stream), "") >= path:
                # A name just before it: all older segments, not this one.
                newest[camera, stream] = path[:-1]
        self._followed = frozenset(self.flusher.paths)
        self._newest, self._last_end = newest, LastEnd.KILLED
        self._is_beside_writers = True
        self._taking_in = self._take_in()

    # The end

    def finish(self) -> None:
        """All that waits, once more and in order. Never raises."""
        self._guarded(self._finish)

    def _finish(self) -> None:
        until_us = self._clock.mono_us() + _LAST_WORK_US
        while self._taking_in is not None and self._clock.mono_us() < until_us:
            self._advance_intake()
        while len(self._queue):
            self.flusher.take(self._queue.take(_EVENTS_A_ROUND), self._utc_us())
            self._beat()
        self._note_clock()
        self._books.note(Ended(), self._utc_us())
        self.flusher.flush(self._utc_us())
        self._sign()
        if self._place.unfinished:
            self._place.watch()
        self.ended_well = (
            self._taking_in is None
            and self._is_complete
            and not self.flusher.segments
            and not self._place.unfinished
        )
        self.flusher.release()

    def _utc_us(self) -> int:
        return self._footage_clock.arrival().utc_us

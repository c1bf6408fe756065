"""How the archive stands, for the page: plain values that the keeper makes and any thread may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from khupho.archive.catalog.queries import CatalogQueries
from khupho.archive.keeper.books import Books
from khupho.archive.keeper.event_queue import EventQueue
from khupho.archive.keeper.flush import Flusher
from khupho.archive.keeper.retention import Retention
from khupho.archive.place.place import Place
from khupho.archive.retention.forecast import Forecast
from khupho.units import US_PER_DAY, US_PER_MS


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream's footage."""

    camera: str
    stream: str
    oldest_utc_us: int
    newest_utc_us: int
    """As far as it is flushed."""
    size_bytes: int
    """Closed segments of the last 24 hours."""
    covered_us: int
    """Of the last 24 hours."""
    missing_us: int
    """Of the last 24 hours, since the stream's first footage."""


@dataclass(frozen=True, slots=True)
class ArchiveSnapshot:
    """The whole archive. Empty until the keeper's first look."""

    taken_utc_us: int = 0
    total_bytes: int = 0
    """Of the file system."""
    free_bytes: int = 0
    footage_bytes: int = 0
    """Of closed segments."""
    floor_bytes: int = 0
    """What retention keeps free."""
    is_catalog_whole: bool = False
    """False while it is being made anew from the files."""
    segments_open: int = 0
    events_waiting: int = 0
    lost_frames: int = 0
    """Pictures that the disk did not take, since the start."""
    proof_leaves: int = 0
    streams: tuple[StreamFacts, ...] = ()
    oldest_utc_us: Mapping[str, int] = field(default_factory=dict)
    """When each camera's footage begins."""
    forecast: Forecast | None = None


class Survey:
    """Makes the snapshots. For the keeper's thread alone."""

    def __init__(
        self,
        place: Place,
        books: Books,
        queue: EventQueue,
        retention: Retention,
        flusher: Flusher,
    ) -> None:
        self._place = place
        self._books = books
        self._queue = queue
        self._retention = retention
        self._flusher = flusher
        self._streams: tuple[StreamFacts, ...] = ()
        self._streams_utc_us = 0

    def snapshot(self, catalog: CatalogQueries, now_utc_us: int) -> ArchiveSnapshot:
        """How the archive stands now. Raises `CatalogError`, `OSError`."""
        room = self._retention.room()
        # Each stream costs some 100 µs: with thousands they are asked for more rarely.
        if now_utc_us - self._streams_utc_us >= len(self._streams) * 50 * US_PER_MS:
            self._streams_utc_us = now_utc_us
            self._streams = stream_facts(catalog, now_utc_us)
        return ArchiveSnapshot(
            now_utc_us,
            room.total_bytes,
            room.free_bytes,
            self._retention.use.total_bytes,
            room.floor_bytes,
            catalog.is_whole,
            self._flusher.segments,
            len(self._queue),
            self._place.lost_frames,
            self._books.proof.size,
            self._streams,
            catalog.oldest(),
            self._retention.forecast,
        )


def stream_facts(catalog: CatalogQueries, now_utc_us: int) -> tuple[StreamFacts, ...]:
    """What the catalog has of each stream. Raises `CatalogError`."""
    since_us = now_utc_us - US_PER_DAY
    facts = []
    for (camera, stream), number in sorted(catalog.streams().items()):
        edges = catalog.edges(number)
        if edges is None:
            continue
        oldest_us, newest_us = edges
        covered_us = size_bytes = 0
        for span in catalog.spans(number, since_us, now_utc_us):
            covered_us += max(
                min(span.end_utc_us, now_utc_us) - max(span.start_utc_us, since_us), 0
            )
            size_bytes += span.size_bytes
        expected_us = max(newest_us - max(since_us, oldest_us), 0)
        facts.append(
            StreamFacts(
                camera, stream, oldest_us, newest_us, size_bytes, covered_us,
                max(expected_us - covered_us, 0),
            )
        )  # fmt: skip
    return tuple(facts)

"""The minute ledger of one stream, as the catalog has it: for a day's bar on the page."""

from __future__ import annotations

from typing import NamedTuple

from khupho.archive.catalog.queries import CatalogQueries
from khupho.units import US_PER_MINUTE

_SUMS = """
SELECT minutes.minute, sum(minutes.covered_us), sum(minutes.damaged_us)
FROM segments JOIN minutes ON minutes.segment = segments.id
WHERE segments.stream = ?1 AND segments.start_utc_us < ?3 AND segments.start_utc_us >= coalesce(
  (SELECT max(start_utc_us) FROM segments WHERE stream = ?1 AND start_utc_us <= ?2), 0)
AND minutes.minute >= ?4 AND minutes.minute < ?5
GROUP BY minutes.minute
"""


class Minute(NamedTuple):
    """One minute of a stream, of all its segments together."""

    minute: int
    """UTC minutes since the epoch."""
    covered_us: int
    damaged_us: int


def minutes_between(
    catalog: CatalogQueries, camera: str, stream: str, first_minute: int, end_minute: int
) -> list[Minute]:
    """The minutes that hold footage, oldest first; as far as was flushed. Raises `CatalogError`."""
    number = catalog.streams().get((camera, stream))
    if number is None:
        return []
    begin_us, end_us = first_minute * US_PER_MINUTE, end_minute * US_PER_MINUTE
    rows = catalog.ask(_SUMS, (number, begin_us, end_us, first_minute, end_minute))
    return [Minute(*row) for row in rows]

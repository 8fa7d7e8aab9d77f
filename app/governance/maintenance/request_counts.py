"""Adds what this process has served to the counts of all replicas. Requests themselves wait for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.observability.metrics import RequestTotals
from app.storage.database import Database
from app.storage.records import now
from app.storage.statements import insert_into
from app.storage.tables import request_counts

INTERVALS = ("minute", "hour", "day")


class RequestCounts:
    """Writes the difference between what a process has counted and what it has written.

    Args:
        totals: returns what the process has counted.
    """

    def __init__(self, database: Database, totals: Callable[[], RequestTotals]) -> None:
        self._database = database
        self._totals = totals
        self._written = RequestTotals()

    async def write(self, moment: datetime | None = None) -> None:
        """Add what is new to the counts of this minute, hour and day.

        Raises:
            DatabaseDown: it is added the next time.
        """
        counted, before = self._totals(), self._written
        new = {name: getattr(counted, name) - getattr(before, name) for name in RequestTotals.__struct_fields__}
        if not any(new.values()):
            return
        rows = [{"interval": each, "start": start_of(each, moment or now()), **new} for each in INTERVALS]
        async with self._database.begin() as connection:
            insert = insert_into(connection, request_counts)
            added = {name: request_counts.c[name] + insert.excluded[name] for name in new}
            statement = insert.on_conflict_do_update(index_elements=("interval", "start"), set_=added)
            await connection.execute(statement, rows)
        self._written = counted


def start_of(interval: str, moment: datetime) -> datetime:
    """Return the beginning of the minute, hour or day that a time in UTC is in."""
    minute = moment.replace(second=0, microsecond=0)
    if interval == "minute":
        return minute
    return minute.replace(minute=0) if interval == "hour" else minute.replace(minute=0, hour=0)

"""The tasks of a process that keep the database in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

from sqlalchemy import select

from app.governance.maintenance.derived_usage import derive_usage
from app.governance.maintenance.request_counts import RequestCounts
from app.governance.maintenance.retention import delete_old_rows
from app.governance.webhooks.watch import WebhookWatch
from app.observability.team_metrics import TeamMetrics
from app.storage.database import Database, DatabaseDown
from app.storage.tables import teams

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 3600.0
_FIRST_SECONDS = 60.0
_NAMES_SECONDS = 30.0
_COUNTS_SECONDS = 10.0
_USAGE_SECONDS = 60.0


class Upkeep:
    """Deletes old rows about once an hour, derives sums about once a minute, counts requests, and sends webhooks.

    Processes do so at random times.

    Args:
        ledger_days: for which entries of the ledger are kept. webhooks: None if none are sent.
        team_metrics: those that show the names of teams. counts: of the requests of this process.
        first: seconds until old rows are deleted and sums are derived for the first time, on average, and until names
            are read and counts are written.
    """

    def __init__(
        self,
        database: Database,
        ledger_days: int,
        webhooks: WebhookWatch | None = None,
        team_metrics: TeamMetrics | None = None,
        counts: RequestCounts | None = None,
        first: float = _FIRST_SECONDS,
    ) -> None:
        self._database = database
        self._ledger_days = ledger_days
        self._webhooks = webhooks
        self._team_metrics = team_metrics
        self._counts = counts
        self._first = first
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the tasks."""
        self._tasks = [
            asyncio.create_task(self._delete_old_rows(), name="retention"),
            asyncio.create_task(self._derive_usage(), name="usage by model"),
        ]
        if self._team_metrics is not None:
            self._tasks.append(asyncio.create_task(self._read_names(self._team_metrics), name="names of teams"))
        if self._counts is not None:
            self._tasks.append(asyncio.create_task(self._count(self._counts), name="counts of requests"))
        if self._webhooks is not None:
            self._webhooks.start()

    async def close(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._counts is not None and self._tasks:
            with contextlib.suppress(DatabaseDown):
                await self._counts.write()
        if self._webhooks is not None:
            await self._webhooks.close()

    async def _delete_old_rows(self) -> None:
        await asyncio.sleep(self._first * random.uniform(0.5, 1.5))  # noqa: S311  # nosec B311
        while True:
            try:
                deleted = await delete_old_rows(self._database, self._ledger_days)
                if deleted:
                    _log.info("old rows were deleted", extra={"fields": {"deleted": deleted}})
            except DatabaseDown:
                pass
            except Exception:  # noqa: BLE001 -- it is tried again
                _log.exception("old rows could not be deleted")
            await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # nosec B311

    async def _derive_usage(self) -> None:
        while True:
            longest = min(self._first, _USAGE_SECONDS)
            await asyncio.sleep(longest * random.uniform(0.5, 1.5))  # noqa: S311  # nosec B311
            try:
                await derive_usage(self._database)
            except DatabaseDown:
                pass
            except Exception:  # noqa: BLE001 -- it is tried again
                _log.exception("sums of usage by model could not be derived")

    async def _count(self, counts: RequestCounts) -> None:
        while True:
            longest = min(self._first, _COUNTS_SECONDS)
            await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  # nosec B311
            try:
                await counts.write()
            except DatabaseDown:
                pass
            except Exception:  # noqa: BLE001 -- it is tried again
                _log.exception("counts of requests could not be written")

    async def _read_names(self, metrics: TeamMetrics) -> None:
        while True:
            await asyncio.sleep(min(self._first, _NAMES_SECONDS))
            query = select(teams.c.id, teams.c.name).where(teams.c.id.in_(metrics.ids()))
            with contextlib.suppress(DatabaseDown):
                async with self._database.begin(reads=True) as connection:
                    metrics.names = {row.id: row.name for row in await connection.execute(query)}

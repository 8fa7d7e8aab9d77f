"""Hears of changes of keys and teams in the database: by notifications on PostgreSQL, and by looking once a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from app.storage.database import Database, DatabaseDown
from app.storage.key_changes import CHANNEL, changes_within

_log = logging.getLogger(__name__)

# on SQLite looking is all there is
_LOOK_SECONDS = {True: 0.4, False: 1.0}
_READ_SECONDS = 1.5
_RECONNECT_SECONDS = 0.5


class KeyWatch:
    """Calls `changed` with the name of each key or team that changed, within two seconds: `key/ID` or `team/ID`.

    While the database cannot be reached it hears nothing, and afterwards of all that has changed in between.

    seen: what had changed at the last look, and when; None before the first.
    """

    def __init__(self, database: Database, changed: Callable[[str], None]) -> None:
        self._database = database
        self._changed = changed
        self.seen: Mapping[str, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._tasks = [asyncio.create_task(self._look(), name="changed keys")]
        if not self._database.is_sqlite:
            self._tasks.append(asyncio.create_task(self._listen(), name="notifications of keys"))

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        looked_at = time.monotonic()
        while True:
            try:
                began = time.monotonic()
                async with asyncio.timeout(_READ_SECONDS), self._database.begin(reads=True) as connection:
                    found = await changes_within(connection, began - looked_at)
                looked_at = began
                seen = self.seen or {}
                for name, moment in found.items():
                    if seen.get(name) != moment:
                        self._changed(name)
                self.seen = found
            except (DatabaseDown, TimeoutError):
                pass  # readiness and requests tell of it
            except Exception:  # noqa: BLE001 -- revoked keys must become known whatever happens
                _log.exception("changes of keys could not be read")
            await asyncio.sleep(_LOOK_SECONDS[self._database.is_sqlite])

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(DatabaseDown):
                async with self._database.listening(CHANNEL, self._changed) as lost:
                    await lost.wait()
            await asyncio.sleep(_RECONNECT_SECONDS)

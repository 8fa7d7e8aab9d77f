"""The task of a process that looks for events and sends them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import UTC, datetime

from sqlalchemy import func, select

from app.governance.webhooks.events import Event, add_events, find_events, reported
from app.governance.webhooks.sender import Receiver, deliver
from app.storage.database import Database, DatabaseDown
from app.storage.records import now
from app.storage.tables import replicas

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 10.0
_DOWN_SECONDS = 5.0
# processes that notice trouble within it report it with the same id
_TROUBLE_SECONDS = 600
_MAX_ALERTS = 5


class WebhookWatch:
    """Looks for events, and sends what is due. All processes together do so about once in `pause` seconds.

    Args:
        pause: seconds between two looks of any process. down: seconds between two tries to reach the database.
    """

    def __init__(
        self, database: Database, receiver: Receiver, pause: float = _PAUSE_SECONDS, down: float = _DOWN_SECONDS
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._pause, self._down = pause, down
        # subjects of events that hold and have a row
        self._reported: set[str] = set()
        self._down_since: float | None = None
        self._alerts = 0
        self._has_alerted = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the task."""
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._receiver.transport.close()

    async def look(self) -> int:
        """Note new events, and send what is due. Returns the number of processes. Raises DatabaseDown."""
        moment = now()
        async with self._database.begin(reads=True) as connection:
            count = select(func.count()).where(replicas.c.state == "live")
            live = int((await connection.execute(count)).scalar_one())
            events = {each.subject: each for each in await find_events(connection, moment)}
            self._reported &= events.keys()
            self._reported |= await reported(connection, events.keys() - self._reported)
        new = [each for subject, each in events.items() if subject not in self._reported]
        if self._has_alerted and self._down_since is not None:
            new.append(_trouble("database.recovered", self._down_since))
        if new:
            async with self._database.begin() as connection:
                await add_events(connection, new, moment)
        self._down_since, self._has_alerted, self._alerts = None, False, 0
        await deliver(self._database, self._receiver)
        return max(live, 1)

    async def _run(self) -> None:
        pause = random.uniform(0.0, self._pause)  # noqa: S311  # nosec B311
        while True:
            await asyncio.sleep(pause)
            try:
                live = await self.look()
                pause = self._pause * live * random.uniform(0.5, 1.5)  # noqa: S311  # nosec B311
            except DatabaseDown as error:
                await self._report_trouble(str(error))
                pause = self._down
            except Exception:  # noqa: BLE001 -- it is tried again
                _log.exception("webhooks could not be sent")
                pause = self._pause

    async def _report_trouble(self, error: str) -> None:
        """Send that the database is unreachable, at the second failure. It cannot be noted in the database."""
        if self._down_since is None:
            self._down_since = time.time()
            return
        if self._has_alerted or self._alerts >= _MAX_ALERTS:
            return
        self._alerts += 1
        event = _trouble("database.unreachable", self._down_since, error=error)
        payload = {"type": event.type, "timestamp": event.data["since"], "data": event.data}
        reason = await self._receiver.send(event.subject.replace(" ", "-"), payload)
        self._has_alerted = not reason
        if reason:
            _log.warning("a webhook was not accepted", extra={"fields": {"event": event.type, "error": reason}})


def _trouble(kind: str, since: float, **data: str) -> Event:
    began = datetime.fromtimestamp(int(since), UTC).isoformat().replace("+00:00", "Z")
    return Event(f"{kind} {int(since) // _TROUBLE_SECONDS}", kind, {"since": began, **data})

"""The sessions that were signed out before they expired."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field

from app.console.sessions import Session
from app.storage.bounded import soon

if TYPE_CHECKING:
    from app.storage.database import Database

_MAX_REMEMBERED = 10_000


class EndedSessions(Struct, frozen=True):
    """Remembers sign-outs: in the database, for all replicas, or without one in this process."""

    database: Database | None
    _until: dict[str, int] = field(default_factory=dict)

    async def end(self, session: Session) -> None:
        """Refuse a session from now on. Raises DatabaseDown."""
        now = time.time()
        for identifier in [each for each, until in self._until.items() if until <= now]:
            del self._until[identifier]
        if len(self._until) >= _MAX_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[session.id] = session.expires
        if self.database is not None:
            await soon(_end(self.database, session))

    async def has(self, session: Session) -> bool:
        """Return whether a session has ended. Raises DatabaseDown."""
        if session.id in self._until:
            return True
        if self.database is None:
            return False
        return await soon(_has_ended(self.database, session))


async def _end(database: Database, session: Session) -> None:
    from app.storage.console_sessions import end_session

    async with database.begin() as connection:
        await end_session(connection, session.id, datetime.fromtimestamp(session.expires, UTC))


async def _has_ended(database: Database, session: Session) -> bool:
    from app.storage.console_sessions import has_ended

    async with database.begin(reads=True) as connection:
        return await has_ended(connection, session.id)

"""Tells the replicas that what applies to the calls of a key or of a team has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.frequent import Frequent
from app.storage.records import Key, Team
from app.storage.statements import clock_of, clock_us, insert_into, local_clock
from app.storage.tables import key_changes

# of PostgreSQL's notifications, whose payload is the name of what changed: `key/ID` or `team/ID`
CHANNEL = "outcrop_keys"
# a transaction that lasts longer after `touched` may not be noticed
COMMIT_SECONDS = 15.0


async def touched(connection: AsyncConnection, *owners: Team | Key) -> None:
    """Record that keys or teams, or their secrets, limits or budgets, were changed or deleted.

    Call it last in the transaction that changes them.
    """
    # in one order, so that two transactions never wait for each other in a circle
    for name in sorted({f"{'team' if isinstance(owner, Team) else 'key'}/{owner.id}" for owner in owners}):
        now, last = clock_us(connection), key_changes.c.changed_at_us + 1
        # later than the last change, whatever the clock says
        later = case((key_changes.c.changed_at_us < now, now), else_=last)
        insert = insert_into(connection, key_changes).values(name=name, changed_at_us=now)
        await connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"changed_at_us": later}))
        if connection.dialect.name != "sqlite":
            await connection.execute(select(func.pg_notify(CHANNEL, name)))


async def changes_within(connection: AsyncConnection, seconds: float) -> Mapping[str, int]:
    """Return the names of what changed in the last seconds, and when."""
    age_us = int((seconds + COMMIT_SECONDS) * 1_000_000)
    found = await _CHANGES.rows(connection, {"age_us": age_us, **local_clock()})
    return {row["name"]: row["changed_at_us"] for row in found}


def _changes(dialect: str) -> Select[Any]:
    since = clock_of(dialect) - bindparam("age_us", type_=BigInteger)
    return select(key_changes.c.name, key_changes.c.changed_at_us).where(key_changes.c.changed_at_us > since)


_CHANGES = Frequent(_changes)

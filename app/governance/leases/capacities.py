"""Writes the capacities of shared pools into the database."""

from __future__ import annotations

from collections.abc import Iterable

from app.governance.leases.store import recall
from app.storage.database import Database
from app.storage.records import now
from app.storage.statements import insert_into
from app.storage.tables import limits

_SCOPE = "quota"


async def write_capacities(database: Database, rows: Iterable[tuple[str, str, int]]) -> None:
    """Write rows of `limits`, or change them. What replicas have leased of a changed one is recalled.

    Args:
        rows: the id of each, its kind and its capacity.

    Raises:
        DatabaseDown: they may have been written.
    """
    values = [
        {
            "id": id_,
            "scope": _SCOPE,
            "scope_id": id_,
            "per": "",
            "per_value": "",
            "kind": kind,
            "capacity": capacity,
            "shadow": False,
            "updated_at": now(),
        }
        for id_, kind, capacity in sorted(rows)
    ]
    async with database.begin() as connection:
        insert = insert_into(connection, limits)
        changed = {"capacity": insert.excluded.capacity, "updated_at": insert.excluded.updated_at}
        statement = insert.on_conflict_do_update(
            index_elements=["id"], set_=changed, where=limits.c.capacity != insert.excluded.capacity
        )
        written = (await connection.execute(statement.returning(limits.c.id), values)).scalars().all()
        if written:
            await recall(connection, written)

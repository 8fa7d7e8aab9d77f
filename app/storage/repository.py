"""Reads and writes records as rows. The caller holds the transaction, so that several changes are one.

Several replicas and administrators write at the same time: an update names the revision that it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct, structs
from sqlalchemy import ColumnElement, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage import tables
from app.storage.records import Budget, Key, KeySecret, Limit, Scoped, Team, now

Record = TypeVar("Record", bound=Struct)
ScopedRecord = TypeVar("ScopedRecord", bound=Scoped)


class Conflict(Exception):
    """A row with the same name exists, or a row that this one refers to does not."""


class Repository(Generic[Record]):
    """The rows of one table."""

    def __init__(self, table: Table, record: type[Record]) -> None:
        self.table = table
        self._record = record

    async def add(self, connection: AsyncConnection, *records: Record) -> None:
        """Insert rows, at least one. Raises Conflict; the transaction can then only be rolled back."""
        try:
            await connection.execute(insert(self.table), [structs.asdict(each) for each in records])
        except IntegrityError:
            raise Conflict from None

    async def get(self, connection: AsyncConnection, identifier: str, *, lock: bool = False) -> Record | None:
        """Return a row. lock: nobody else changes it before the transaction ends."""
        query = select(self.table).where(self.table.c.id == identifier)
        row = (await connection.execute(query.with_for_update() if lock else query)).first()
        return None if row is None else self._record(**row._mapping)

    async def find(
        self, connection: AsyncConnection, *conditions: ColumnElement[bool], after: str = "", limit: int | None = None
    ) -> list[Record]:
        """Return rows in the order of their ids, which is that of their creation. after: the last id before them."""
        query = select(self.table).where(self.table.c.id > after, *conditions).order_by(self.table.c.id).limit(limit)
        return [self._record(**row._mapping) for row in await connection.execute(query)]

    async def remove(self, connection: AsyncConnection, *identifiers: str) -> int:
        """Delete rows; returns how many there were. Raises Conflict: others refer to one."""
        try:
            result = await connection.execute(delete(self.table).where(self.table.c.id.in_(identifiers)))
        except IntegrityError:
            raise Conflict from None
        return int(result.rowcount)


class ScopedRepository(Repository[ScopedRecord]):
    """The rows of teams or of keys."""

    async def change(self, connection: AsyncConnection, before: ScopedRecord, **changes: object) -> ScopedRecord | None:
        """Update a row. Returns it as it is now, or None if somebody else has changed or deleted it since `before`.

        Raises:
            Conflict: another row has the name.
        """
        after = structs.replace(before, **changes, updated_at=now(), revision=before.revision + 1)
        is_unchanged = (self.table.c.id == before.id) & (self.table.c.revision == before.revision)
        try:
            result = await connection.execute(update(self.table).where(is_unchanged).values(structs.asdict(after)))
        except IntegrityError:
            raise Conflict from None
        return after if result.rowcount else None


teams = ScopedRepository(tables.teams, Team)
keys = ScopedRepository(tables.keys, Key)
key_secrets = Repository(tables.key_secrets, KeySecret)
limits = Repository(tables.limits, Limit)
budgets = Repository(tables.budgets, Budget)


async def newest_secret(connection: AsyncConnection) -> KeySecret | None:
    """Return the newest secret of any key."""
    query = select(tables.key_secrets).order_by(tables.key_secrets.c.id.desc()).limit(1)
    row = (await connection.execute(query)).first()
    return None if row is None else KeySecret(**row._mapping)


async def replace_limits(connection: AsyncConnection, owner: Scoped, new: Sequence[Limit]) -> list[Limit]:
    """Make these the limits of a team or a key. One of the same kind and subject stays the same row.

    Raises:
        Conflict: two are of the same kind and subject.
    """
    return await _replace(connection, limits, owner, new, ("per", "per_value", "kind"))


async def replace_budgets(connection: AsyncConnection, owner: Scoped, new: Sequence[Budget]) -> list[Budget]:
    """Make these the budgets of a team or a key. One of the same period, action and subject stays the same row.

    Raises:
        Conflict: two are of the same period, action and subject.
    """
    return await _replace(connection, budgets, owner, new, ("per", "per_value", "period", "action"))


async def _replace(
    connection: AsyncConnection,
    repository: Repository[Any],
    owner: Scoped,
    new: Sequence[Any],
    identity: tuple[str, ...],
) -> list[Any]:
    table = repository.table
    scope = "team" if isinstance(owner, Team) else "key"
    of_owner = (table.c.scope == scope) & (table.c.scope_id == owner.id)
    found = await repository.find(connection, of_owner)
    kept = {tuple(getattr(each, name) for name in identity): each for each in found}
    wanted = {tuple(getattr(each, name) for name in identity): each for each in new}
    if len(wanted) != len(new) or any((each.scope, each.scope_id) != (scope, owner.id) for each in new):
        raise Conflict
    gone = [each.id for key, each in kept.items() if key not in wanted]
    if gone:
        await repository.remove(connection, *gone)
    stored, changed = [], []
    for key, each in wanted.items():
        if (before := kept.get(key)) is None:
            stored.append(each)
            continue
        same = {name: getattr(before, name) for name in ("id", "created_at") if hasattr(each, name)}
        stored.append(structs.replace(each, **same))
        changed.append({**structs.asdict(stored[-1]), "_id": before.id})
    # a statement for all of them: each alone would take a round trip
    if added := [each for key, each in wanted.items() if key not in kept]:
        await repository.add(connection, *added)
    if changed:
        await connection.execute(update(table).where(table.c.id == bindparam("_id")), changed)
    return stored

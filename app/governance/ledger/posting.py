"""Posts entries to the database: only those that are new there change balances and sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from operator import attrgetter, methodcaller

from msgspec import Struct, structs
from sqlalchemy import JSON, BigInteger, Boolean, SmallInteger, Text, TextClause, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.governance.leases.store import BalanceRef, LockedRows, end, hold_replica, lock, write
from app.governance.ledger.entry import LOST, Entry
from app.governance.ledger.usage_sums import Group, add_to_usage, kinds_of, sums_of
from app.storage.columns import Instant
from app.storage.database import Database
from app.storage.frequent import Frequent
from app.storage.statements import insert_of
from app.storage.tables import leases, ledger
from app.wire import json


class MissingBalances(Exception):
    """Entries are charged to balances that do not exist: their calls were let through without the database."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(*keys)
        self.refs = [BalanceRef(key, "budget", key.split("/")[1]) for key in keys]


# what is unique in the ledger
_IDENTITY = ("attempt_id", "phase", "number")
_IDENTITY_OF, _CHARGED_TO = attrgetter(*_IDENTITY), attrgetter("charged_to")
_MAX_BATCH = 200
_DEFAULTS: dict[type, str] = {
    BigInteger: "0", Boolean: "false", JSON: "'{}'", Instant: "now()", SmallInteger: "0", Text: "''",
}  # fmt: skip


class Additions(Struct, frozen=True):
    """What entries add to the tables, if all of them are new. charges: by balance. sums: by group of `usage`."""

    charges: Mapping[str, int]
    sums: Mapping[Group, Mapping[str, int]]


def additions_of(entries: Sequence[Entry]) -> Additions:
    """Return what entries add."""
    kinds = kinds_of(entries)
    return Additions(_charges_of(kinds), sums_of(kinds))


def _charges_of(kinds: Iterable[Sequence[Entry]]) -> dict[str, int]:
    """Return the sums that entries charge, by balance. What is held is not charged."""
    sums: dict[str, int] = {}
    for members in kinds:
        if members[0].phase == "hold":
            continue
        charged = [*map(_CHARGED_TO, members)]
        for key in set().union(*charged):
            sums[key] = sums.get(key, 0) + sum(map(methodcaller("get", key, 0), charged))
    return sums


async def post(
    connection: AsyncConnection, rows: LockedRows, entries: Sequence[Entry], added: Additions | None = None
) -> None:
    """Insert entries of one replica, and charge those that are new to its leases.

    A settlement of an attempt that was lost, and posted at what it held, becomes a correction.

    Args:
        rows: with the balances that the entries are charged to. The caller writes them. added: by the entries.
    """
    posted, known = await _insert(connection, entries)
    found_again = [each for each in known if each.phase == "settle" and each.outcome != LOST]
    if found_again:
        corrections, _ = await _insert(connection, await _corrections(connection, found_again))
        posted += corrections
    if added is None or known or len(posted) < len(entries):
        added = additions_of(posted)
    for key, amount in added.charges.items():
        rows.leases[key].post(rows.balances[key], amount, rows.now_ns)
    await add_to_usage(connection, added.sums)


async def lock_charged(connection: AsyncConnection, replica: str, now_us: int, keys: Set[str]) -> LockedRows:
    """Lock the balances that entries are charged to. keys: of these.

    Raises:
        MissingBalances: some do not exist yet.
    """
    rows = await lock(connection, replica, now_us, keys)
    if missing := sorted(keys - rows.balances.keys()):
        raise MissingBalances(missing)
    return rows


async def post_for_ended(database: Database, replica: str, entries: Sequence[Entry]) -> None:
    """Post entries of a replica that has ended."""
    for start in range(0, len(entries), _MAX_BATCH):
        batch = entries[start : start + _MAX_BATCH]
        added = additions_of(batch)
        async with database.begin() as connection:
            now_us, state = await hold_replica(connection, replica)
            rows = await lock_charged(connection, replica, now_us, added.charges.keys())
            if state != "live":
                # a lease of which nothing is left has no row that says so
                for lease in rows.leases.values():
                    lease.is_charged = True
            await post(connection, rows, batch, added)
            if state == "closed":
                # a correction may be negative, and nobody else would return what the lease gets of it
                for key, lease in rows.leases.items():
                    lease.give_back(rows.balances[key], lease.amount)
            await write(connection, rows)


async def close_replica(database: Database, replica: str) -> None:
    """Return the leases of a replica that has ended, after its entries were posted. Rates count as used."""
    async with database.begin() as connection:
        rows = await end(connection, replica, "closed")
        if rows is None:
            return
        for key, lease in rows.leases.items():
            if rows.balances[key].kind == "rate":
                lease.charge(rows.balances[key], rows.now_ns)
            lease.give_back(rows.balances[key], lease.amount)
        await write(connection, rows)


async def take_leases(database: Database, replica: str) -> bool:
    """Mark a replica as lost whose leases have ended. Returns False if it renewed them meanwhile.

    Its attempts that are open in the ledger are settled at what they held, and the rest of its leases is charged.
    """
    async with database.begin() as connection:
        held = await connection.execute(select(leases.c.balance_key).where(leases.c.replica_id == replica))
        entries = [each.at_what_was_held() for each in await _open_attempts(connection, replica)]
        added = additions_of(entries)
        keys = {*held.scalars(), *added.charges}
        rows = await end(connection, replica, "lost", keys=keys, only_expired=True)
        if rows is None:
            return False
        await post(connection, rows, entries, added)
        for key, lease in rows.leases.items():
            lease.charge(rows.balances[key], rows.now_ns)
        await write(connection, rows)
    return True


async def _open_attempts(connection: AsyncConnection, replica: str) -> list[Entry]:
    settled = select(ledger.c.attempt_id).where(ledger.c.replica_id == replica, ledger.c.phase == "settle")
    is_open = (ledger.c.phase == "hold") & ledger.c.attempt_id.not_in(settled)
    found = await connection.execute(select(ledger).where(ledger.c.replica_id == replica, is_open))
    return [Entry(**row._mapping) for row in found]


async def _insert(connection: AsyncConnection, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Insert entries; returns those that are new, and those that were there already."""
    unique = dict(zip(map(_IDENTITY_OF, entries), entries, strict=True))
    if not unique:
        return [], []
    if connection.dialect.name == "sqlite":
        insert = insert_of("sqlite", ledger).on_conflict_do_nothing(index_elements=_IDENTITY)
        statement = insert.returning(*[ledger.c[name] for name in _IDENTITY])
        returned = await connection.execute(statement, [structs.asdict(each) for each in unique.values()])
        known = unique.keys() - {(row.attempt_id, row.phase, row.number) for row in returned}
    else:
        # one parameter for all rows: binding each column of each row takes ten times the CPU
        rows = json.dumps([*unique.values()]).decode()
        found = await _INSERT_ROWS.rows(connection, {"rows": rows})
        known = {(row["attempt_id"], row["phase"], row["number"]) for row in found}
    new = [each for identity, each in unique.items() if identity not in known] if known else [*unique.values()]
    return new, [unique[identity] for identity in known]


def _insert_rows(_: str) -> TextClause:
    """Return a statement that inserts rows, and returns the identities of those that were there already."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    names = ", ".join(f'"{column.name}"' for column in ledger.c)
    # an entry does not name what it has not
    values = ", ".join(
        f'"{column.name}"'
        if column.nullable
        else f'coalesce("{column.name}", {_DEFAULTS[type(column.type)]}) as "{column.name}"'
        for column in ledger.c
    )
    typed = ", ".join(f'"{column.name}" {column.type.compile(dialect)}' for column in ledger.c)
    identity = ", ".join(_IDENTITY)
    return text(
        # the names are those of the columns
        f"with given as materialized (select {values} from json_to_recordset(cast(:rows as json)) as r({typed})), "  # noqa: S608 # nosec B608
        f"new as (insert into ledger ({names}) select * from given on conflict ({identity}) do nothing "
        f"returning {identity}) select {identity} from given where ({identity}) not in (select {identity} from new)"
    )


_INSERT_ROWS = Frequent(_insert_rows)


async def _corrections(connection: AsyncConnection, entries: Sequence[Entry]) -> list[Entry]:
    by_attempt = {each.attempt_id: each for each in entries}
    was_lost = ledger.c.attempt_id.in_(by_attempt) & (ledger.c.phase == "settle") & (ledger.c.outcome == LOST)
    found = await connection.execute(select(ledger).where(was_lost))
    return [by_attempt[row.attempt_id].correction_of(Entry(**row._mapping)) for row in found]

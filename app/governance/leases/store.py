"""Runs the database's side of the lease protocol: locks the rows, lets `balance` change them, and writes them back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Delete,
    Select,
    Text,
    Update,
    and_,
    any_,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from app.governance.leases.balance import (
    MINUTE_NS,
    STARTS,
    STARTS_NS,
    Balance,
    Kind,
    Lease,
    LeaseReply,
    LeaseRequest,
    apply_request,
)
from app.storage.database import Database
from app.storage.frequent import Frequent
from app.storage.statements import clock_of, clock_us, insert_into, insert_of, local_clock
from app.storage.tables import balances, budgets, leases, limits, replicas

RECALL = "outcrop_recall"
LEASE_SECONDS = 10.0
# a replica stops using its leases earlier than others take them
_MARGIN_SECONDS = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BalanceRef(Struct, frozen=True):
    """A balance, and the budget or limit that has its capacity."""

    key: str
    kind: Kind
    source_id: str


class NotLive(Exception):
    """The replica was marked lost, because it did not renew its leases in time."""


class LockedRows(Struct):
    """Balances that a transaction has locked, and the leases that one replica has of them.

    before: as they were read.
    """

    replica: str
    now_ns: int
    live: int
    balances: dict[str, Balance]
    leases: dict[str, Lease]
    before: dict[str, tuple[Balance, Lease]]


async def register(connection: AsyncConnection, replica: str, host: str, version: str) -> int:
    """Add a replica. Returns the time of the database, in microseconds."""
    now = clock_us(connection)
    row = {"id": replica, "host": host, "version": version, "state": "live", "sequence": 0}
    times = {"started_at_us": now, "expires_at_us": now + _us(LEASE_SECONDS)}
    added = replicas.insert().values({**row, **times}).returning(replicas.c.started_at_us)
    return int((await connection.execute(added)).scalar_one())


async def renew(connection: AsyncConnection, replica: str, sequence: int) -> int:
    """Lock the row of a replica and renew its leases. Returns the time of the database, in microseconds.

    Raises:
        NotLive: it was marked lost.
    """
    found = await _RENEWAL.rows(connection, {"replica": replica, "number": sequence, **local_clock()})
    if not found:
        raise NotLive
    return int(found[0]["now_us"])


def _renewal(dialect: str) -> ReturningUpdate[int]:
    now = clock_of(dialect)
    is_it = (replicas.c.id == bindparam("replica")) & (replicas.c.state == "live")
    values = {"sequence": bindparam("number"), "expires_at_us": now + _us(LEASE_SECONDS)}
    return update(replicas).where(is_it).values(values).returning(now.label("now_us"))


_RENEWAL = Frequent(_renewal)


async def lock(connection: AsyncConnection, replica: str, now_us: int, keys: Collection[str]) -> LockedRows:
    """Lock balances, sorted by key, and read a replica's leases of them. Balances that do not exist are left out."""
    found = await _LOCKING.rows(connection, {"replica": replica, "keys": [*keys]})
    moment = _EPOCH + timedelta(microseconds=now_us)
    rows = {row["key"]: (_balance_of(row, moment), Lease(row["amount"] or 0, bool(row["is_charged"]))) for row in found}
    return LockedRows(
        replica,
        now_us * 1000,
        found[0]["live"] if found else 1,
        {key: balance for key, (balance, _) in rows.items()},
        {key: lease for key, (_, lease) in rows.items()},
        {key: (structs.replace(balance), structs.replace(lease)) for key, (balance, lease) in rows.items()},
    )


# statements are built once: building one takes more CPU than running it


def _locking(dialect: str) -> Select[Any]:
    live = select(func.count()).where(replicas.c.state == "live").scalar_subquery()
    of_replica = and_(leases.c.balance_key == balances.c.key, leases.c.replica_id == bindparam("replica"))
    joined = (
        balances.outerjoin(limits, limits.c.id == balances.c.source_id)
        .outerjoin(budgets, budgets.c.id == balances.c.source_id)
        .outerjoin(leases, of_replica)
    )
    of_limit = limits.c.capacity, limits.c.kind.label("limit_kind"), limits.c.shadow.label("limit_shadow")
    columns = (balances, *of_limit, budgets.c.amount_nano)
    more = (
        budgets.c.override_nano,
        budgets.c.override_until,
        budgets.c.action,
        budgets.c.shadow.label("budget_shadow"),
    )
    return (
        select(*columns, *more, leases.c.amount, leases.c.is_charged, live.label("live"))
        .select_from(joined)
        .where(_is_of_keys(dialect))
        .order_by(balances.c.key)
        .with_for_update(of=balances)
    )


def _is_of_keys(dialect: str) -> ColumnElement[bool]:
    """Return the condition that a balance has one of the keys: on PostgreSQL they are one parameter."""
    if dialect == "sqlite":
        return balances.c.key.in_(bindparam("keys", expanding=True))
    return balances.c.key == any_(bindparam("keys", type_=ARRAY(Text)))


_LOCKING = Frequent(_locking)


def _balance_of(row: Mapping[str, Any], moment: datetime) -> Balance:
    capacity, is_enforced, changes_ns = row["capacity"], not row["limit_shadow"], None
    if row["amount_nano"] is not None:
        override, until = row["override_nano"], row["override_until"]
        is_overridden = override is not None and (until is None or moment < until)
        capacity = override if is_overridden else row["amount_nano"]
        is_enforced = row["action"] == "block" and not row["budget_shadow"]
        if is_overridden and until is not None:
            changes_ns = (until - _EPOCH) // timedelta(microseconds=1) * 1000
    return Balance(
        row["key"],
        row["kind"],
        capacity,
        is_enforced,
        row["settled"],
        row["leased"],
        row["refilled_at_ns"],
        STARTS_NS if row["limit_kind"] == STARTS else MINUTE_NS,
        changes_ns,
    )


async def write(connection: AsyncConnection, rows: LockedRows) -> None:
    """Write the rows that have changed."""
    changed = [
        {"b_key": key, "b_settled": each.settled, "b_leased": each.leased, "b_refilled": each.refilled_at_ns}
        for key, each in rows.balances.items()
        if each != rows.before[key][0]
    ]
    if changed:
        await _UPDATE_OF_BALANCES.run(connection, changed)
    moved = {key: each for key, each in rows.leases.items() if each != rows.before[key][1]}
    if kept := {key: each for key, each in moved.items() if each.amount}:
        added = [
            {"replica_id": rows.replica, "balance_key": key, "amount": each.amount, "is_charged": each.is_charged}
            for key, each in kept.items()
        ]
        await _INSERT_OF_LEASES.run(connection, added)
    if gone := moved.keys() - kept.keys():
        await _DELETE_OF_LEASES.run(connection, [{"replica": rows.replica, "gone": key} for key in gone])


def _update_of_balances(_: str) -> Update:
    values: dict[str, Any] = {"settled": bindparam("b_settled"), "leased": bindparam("b_leased")}
    statement = update(balances).where(balances.c.key == bindparam("b_key"))
    return statement.values(**values, refilled_at_ns=bindparam("b_refilled"))


def _insert_of_leases(dialect: str) -> Any:
    insert = insert_of(dialect, leases)
    updated = {"amount": insert.excluded.amount, "is_charged": insert.excluded.is_charged}
    return insert.on_conflict_do_update(index_elements=["replica_id", "balance_key"], set_=updated)


def _delete_of_leases(_: str) -> Delete:
    is_of_replica = leases.c.replica_id == bindparam("replica")
    return delete(leases).where(is_of_replica, leases.c.balance_key == bindparam("gone"))


_UPDATE_OF_BALANCES = Frequent(_update_of_balances)
_INSERT_OF_LEASES = Frequent(_insert_of_leases, ("replica_id", "balance_key", "amount", "is_charged"))
_DELETE_OF_LEASES = Frequent(_delete_of_leases)


class LeaseStore:
    """Runs the transactions of one replica's leases."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def apply(
        self, replica: str, sequence: int, request: LeaseRequest, refs: Mapping[str, BalanceRef]
    ) -> LeaseReply:
        """Run a request of a replica.

        Args:
            refs: the balances of the request; one that does not exist is created.

        Raises:
            NotLive: the replica was marked lost. DatabaseDown: the transaction may have been committed.
        """
        keys = request.keys()
        missing: set[str] = set()
        # a balance without use may be deleted between the two transactions
        for _ in range(3):
            async with self.database.begin() as connection:
                now_us = await renew(connection, replica, sequence)
                self.database.clock.note(now_us)
                rows = await lock(connection, replica, now_us, keys)
                missing = keys - rows.balances.keys()
                if missing:
                    await connection.rollback()
                else:
                    reply = apply_request(request, rows.balances, rows.leases, rows.now_ns, rows.live)
                    await write(connection, rows)
                    await self._recall(connection, reply, now_us)
                    return reply
            await self.create([refs[key] for key in sorted(missing)])
        raise LookupError(f"balances disappear: {sorted(missing)}")

    async def create(self, refs: Iterable[BalanceRef]) -> None:
        """Create balances, in a transaction of its own: waiting for another's insert with locked rows blocks both."""
        zeros = {"settled": 0, "leased": 0, "refilled_at_ns": 0, "recalled_at_us": 0}
        rows = [{"key": ref.key, "kind": ref.kind, "source_id": ref.source_id, **zeros} for ref in refs]
        async with self.database.begin() as connection:
            await connection.execute(insert_into(connection, balances).on_conflict_do_nothing(), rows)

    async def amounts(self, replica: str) -> tuple[int, dict[str, int]]:
        """Return the number of a replica's last transaction, and its leases. Raises NotLive."""
        async with self.database.begin() as connection:
            query = select(replicas.c.sequence).where(replicas.c.id == replica, replicas.c.state == "live")
            sequence = (await connection.execute(query.with_for_update())).scalar_one_or_none()
            if sequence is None:
                raise NotLive
            found = await connection.execute(
                select(leases.c.balance_key, leases.c.amount).where(leases.c.replica_id == replica)
            )
            return int(sequence), {row.balance_key: row.amount for row in found}

    async def _recall(self, connection: AsyncConnection, reply: LeaseReply, now_us: int) -> None:
        """Ask the other replicas for idle capacity of which too little is left."""
        keys = sorted({each.key for each in reply.shortages if each is not None and each.leased_by_others})
        if keys:
            await _recall_locked(connection, keys, now_us)

    async def recalled(self, since_us: int) -> list[tuple[str, int]]:
        """Return the balances of which idle capacity was asked for since a time, and when."""
        async with self.database.begin(reads=True) as connection:
            found = await _RECALLED.rows(connection, {"since_us": since_us})
            return [(row["key"], row["recalled_at_us"]) for row in found]

    async def expired(self) -> Sequence[str]:
        """Return the replicas that did not renew their leases in time."""
        async with self.database.begin(reads=True) as connection:
            return [row["id"] for row in await _EXPIRED.rows(connection, local_clock())]


def _recalled(_: str) -> Select[Any]:
    is_later = balances.c.recalled_at_us > bindparam("since_us", type_=BigInteger)
    return select(balances.c.key, balances.c.recalled_at_us).where(is_later)


def _expired(dialect: str) -> Select[Any]:
    late = replicas.c.expires_at_us < clock_of(dialect) - _us(_MARGIN_SECONDS)
    return select(replicas.c.id).where(replicas.c.state == "live", late)


_RECALLED, _EXPIRED = Frequent(_recalled), Frequent(_expired)


async def recall(connection: AsyncConnection, source_ids: Collection[str]) -> None:
    """Let every replica ask anew for capacity of budgets and limits whose rows this transaction has changed.

    Call it once in a transaction, and lock no balances before or after it: all are locked in the order of their keys.
    """
    is_leased = balances.c.source_id.in_(source_ids) & (balances.c.leased > 0)
    query = select(balances.c.key).where(is_leased).order_by(balances.c.key).with_for_update()
    keys = (await connection.execute(query)).scalars().all()
    if keys:
        now_us = int((await connection.execute(select(clock_us(connection)))).scalar_one())
        await _recall_locked(connection, keys, now_us)


async def _recall_locked(connection: AsyncConnection, keys: Sequence[str], now_us: int) -> None:
    await _RECALLING.run(connection, [{"b_key": key, "b_recalled": now_us} for key in keys])
    if connection.dialect.name != "sqlite":
        await _NOTIFYING.run(connection, [{"recalled": key} for key in keys])


def _recalling(_: str) -> Update:
    is_it = balances.c.key == bindparam("b_key")
    return update(balances).where(is_it).values(recalled_at_us=bindparam("b_recalled"))


def _notifying(_: str) -> Select[Any]:
    return select(func.pg_notify(RECALL, bindparam("recalled", type_=Text)))


_RECALLING, _NOTIFYING = Frequent(_recalling), Frequent(_notifying)


async def hold_replica(connection: AsyncConnection, replica: str) -> tuple[int, str]:
    """Lock the row of a replica. Returns the time of the database, in microseconds, and the replica's state.

    One whose row was deleted is `closed`.
    """
    now = clock_us(connection)
    is_it = replicas.c.id == replica
    statement = update(replicas).where(is_it).values(state=replicas.c.state).returning(now, replicas.c.state)
    found = (await connection.execute(statement)).one_or_none()
    if found is None:
        return int((await connection.execute(select(now))).scalar_one()), "closed"
    return int(found[0]), found[1]


async def end(
    connection: AsyncConnection, replica: str, state: str, *, keys: Collection[str] = (), only_expired: bool = False
) -> LockedRows | None:
    """Mark a replica `lost` or `closed`, and lock its leases. Returns None if another did so before.

    Args:
        keys: of more balances to lock. only_expired: only if its leases have ended.
    """
    now = clock_us(connection)
    is_it = (replicas.c.id == replica) & (replicas.c.state.in_(("live",) if state == "lost" else ("live", "lost")))
    if only_expired:
        is_it &= replicas.c.expires_at_us < now - _us(_MARGIN_SECONDS)
    ended = await connection.execute(update(replicas).where(is_it).values(state=state).returning(now))
    moment = ended.scalar_one_or_none()
    if moment is None:
        return None
    held = await connection.execute(select(leases.c.balance_key).where(leases.c.replica_id == replica))
    return await lock(connection, replica, int(moment), {*held.scalars(), *keys})


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)

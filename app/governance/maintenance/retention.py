"""Deletes rows that nothing needs any more. Sums of usage and the audit log are kept.

| rows | are deleted |
|---|---|
| entries of the ledger | after LEDGER_RETENTION_DAYS, by whole days |
| balances of budgets | 40 days after the end of their window, or with their budget |
| balances of limits for each user or label | when they are full, or with their limit |
| charged leases of lost replicas | with their balance |
| replicas that have ended | after 40 days |
| secrets that were rotated or revoked | 40 days after their end |
| answers to idempotency keys | after 2 days |
| counts of requests by minute | after 2 days |
| notes of when keys and teams changed | after 40 days |
| webhooks that were delivered or given up | after 40 days, but not before the balance that they are about |

The journal of a lost machine may appear again within these 40 days. Entries of a replica or balance that is gone are
posted all the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, tuple_

from app.governance.leases.windows import PERIODS, window_of
from app.governance.webhooks.events import SUBJECT_PREFIX
from app.storage.database import Database
from app.storage.records import now
from app.storage.statements import has_turn, time_of_database
from app.storage.tables import (
    balances,
    budgets,
    idempotency_keys,
    key_changes,
    key_secrets,
    leases,
    ledger,
    limits,
    replicas,
    request_counts,
    webhooks,
)

LATE_DAYS = 40
_IDEMPOTENCY_DAYS = 2
_COUNTS_DAYS = 2
_BATCH = 1000
_HOUR_NS = 3_600_000_000_000
# any number that no other program locks in the same database
_LOCK = 7_308_604_896_523_352


async def delete_old_rows(
    database: Database, ledger_days: int, moment: datetime | None = None, batch: int = _BATCH
) -> dict[str, int]:
    """Delete the rows that nothing needs any more, in small transactions. Returns how many, by table.

    One replica does so at a time; another one returns at once.

    Args:
        ledger_days: for which entries of the ledger are kept. moment: now; by default the earlier time of the clocks
            of the database and of this machine, since what is deleted does not come back.

    Raises:
        DatabaseDown: the database cannot be reached.
    """
    if moment is None:
        async with database.begin(reads=True) as connection:
            moment = min(await time_of_database(connection), now())
    deleted: dict[str, int] = {}
    for table, condition in _old_rows(ledger_days, moment):
        count = batch
        while count == batch:
            found = await _delete(database, table, condition, batch)
            if found is None:
                return deleted
            count = found
            if count:
                deleted[table.name] = deleted.get(table.name, 0) + count
    return deleted


def first_kept(ledger_days: int, moment: datetime) -> datetime:
    """Return the beginning of the first day whose entries are kept."""
    return (moment.astimezone(UTC) - timedelta(days=ledger_days)).replace(hour=0, minute=0, second=0, microsecond=0)


def _old_rows(ledger_days: int, moment: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return which rows to delete, in an order in which none refers to another that is deleted before."""
    late = moment - timedelta(days=LATE_DAYS)
    has_lease = exists().where(leases.c.balance_key == balances.c.key).correlate_except(leases)
    is_free = (balances.c.leased == 0) & ~has_lease
    of_old_budget = (
        exists().where(balances.c.key == leases.c.balance_key, _is_old_budget(late)).correlate_except(balances)
    )
    of_webhook = func.substr(webhooks.c.subject, SUBJECT_PREFIX + 1)
    return [
        (ledger, ledger.c.at < first_kept(ledger_days, moment)),
        (leases, leases.c.is_charged & of_old_budget),
        (balances, is_free & or_(_is_old_budget(late), _is_full_limit(moment))),
        (
            replicas,
            replicas.c.state.in_(("closed", "lost"))
            & (replicas.c.expires_at_us < int(late.timestamp() * 1e6))
            & ~exists().where(leases.c.replica_id == replicas.c.id).correlate_except(leases),
        ),
        (key_secrets, key_secrets.c.expires_at < late),
        (key_changes, key_changes.c.changed_at_us < int(late.timestamp() * 1e6)),
        (idempotency_keys, idempotency_keys.c.created_at < moment - timedelta(days=_IDEMPOTENCY_DAYS)),
        (
            request_counts,
            (request_counts.c.interval == "minute") & (request_counts.c.start < moment - timedelta(days=_COUNTS_DAYS)),
        ),
        (
            webhooks,
            webhooks.c.next_attempt_at.is_(None)
            & (webhooks.c.created_at < late)
            & ~exists().where(balances.c.key == of_webhook).correlate_except(balances),
        ),
    ]


def _is_old_budget(late: datetime) -> ColumnElement[bool]:
    """Return whether the window of a budget's balance ended before `late`, or its budget is gone."""
    ended: list[ColumnElement[bool]] = []
    for period in PERIODS:
        window, end = window_of(period, late)
        if end is not None:
            # names of windows sort by time
            length = func.length(balances.c.key)
            name = func.substr(balances.c.key, length - len(window) + 1, len(window))
            ended.append(and_(budgets.c.period == period, name < window))
    of_budget = exists().where(budgets.c.id == balances.c.source_id).correlate_except(budgets)
    of_ended_window = of_budget.where(or_(*ended))
    is_orphan = ~of_budget
    return (balances.c.kind == "budget") & or_(of_ended_window, is_orphan)


def _is_full_limit(moment: datetime) -> ColumnElement[bool]:
    """Return whether a limit's balance holds nothing: it is created again when it is needed."""
    is_full = balances.c.refilled_at_ns < int(moment.timestamp() * 1e9) - _HOUR_NS
    of_value = or_(balances.c.key.like("rate/%/%"), balances.c.key.like("permits/%/%"))
    is_orphan = ~exists().where(limits.c.id == balances.c.source_id).correlate_except(limits)
    return (balances.c.kind != "budget") & is_full & or_(of_value, is_orphan)


async def _delete(database: Database, table: Table, condition: ColumnElement[bool], batch: int) -> int | None:
    """Delete a batch of rows that nobody has locked. Returns how many; None if another replica deletes now."""
    key = tuple(table.primary_key.columns)
    async with database.begin() as connection:
        if not await has_turn(connection, _LOCK):
            return None
        query = select(*key).where(condition).limit(batch).with_for_update(of=table, skip_locked=True)
        found = [tuple(row) for row in await connection.execute(query)]
        if found:
            await connection.execute(delete(table).where(tuple_(*key).in_(found)))
        return len(found)

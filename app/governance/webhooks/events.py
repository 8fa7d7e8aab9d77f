"""Finds events that are due: budgets that reached a threshold, and revoked keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, select

from app.governance.leases.current_budgets import amount_at, is_current
from app.governance.leases.windows import window_of
from app.governance.ledger.export import usd
from app.storage.database import AsyncConnection
from app.storage.records import new_id
from app.storage.statements import insert_into
from app.storage.tables import balances, budgets, keys, webhooks

THRESHOLDS = (100, 95, 75)
# of the subject of a budget's event, before the key of its balance
SUBJECT_PREFIX = len("075 00000000025000000000 ")
_REVOKED_DAYS = 2
_LOOKED_UP = 500


class Event(Struct, frozen=True):
    """Something to report once. subject: what makes it unique. data: without secrets and content."""

    subject: str
    type: str
    data: Mapping[str, Any]


async def find_events(connection: AsyncConnection, moment: datetime) -> list[Event]:
    """Return the events that hold now, those that were reported before included."""
    return [*await _budgets(connection, moment), *await _revoked_keys(connection, moment)]


async def add_events(connection: AsyncConnection, events: Iterable[Event], moment: datetime) -> None:
    """Add events that were not reported before."""
    rows = [
        {
            "id": new_id(),
            "subject": each.subject,
            "event": each.type,
            "payload": {"type": each.type, "timestamp": _text(moment), "data": dict(each.data)},
            "created_at": moment,
            "attempts": 0,
            "next_attempt_at": moment,
        }
        for each in events
    ]
    if rows:
        insert = insert_into(connection, webhooks).on_conflict_do_nothing(index_elements=["subject"])
        await connection.execute(insert, rows)


async def reported(connection: AsyncConnection, subjects: Iterable[str]) -> set[str]:
    """Return those of the subjects that have a row."""
    found: set[str] = set()
    wanted = list(subjects)
    for start in range(0, len(wanted), _LOOKED_UP):
        of_batch = webhooks.c.subject.in_(wanted[start : start + _LOOKED_UP])
        found.update((await connection.execute(select(webhooks.c.subject).where(of_batch))).scalars())
    return found


async def _budgets(connection: AsyncConnection, moment: datetime) -> list[Event]:
    """Return the highest threshold that each budget has reached in its window.

    The amount is part of the subject, so a threshold of a budget whose amount has changed is reported again.
    """
    amount = amount_at(moment)
    columns = balances.c.key, balances.c.settled, balances.c.leased, amount.label("amount")
    query = (
        select(*columns, budgets)
        .join(budgets, is_current(moment))
        .where(balances.c.kind == "budget", amount > 0)
        # thresholds are compared exactly below
        .where(balances.c.settled >= amount // 100 * min(THRESHOLDS))
    )
    found = [_event_of(row, moment) for row in await connection.execute(query)]
    return [event for event in found if event is not None]


def _event_of(row: Row[Any], moment: datetime) -> Event | None:
    threshold = next((each for each in THRESHOLDS if row.settled * 100 >= row.amount * each), None)
    if threshold is None:
        return None
    window, end = window_of(row.period, moment)
    of_key = row.key.removeprefix(f"budget/{row.id}").removesuffix(f"/{window}").removeprefix("/")
    data = {
        "threshold_percent": threshold,
        "budget_id": row.id,
        f"{row.scope}_id": row.scope_id,
        "per": row.per,
        # a hash stands for some values
        "value": row.per_value or of_key,
        "period": row.period,
        "action": row.action,
        "amount_usd": usd(row.amount),
        "posted_usd": usd(row.settled),
        "held_usd": usd(row.leased),
        "resets_at": _text(end) if end else None,
    }
    return Event(f"{threshold:03} {row.amount:020} {row.key}", "budget.threshold", data)


async def _revoked_keys(connection: AsyncConnection, moment: datetime) -> list[Event]:
    late = moment - timedelta(days=_REVOKED_DAYS)
    query = select(keys).where(keys.c.status == "revoked", keys.c.revoked_at >= late)
    return [
        Event(
            f"revoked {row.id}",
            "key.revoked",
            {
                "key_id": row.id,
                "name": row.name,
                "team_id": row.team_id,
                "person": row.person,
                "revoked_at": _text(row.revoked_at),
            },
        )
        for row in await connection.execute(query)
    ]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

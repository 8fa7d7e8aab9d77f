"""What callers may read: their own usage, limits and budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.own import OwnLimit, OwnLimits
from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import SpendRow, UsageQuery, UsageRow
from app.admin.api.operations.spend import spend_row
from app.admin.api.operations.usage import usage_rows
from app.governance.holds.needs import Subject, apply_rules, value_of
from app.governance.holds.subjects import Subjects
from app.governance.identity.caller import Caller, Policy
from app.governance.leases.balance import Balance, Kind
from app.storage.records import Limit
from app.storage.statements import time_of_database
from app.storage.tables import balances


async def own_usage(connection: AsyncConnection, caller: Caller, wanted: UsageQuery) -> Page[UsageRow]:
    """Return sums of a caller's usage: of its key, or of a person in a team. Raises Invalid: see `usage_rows`."""
    policy = caller.policy
    if policy is None:
        own = {"team": "", "key": caller.name}
    else:
        own = {"team": policy.team_id, "key": policy.key_id}
        own |= {} if policy.key_id else {"user": policy.person}
    return await usage_rows(connection, wanted, own)


async def own_limits(connection: AsyncConnection, caller: Caller, user: str = "") -> OwnLimits:
    """Return the limits and budgets of a caller, and what is left of them.

    Args:
        user: the end user whose limits are wanted. A person sees only its own.
    """
    policy = caller.policy or Policy(team_id="", key_id="", name=caller.name)
    moment = await time_of_database(connection)
    subject = Subjects().of(caller, user)
    applied = apply_rules(subject, moment)
    query = select(balances).where(balances.c.key.in_(applied.rules))
    known = {row["key"]: row for row in (each._mapping for each in await connection.execute(query))}
    limits: list[OwnLimit] = []
    budgets: list[SpendRow] = []
    for key, rule in applied.rules.items():
        balance = known.get(key)
        if isinstance(rule, Limit):
            now_ns = int(moment.timestamp() * 1_000_000_000)
            limits.append(_limit(rule, subject, _balance(key, applied.refs[key].kind, rule.capacity, balance), now_ns))
        else:
            amounts = balance or _NOTHING
            row = spend_row(rule, key, amounts["settled"], amounts["leased"], moment)
            budgets.append(row.model_copy(update={"value": value_of(subject, rule.per)}))
    return OwnLimits(
        team_id=policy.team_id,
        key_id=policy.key_id,
        name=policy.name,
        models=[[*patterns] for patterns in policy.models],
        default_max_tokens=policy.default_max_tokens,
        largest_max_tokens=policy.largest_max_tokens,
        limits=limits,
        budgets=budgets,
    )


_NOTHING: Mapping[str, Any] = {"settled": 0, "leased": 0, "refilled_at_ns": 0}


def _balance(key: str, kind: Kind, capacity: int, row: RowMapping | None) -> Balance:
    amounts = row or _NOTHING
    return Balance(key, kind, capacity, True, amounts["settled"], amounts["leased"], amounts["refilled_at_ns"])


def _limit(limit: Limit, subject: Subject, balance: Balance, now_ns: int) -> OwnLimit:
    return OwnLimit(
        kind=limit.kind,
        per=limit.per or None,
        value=value_of(subject, limit.per),
        capacity=limit.capacity,
        remaining=max(balance.free(now_ns) or 0, 0),
        shadow=limit.shadow,
    )

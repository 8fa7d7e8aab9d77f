"""What of each budget is spent, held and left in the window that runs now."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import SpendQuery, SpendRow
from app.admin.api.operations.paging import read_cursor, write_cursor
from app.governance.leases.windows import window_of
from app.storage.records import Budget, Period
from app.storage.statements import time_of_database
from app.storage.tables import balances, budgets, keys


async def spend_rows(
    connection: AsyncConnection, wanted: SpendQuery, *conditions: ColumnElement[bool]
) -> Page[SpendRow]:
    """Return the spend of budgets. A budget for each user or label value has a row for each that has called.

    Args:
        conditions: of the budgets that are wanted.

    Raises:
        Invalid: the cursor is of no page.
    """
    moment = await time_of_database(connection)
    key = func.coalesce(balances.c.key, "").label("balance_key")
    joined = budgets.outerjoin(balances, is_of_window(moment))
    query = select(budgets, key, balances.c.settled, balances.c.leased).select_from(joined)
    query = query.where(*_whose(wanted), *conditions).order_by(budgets.c.id, key).limit(wanted.limit + 1)
    if wanted.cursor:
        after = [literal(value) for value in read_cursor(wanted.cursor, str, str)]
        query = query.where(tuple_(budgets.c.id, func.coalesce(balances.c.key, "")) > tuple_(*after))
    found = [row._mapping for row in await connection.execute(query)]
    names = Budget.__struct_fields__
    rows = [
        spend_row(
            Budget(**{name: each[name] for name in names}), each["balance_key"], each["settled"], each["leased"], moment
        )
        for each in found[: wanted.limit]
    ]
    is_last = len(found) <= wanted.limit
    last = found[wanted.limit - 1] if not is_last else None
    return Page(data=rows, next_cursor=None if last is None else write_cursor([last["id"], last["balance_key"]]))


def spend_row(budget: Budget, key: str, settled: int | None, leased: int | None, moment: datetime) -> SpendRow:
    """Return what is shown of a budget.

    Args:
        key: of its balance; empty if nothing has been held of it in this window. settled, leased: of the balance.
    """
    _, end = window_of(budget.period, moment)
    parts = key.split("/")
    is_overridden = budget.override_nano is not None and (
        budget.override_until is None or moment < budget.override_until
    )
    amount = budget.override_nano if is_overridden and budget.override_nano is not None else budget.amount_nano
    posted, held = settled or 0, leased or 0
    return SpendRow(
        budget_id=budget.id,
        scope=budget.scope,
        scope_id=budget.scope_id,
        per=budget.per or None,
        # budget/ID/VALUE/WINDOW
        value=parts[2] if len(parts) > 3 else budget.per_value,
        is_default=bool(budget.per) and not budget.per_value,
        period=budget.period,
        action=budget.action,
        shadow=budget.shadow,
        amount_usd=amount,
        posted_usd=posted,
        held_usd=held,
        remaining_usd=max(amount - posted - held, 0),
        resets_at=end,
    )


def is_of_window(moment: datetime) -> ColumnElement[bool]:
    """Return the condition for the balances of a budget in the window of a time."""
    periods: tuple[Period, ...] = get_args(Period)
    windows = [
        and_(budgets.c.period == period, balances.c.key.endswith(f"/{window_of(period, moment)[0]}", autoescape=True))
        for period in periods
    ]
    return and_(balances.c.source_id == budgets.c.id, or_(*windows))


def _whose(wanted: SpendQuery) -> list[ColumnElement[bool]]:
    """Return the conditions for the budgets of a team and its keys, and for those of a key and its team."""
    conditions: list[ColumnElement[bool]] = []
    of_team, of_key = budgets.c.scope == "team", budgets.c.scope == "key"
    if wanted.team_id:
        its_keys = select(keys.c.id).where(keys.c.team_id == wanted.team_id)
        is_of_keys = of_key & budgets.c.scope_id.in_(its_keys)
        conditions.append((of_team & (budgets.c.scope_id == wanted.team_id)) | is_of_keys)
    if wanted.key_id:
        its_team = select(keys.c.team_id).where(keys.c.id == wanted.key_id)
        is_of_team = of_team & budgets.c.scope_id.in_(its_team)
        conditions.append((of_key & (budgets.c.scope_id == wanted.key_id)) | is_of_team)
    return conditions

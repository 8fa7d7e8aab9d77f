"""What of each budget is spent, held and left in the window that runs now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import SpendQuery, SpendRow
from app.admin.api.operations.paging import page_of, read_cursor
from app.governance.leases.current_budgets import is_current
from app.governance.leases.windows import window_of
from app.storage.records import Budget
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
    joined = budgets.outerjoin(balances, is_current(moment))
    query = select(budgets, key, balances.c.settled, balances.c.leased).select_from(joined)
    query = query.where(*_whose(wanted), *conditions).order_by(budgets.c.id, key).limit(wanted.limit + 1)
    if wanted.cursor:
        after = [literal(value) for value in read_cursor(wanted.cursor, str, str)]
        query = query.where(tuple_(budgets.c.id, func.coalesce(balances.c.key, "")) > tuple_(*after))
    found = [row._mapping for row in await connection.execute(query)]
    names = Budget.__struct_fields__
    page, cursor = page_of(found, wanted.limit, lambda last: [last["id"], last["balance_key"]])
    rows = [
        spend_row(
            Budget(**{name: each[name] for name in names}), each["balance_key"], each["settled"], each["leased"], moment
        )
        for each in page
    ]
    return Page(data=rows, next_cursor=cursor)


def spend_row(budget: Budget, key: str, settled: int | None, leased: int | None, moment: datetime) -> SpendRow:
    """Return what is shown of a budget.

    Args:
        key: of its balance; empty if nothing has been held of it in this window. settled, leased: of the balance.
    """
    _, end = window_of(budget.period, moment)
    parts = key.split("/")
    amount, posted, held = budget.amount_at(moment), settled or 0, leased or 0
    return SpendRow(
        budget_id=budget.id,
        scope=budget.scope,
        scope_id=budget.scope_id,
        per=budget.per or None,
        # budget/ID/VALUE/WINDOW, where a hash stands for some values
        value=budget.per_value or (parts[2] if len(parts) > 3 else ""),
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

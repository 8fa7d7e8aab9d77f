"""The budgets of which most is used."""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.reports import SpendRow
from app.admin.api.operations.spend import spend_row
from app.governance.leases.current_budgets import amount_at, is_current
from app.storage.records import Budget
from app.storage.statements import time_of_database
from app.storage.tables import balances, budgets


async def spend_near_end(connection: AsyncConnection, share: float, limit: int) -> list[SpendRow]:
    """Return the budgets of which at least a share is settled or held, those with the largest share first."""
    moment = await time_of_database(connection)
    used = cast(balances.c.settled + balances.c.leased, Float) / func.nullif(cast(amount_at(moment), BigInteger), 0)
    joined = budgets.join(balances, is_current(moment))
    query = select(budgets, balances.c.key, balances.c.settled, balances.c.leased).select_from(joined)
    query = query.where(used >= share).order_by(used.desc(), budgets.c.id).limit(limit)
    names = Budget.__struct_fields__
    return [
        spend_row(Budget(**{name: row[name] for name in names}), row["key"], row["settled"], row["leased"], moment)
        for row in (each._mapping for each in await connection.execute(query))
    ]

"""Budgets with what is spent of them, for several pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.admin.api.documents.reports import SpendQuery, SpendRow
from app.admin.api.operations.spend import spend_rows
from app.admin.api.operations.spend_near_end import spend_near_end
from app.console.rule_fields import query_of
from app.governance.identity.caller import Policy

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

_MAX_SHOWN = 50
_MAX_NEAR = 8
# of the amount
_NEAR = 0.75


class ShownBudget(Struct, frozen=True):
    """A budget in the window that runs now. share: of the amount, what is settled and held."""

    row: SpendRow
    share: float


async def budgets_of(connection: AsyncConnection, *, team_id: str = "", key_id: str = "") -> list[ShownBudget]:
    """Return the budgets of a key and its team, or of a team and its keys."""
    query = query_of(SpendQuery, {"team_id": team_id, "key_id": key_id, "limit": _MAX_SHOWN})
    return [shown(row) for row in (await spend_rows(connection, query)).data]


async def own_budgets(connection: AsyncConnection, policy: Policy) -> list[ShownBudget]:
    """Return the budgets that bound a caller. Those of its team for each user or label would show other callers."""
    team_id = "" if policy.key_id else policy.team_id
    found = await budgets_of(connection, team_id=team_id, key_id=policy.key_id)
    return [
        each
        for each in found
        if (each.row.scope_id == policy.key_id or (each.row.scope_id == policy.team_id and not each.row.per))
    ]


async def nearly_spent(connection: AsyncConnection) -> list[ShownBudget]:
    """Return the budgets of which most is used, those nearest to their end first."""
    return [shown(row) for row in await spend_near_end(connection, _NEAR, _MAX_NEAR)]


def shown(row: SpendRow) -> ShownBudget:
    """Return a budget with the share that is used."""
    used = row.posted_usd + row.held_usd
    return ShownBudget(row, used / row.amount_usd if row.amount_usd else 1.0)

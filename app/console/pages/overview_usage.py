"""What the first page shows of the database: spend, top teams and models, budgets, replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.admin.api.operations.names import names_of_keys, names_of_teams
from app.admin.api.operations.replicas import count_live_replicas
from app.admin.api.operations.request_counts import counts_over_time
from app.admin.api.operations.top_usage import TopUsage, top_usage, usage_over_time
from app.console.charts import Series, chart_data, filled
from app.console.database import read
from app.console.figures import NANO
from app.console.pages.failures import failures, last_minutes
from app.console.pages.spend import nearly_spent, own_budgets
from app.console.ranges import Range
from app.console.scope import own_filters
from app.console.visit import Visit
from app.storage.records import now

if TYPE_CHECKING:
    from app.admin.api.documents.reports import UsageRow
    from app.storage.database import AsyncConnection

_TOP = 5


async def usage_of_overview(visit: Visit, chosen: Range) -> dict[str, Any]:
    """Return the figures. Callers see their own.

    Raises:
        DatabaseDown: the database cannot be reached, or does not answer in time.
    """
    return await read(visit, lambda connection: _usage(connection, visit, chosen))


async def _usage(connection: AsyncConnection, visit: Visit, chosen: Range) -> dict[str, Any]:
    own = own_filters(visit)
    over_time = await usage_over_time(connection, chosen.since, chosen.interval, own)
    spend = {row.start: row.cost_usd / NANO for row in over_time}
    requests = {row.start: float(row.requests) for row in over_time}
    tokens = {row.start: float(_tokens(row)) for row in over_time}
    groups = ("model",) if own else ("team", "model")
    top = {
        group: await top_usage(connection, TopUsage(chosen.since, chosen.interval, group, own, _TOP))
        for group in groups
    }
    of_all = {} if own else await _of_replicas(connection, chosen)
    policy = visit.who.caller.policy
    budgets = await nearly_spent(connection) if not own else await own_budgets(connection, policy) if policy else []
    ids = {budget.row.scope_id for budget in budgets}
    names = {
        **await names_of_teams(connection, {row.team_id for row in top.get("team", ()) if row.team_id} | ids),
        **await names_of_keys(connection, ids),
    }
    return {
        "cost": sum(row.cost_usd for row in over_time),
        "requests": sum(row.requests for row in over_time),
        "tokens": round(sum(tokens.values())),
        "unpriced": sum(row.unpriced_requests for row in over_time),
        "spend_chart": chart_data(chosen.starts, [Series("Spend", filled(chosen.starts, spend), "usd", bars=True)]),
        "requests_chart": chart_data(chosen.starts, [Series("Requests", filled(chosen.starts, requests), bars=True)]),
        "tokens_chart": chart_data(chosen.starts, [Series("Tokens", filled(chosen.starts, tokens), bars=True)]),
        "top": top,
        "names": names,
        "budgets": budgets,
        **of_all,
    }


async def _of_replicas(connection: AsyncConnection, chosen: Range) -> dict[str, Any]:
    """Return the number of replicas, and their errors and throttles in the range and in the last hour."""
    minutes = last_minutes(now())
    over_time = await counts_over_time(connection, chosen.since, chosen.interval)
    of_hour = await counts_over_time(connection, minutes[0], "minute")
    return {
        "live_replicas": await count_live_replicas(connection),
        "failures": failures(chosen.starts, {each.start: each for each in over_time}, with_calls=False),
        "last_hour": failures(minutes, {each.start: each for each in of_hour}, with_calls=True),
    }


def _tokens(row: UsageRow) -> int:
    cached = row.cache_read_tokens + row.cache_write_tokens + row.cache_write_1h_tokens
    return row.input_tokens + row.output_tokens + cached

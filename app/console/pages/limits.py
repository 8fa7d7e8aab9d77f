"""Limits: what the caller's own key may do, and what is left of its budgets."""

from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.visit import Visit

TITLE = "Limits"


async def show_limits(visit: Visit) -> Response:
    """Show the limits and budgets of the key and of its team."""
    policy = visit.who.caller.policy
    if policy is None or not visit.has_database:
        return visit.page("limits.html", TITLE, policy=None)
    # they load the libraries of databases
    from app.console.database import read
    from app.console.pages.spend import own_budgets
    from app.console.rule_fields import LIMITS

    # limits of the team for other users would name them
    own = [limit for limit in policy.limits if limit.scope == "key" or not limit.per_value]
    budgets = await read(visit, lambda connection: own_budgets(connection, policy))
    return visit.page("limits.html", TITLE, policy=policy, budgets=budgets, own=own, limits=LIMITS)


PAGES = (PageSpec("GET", "/limits", show_limits, TITLE, "signed_in"),)

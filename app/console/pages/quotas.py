"""Quotas: Bedrock's limits of each model, and what is used of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.visit import Visit

TITLE = "Quotas"


async def show_quotas(visit: Visit) -> Response:
    """List the quotas that this process has used. Callers without administrators see none, since others use them."""
    quotas = visit.parts.gateway.quotas
    pools = [*await quotas.describe()] if quotas is not None and visit.who.is_admin else []
    return visit.page("quotas.html", TITLE, pools=pools, names=await _team_names(visit, pools))


async def _team_names(visit: Visit, pools: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    ids = {team["id"] for pool in pools for team in pool["teams"]}
    if not ids or not visit.has_database:
        return {}
    # they load the libraries of databases
    from app.admin.api.operations.names import names_of_teams
    from app.console.database import read

    return await read(visit, lambda connection: names_of_teams(connection, ids))


PAGES = (PageSpec("GET", "/quotas", show_quotas, TITLE),)

"""Quotas: Bedrock's limits of each model, and what is used of them."""

from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.visit import Visit

TITLE = "Quotas"


async def show_quotas(visit: Visit) -> Response:
    """List the pools of quota that this process watches."""
    pools = [*await visit.parts.quotas()] if visit.who.is_admin else []
    return visit.page("quotas.html", TITLE, pools=pools)


PAGES = (PageSpec("GET", "/quotas", show_quotas, TITLE),)

"""Makes the router of the admin API."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute

from app.admin.api.routes.answers import Failure, error_responses
from app.admin.api.routes.gate import Gate
from app.admin.api.routes.keys import add_key_routes
from app.admin.api.routes.reports import QuotaReader, add_report_routes, no_quotas
from app.admin.api.routes.teams import add_team_routes
from app.admin.api.routes.transactions import Transactions

PREFIX = "/admin/v1"
TAG = "Administration"
_EVERYWHERE = (401, 403, 422, 429, 500, 503)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def admin_router(transactions: Transactions, pepper: bytes, gate: Gate, quotas: QuotaReader = no_quotas) -> APIRouter:
    """Return the endpoints below `/admin/v1`.

    Args:
        pepper: KEY_PEPPER. quotas: see `add_report_routes`.
    """
    router = APIRouter(
        prefix=PREFIX, tags=[TAG], route_class=gate.route_class(), responses=error_responses(*_EVERYWHERE)
    )
    add_team_routes(router, transactions)
    add_key_routes(router, transactions, pepper)
    add_report_routes(router, transactions, quotas)

    known = [each for each in router.routes if isinstance(each, APIRoute)]

    @router.api_route("/{path:path}", methods=_METHODS, include_in_schema=False)
    async def refuse(path: str) -> None:
        """Answer an unknown path, or a method that a path does not have."""
        whole = f"{PREFIX}/{path}"
        allowed = ", ".join(
            sorted({method for each in known if each.path_regex.match(whole) for method in each.methods or ()})
        )
        if allowed:
            message, headers = f"the path takes {allowed}", {"allow": allowed}
            raise Failure(405, "method_not_allowed", message, headers=headers)
        raise Failure(404, "not_found", "there is no such path: /docs lists what there is")

    return router

"""The endpoints of usage, spend, ledger, audit and quotas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Response

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import (
    AuditEntry,
    AuditQuery,
    LedgerQuery,
    LedgerRow,
    SpendQuery,
    SpendRow,
    UsageQuery,
    UsageRow,
)
from app.admin.api.operations.audit import list_audit
from app.admin.api.operations.ledger import list_ledger
from app.admin.api.operations.spend import spend_rows
from app.admin.api.operations.usage import usage_rows
from app.admin.api.routes.answers import render
from app.admin.api.routes.parameters import QueryOf
from app.admin.api.routes.transactions import Transactions

QuotaReader = Callable[[], Awaitable[Sequence[dict[str, Any]]]]


async def no_quotas() -> Sequence[dict[str, Any]]:
    """Return no quotas, for a gateway that watches none."""
    return ()


def add_report_routes(router: APIRouter, transactions: Transactions, quotas: QuotaReader) -> None:
    """Add the endpoints that only read. quotas: returns the quotas of Bedrock that this process watches."""

    @router.get("/usage", summary="Sum up usage", response_model=Page[UsageRow])
    async def get_usage(query: QueryOf[UsageQuery]) -> Response:
        """Sum up requests, tokens and cost by group and interval."""
        return render(await transactions.report(lambda c: usage_rows(c, query)), only_set=True)

    @router.get("/spend", summary="Show what is left of budgets", response_model=Page[SpendRow])
    async def get_spend(query: QueryOf[SpendQuery]) -> Response:
        """Show what of each budget is posted, held and left in the window that runs now."""
        return render(await transactions.report(lambda c: spend_rows(c, query)))

    @router.get("/ledger", summary="List entries of the ledger", response_model=Page[LedgerRow])
    async def get_ledger(query: QueryOf[LedgerQuery]) -> Response:
        """List the phases of attempts, the newest first. An entry never changes."""
        return render(await transactions.report(lambda c: list_ledger(c, query)))

    @router.get("/audit", summary="List changes", response_model=Page[AuditEntry])
    async def get_audit(query: QueryOf[AuditQuery]) -> Response:
        """List who changed what, when, from where, and how it was before; the newest first."""
        return render(await transactions.report(lambda c: list_audit(c, query)))

    @router.get("/quotas", summary="Show Bedrock's quotas", response_model=Page[dict[str, Any]])
    async def get_quotas() -> Response:
        """Show the quotas of Bedrock that this process watches."""
        return render(Page[dict[str, Any]](data=[*await quotas()]))

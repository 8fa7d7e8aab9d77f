"""What the pages of requests show of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.admin.api.documents.reports import LedgerQuery, LedgerRow
from app.admin.api.operations.ledger import list_ledger
from app.admin.api.operations.names import names_of_keys, names_of_teams
from app.console.database import read
from app.console.rule_fields import document_of, query_of
from app.console.visit import Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

_MAX_ENTRIES = 200


async def settled_attempts(visit: Visit, filters: Mapping[str, str], limit: int) -> dict[str, Any]:
    """Return a page of settled attempts, the newest first."""
    query = query_of(LedgerQuery, {**filters, "phase": "settle", "cursor": visit.query("cursor"), "limit": limit})

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        page = await list_ledger(connection, query)
        return {
            "entries": page.data,
            "next_cursor": page.next_cursor,
            "cursor": visit.query("cursor"),
            "teams": await names_of_teams(connection, {row.team_id for row in page.data}),
            "keys": await names_of_keys(connection, {row.key_id for row in page.data}),
        }

    return await read(visit, operation)


async def entries_of_request(visit: Visit, request_id: str) -> list[LedgerRow]:
    """Return the entries of one request, the oldest first."""
    query = document_of(LedgerQuery, {"request_id": request_id, "limit": _MAX_ENTRIES})
    found = await read(visit, lambda connection: list_ledger(connection, query))
    return found.data[::-1]

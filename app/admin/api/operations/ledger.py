"""Lists entries of the ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, RowMapping, Text, literal, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import LedgerQuery, LedgerRow
from app.admin.api.operations.paging import moment_of, page_of, read_cursor
from app.storage.tables import ledger

_ORDER = (ledger.c.at, ledger.c.attempt_id, ledger.c.phase, ledger.c.number)


async def list_ledger(connection: AsyncConnection, wanted: LedgerQuery) -> Page[LedgerRow]:
    """List entries, the newest first.

    Raises:
        Invalid: the cursor is of no page.
    """
    query = select(ledger).order_by(*[column.desc() for column in _ORDER]).limit(wanted.limit + 1)
    exact = {
        ledger.c.team_id: wanted.team_id,
        ledger.c.key_id: wanted.key_id,
        ledger.c.model_served: wanted.model,
        ledger.c.request_id: wanted.request_id,
        ledger.c.attempt_id: wanted.attempt_id,
        ledger.c.phase: wanted.phase,
    }
    query = query.where(*[column == value for column, value in exact.items() if value])
    if wanted.user:
        # the index of users has no others
        query = query.where(ledger.c.user != literal_column("''"))
    if wanted.user is not None:
        query = query.where(ledger.c.user == wanted.user)
    if wanted.since is not None:
        query = query.where(ledger.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(ledger.c.at < wanted.until)
    if wanted.cursor:
        at, attempt, phase, number = read_cursor(wanted.cursor, str, str, str, int)
        before = (
            literal(moment_of(at), ledger.c.at.type),
            literal(attempt, Text),
            literal(phase, Text),
            literal(number, BigInteger),
        )
        query = query.where(tuple_(*_ORDER) < tuple_(*before))
    found = [row._mapping for row in await connection.execute(query)]
    page, cursor = page_of(found, wanted.limit, _cursor_values)
    return Page(data=[_row(each) for each in page], next_cursor=cursor)


def _cursor_values(row: RowMapping) -> list[str | int]:
    return [row["at"].isoformat(), row["attempt_id"], row["phase"], row["number"]]


def _row(columns: RowMapping) -> LedgerRow:
    members = dict(columns)
    cost = members.pop("cost_nano")
    return LedgerRow(**members, cost_usd=None if columns["phase"] == "hold" else cost)

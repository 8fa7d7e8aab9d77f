"""Usage: by time, grouped and filtered, as chart, table and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from app.admin.api.documents.reports import UsageRow
from app.admin.api.operations.names import names_of_keys, names_of_teams, teams_to_choose
from app.admin.api.operations.top_usage import TopUsage, top_usage, usage_over_time
from app.admin.api.operations.usage_columns import COLUMNS
from app.console.charts import Series, chart_data, filled
from app.console.database import read
from app.console.figures import NANO
from app.console.page_spec import PageSpec
from app.console.ranges import CHOICES, Range, range_of
from app.console.rendering import SECURE_HEADERS
from app.console.scope import own_filters
from app.console.visit import Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

TITLE = "Usage"
_LABELS = {"": "Nothing", "team": "Team", "key": "Key", "model": "Model", "user": "End user", "label": "Labels"}
# of callers, who are one key
_OWN = ("", "model", "user", "label")
_PER_PAGE = 50
_MAX_CSV = 10_000
_MAX_LINES = 3
# the first letter of what spreadsheets take for a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Wanted(Struct, frozen=True):
    """What the reader wants to see. filters: columns and values."""

    range: Range
    group_by: str
    filters: Mapping[str, str]
    offset: int = 0

    def top(self, limit: int) -> TopUsage:
        """Return the query of the table."""
        return TopUsage(self.range.since, self.range.interval, self.group_by, self.filters, limit, self.offset)


def _wanted(visit: Visit) -> _Wanted:
    own = own_filters(visit)
    names = ("model", "user") if own else ("team_id", "key_id", "model", "user")
    asked = {name: visit.query(name) for name in names if visit.query(name)}
    group_by = visit.query("group_by", "model")
    allowed = _OWN if own else tuple(_LABELS)
    offset = visit.query("offset", "0")
    return _Wanted(
        range_of(visit, "30d"),
        group_by if group_by in allowed else "model",
        {**asked, **own},
        min(int(offset), 100_000) if offset.isdecimal() and len(offset) < 7 else 0,
    )


async def show_usage(visit: Visit) -> Response:
    """Show the chart and the table."""
    wanted = _wanted(visit)

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        rows = await top_usage(connection, wanted.top(_PER_PAGE + 1))
        names = await names_in(connection, wanted.group_by, rows)
        return {
            "rows": rows[:_PER_PAGE],
            "has_more": len(rows) > _PER_PAGE,
            "names": names,
            "teams": [] if own_filters(visit) else await teams_to_choose(connection, visit.query("team_id")),
            "chart": await _chart(connection, wanted, rows, names),
        }

    found = await read(visit, operation)
    is_own = bool(own_filters(visit))
    kept = {"range": wanted.range.name, "group_by": wanted.group_by}
    kept |= {name: visit.query(name) for name in ("team_id", "key_id", "model", "user") if visit.query(name)}
    return visit.page(
        "usage.html",
        TITLE,
        ranges=CHOICES,
        range=wanted.range.name,
        groups=[(name, label) for name, label in _LABELS.items() if not is_own or name in _OWN],
        group_by=wanted.group_by,
        group_label=_LABELS[wanted.group_by],
        column=COLUMNS.get(wanted.group_by, ""),
        filters={name: visit.query(name) for name in ("team_id", "key_id", "model", "user")},
        is_own=is_own,
        query=urlencode(kept),
        offset=wanted.offset,
        per_page=_PER_PAGE,
        **found,
    )


async def _chart(connection: AsyncConnection, wanted: _Wanted, rows: list[UsageRow], names: Mapping[str, str]) -> str:
    """Return spend over time: of the largest groups, or of all together."""
    column, starts = COLUMNS.get(wanted.group_by, ""), wanted.range.starts
    drawn: list[tuple[str, dict[str, str]]] = [("All", {})]
    if column and column != "labels" and rows:
        drawn = [(name_of(names, str(getattr(row, column))), {column: str(getattr(row, column))}) for row in rows]
    series = []
    for label, more in drawn[:_MAX_LINES]:
        found = await usage_over_time(connection, wanted.range.since, wanted.range.interval, {**wanted.filters, **more})
        spend = {row.start: row.cost_usd / NANO for row in found}
        series.append(Series(label, filled(starts, spend), "usd", bars=not column))
    return chart_data(starts, series)


async def names_in(connection: AsyncConnection, group_by: str, rows: list[UsageRow]) -> Mapping[str, str]:
    """Return the names of the teams or keys in rows, by their ids."""
    if group_by == "team":
        return await names_of_teams(connection, {row.team_id for row in rows if row.team_id})
    if group_by == "key":
        return await names_of_keys(connection, {row.key_id for row in rows if row.key_id})
    return {}


def name_of(names: Mapping[str, str], identifier: str) -> str:
    """Return a name for people: that of a key or a team, or the id of one that was deleted."""
    return names.get(identifier, identifier) or "(none)"


async def download(visit: Visit) -> Response:
    """Return the table as CSV."""
    wanted = _wanted(visit)

    async def operation(connection: AsyncConnection) -> tuple[list[UsageRow], Mapping[str, str]]:
        rows = await top_usage(connection, wanted.top(_MAX_CSV))
        return rows, await names_in(connection, wanted.group_by, rows)

    rows, names = await read(visit, operation)
    column = COLUMNS.get(wanted.group_by, "")
    text = io.StringIO()
    writer = csv.writer(text)
    groups = [wanted.group_by, *(["name"] if names else [])] if column else []
    writer.writerow(["from", *groups, *_SUMS, "cost_usd", "estimated_usd"])
    for row in rows:
        document = row.model_dump(mode="json")
        group = document.get(column)
        shown = [_cell(group), *([_cell(names.get(str(group), ""))] if names else [])] if column else []
        figures = [document[name] for name in (*_SUMS, "cost_usd", "estimated_usd")]
        writer.writerow([wanted.range.since.isoformat(), *shown, *figures])
    headers = {**SECURE_HEADERS, "cache-control": "no-store", "content-disposition": 'attachment; filename="usage.csv"'}
    return Response(text.getvalue(), headers=headers, media_type="text/csv")


_SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "unpriced_requests",
)  # fmt: skip


def _cell(value: object) -> str:
    """Return a text that no spreadsheet takes for a formula: callers choose names and labels."""
    text = ";".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value or "")
    return f"'{text}" if text.startswith(_FORMULA) else text


PAGES = (
    PageSpec("GET", "/usage", show_usage, TITLE, "signed_in"),
    PageSpec("GET", "/usage.csv", download, TITLE, "signed_in"),
)

"""Recent requests, by their metadata only: those of this process, and the settled attempts of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.recent_requests import MAX_KEPT, RecentRequest
from app.console.visit import Refused, Visit

TITLE = "Requests"
_PER_PAGE = 50
_FILTERS = ("model", "team_id", "key_id", "request_id")


class ShownRequest(Struct, frozen=True):
    """A request of this process, as it is listed."""

    request: RecentRequest
    at: datetime
    tokens: int | None
    nano: int | None
    outcome: str


class ShownAttempt(Struct, frozen=True):
    """One attempt on the line of time. start, width: per cent of the whole request."""

    target: str
    location: str
    outcome: str
    milliseconds: float
    start: float
    width: float


def shown(request: RecentRequest) -> ShownRequest:
    """Return a request with its figures."""
    record = request.record
    tokens = record.usage.prompt + record.usage.output if record.usage is not None else None
    nano = None if record.cost is None else round(record.cost * 1e9)
    outcome = record.error or ("ok" if record.status < 400 else str(record.status))
    return ShownRequest(request, datetime.fromtimestamp(request.at, UTC), tokens, nano, outcome)


async def show_requests(visit: Visit) -> Response:
    """List requests: of the ledger, or those that this process served."""
    source = visit.query("source", "ledger" if visit.has_database else "process")
    filters = {name: visit.query(name) for name in _FILTERS}
    query = urlencode({"source": source, **{name: value for name, value in filters.items() if value}})
    values: dict[str, Any] = {"filters": filters, "source": source, "query": query}
    if source == "ledger" and visit.has_database:
        # it loads the libraries of databases
        from app.console.pages.ledger_requests import settled_attempts

        found_there = await settled_attempts(visit, filters, _PER_PAGE)
        return visit.page("requests.html", TITLE, **values, **found_there)
    offset = visit.query("offset", "0")
    start = min(int(offset), MAX_KEPT) if offset.isdecimal() and len(offset) < 5 else 0
    found = [each for each in visit.console.recent.of(visit.own_caller) if _matches(each, filters)]
    rows = [shown(each) for each in found[start : start + _PER_PAGE]]
    since = datetime.fromtimestamp(visit.console.recent.since, UTC)
    return visit.page(
        "requests.html",
        TITLE,
        **values,
        rows=rows,
        since=since,
        offset=start,
        next_offset=start + _PER_PAGE if len(found) > start + _PER_PAGE else None,
    )


def _matches(request: RecentRequest, filters: dict[str, str]) -> bool:
    record = request.record
    names = (record.model, record.target, record.model_behind)
    return (
        filters["model"] in ("", *names)
        and filters["request_id"] in ("", record.request_id)
        and filters["key_id"] in ("", record.caller)
    )


async def show_request(visit: Visit) -> Response:
    """Show one request: its attempts, adjustments and cost."""
    request_id = visit.request.path_params["id"]
    recent = visit.console.recent.find(request_id, visit.own_caller)
    entries: list[Any] = []
    if visit.has_database:
        from app.console.pages.ledger_requests import entries_of_request

        entries = await entries_of_request(visit, request_id)
    if recent is None and not entries:
        raise Refused(404, "This request is not known: this process has not served it lately, and the ledger lacks it.")
    return visit.page(
        "request.html",
        TITLE,
        request_id=request_id,
        shown=None if recent is None else shown(recent),
        attempts=[] if recent is None else _attempts(recent),
        entries=entries,
    )


def _attempts(request: RecentRequest) -> list[ShownAttempt]:
    record, whole = request.record, max(request.milliseconds, 0.001)
    return [
        ShownAttempt(
            each.target,
            each.location,
            each.error or "ok",
            each.milliseconds,
            round(min((each.started - record.started) * 1000 / whole, 1) * 100, 2),
            round(max(min(each.milliseconds / whole, 1) * 100, 0.5), 2),
        )
        for each in record.tries
    ]


PAGES = (
    PageSpec("GET", "/requests", show_requests, TITLE),
    PageSpec("GET", "/requests/{id:path}", show_request, TITLE),
)

"""The first page: what is spent, who spends it, and what is not well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from app.console.page_spec import PageSpec
from app.console.pages.failures import MINUTES, failures
from app.console.ranges import CHOICES, range_of
from app.console.visit import Visit
from app.storage.database_down import DatabaseDown

TITLE = "Overview"


class Health(Struct, frozen=True):
    """One part of the gateway. level: `good`, `warn` or `bad`."""

    name: str
    level: str
    text: str


async def show_overview(visit: Visit) -> Response:
    """Show the page; htmx asks for the same page again and takes the part that changes."""
    chosen = range_of(visit)
    values: dict[str, Any] = {"usage": None, "health": _health(visit)}
    if visit.has_database:
        # it loads the libraries of databases
        from app.console.pages.overview_usage import usage_of_overview

        try:
            found = await usage_of_overview(visit, chosen)
            values["usage"] = found
            values["health"].append(Health("Database", "good", "answers"))
            if visit.who.is_admin:
                live = found["live_replicas"]
                values["health"].append(Health("Replicas", "good" if live else "warn", f"{live or 'none'} live"))
        except DatabaseDown as error:
            reason = f": {error}" if visit.who.is_admin else ""
            values["health"].append(Health("Database", "bad", f"does not answer{reason}"))
    elif visit.who.is_admin:
        values["health"] += [Health("Database", "warn", "none: set DATABASE_URL for teams, keys and budgets")]
    is_of_all = values["usage"] is not None and visit.who.is_admin
    shared: dict[str, Any] = {"recent": None if is_of_all else _recent(visit), "now": _now(visit)}
    return visit.page("overview.html", TITLE, ranges=CHOICES, range=chosen.name, **shared, **values)


def _now(visit: Visit) -> dict[str, int]:
    """Return what this process does now."""
    load, admission = visit.parts.gateway.load, visit.parts.gateway.ingress_limits.admission
    # without the request of this page
    return {"running": max(load.in_flight - 1, 0), "waiting": admission.counters.waiting.total}


def _recent(visit: Visit) -> dict[str, Any]:
    """Return what this process has seen in the last hour, for readers who see nothing of all replicas."""
    recent = visit.console.recent
    minutes = recent.minutes(visit.own_caller, MINUTES)
    counted = {datetime.fromtimestamp(each.start, UTC): each for each in minutes}
    return {**failures([*counted], counted, with_calls=True), "since": datetime.fromtimestamp(recent.since, UTC)}


def _health(visit: Visit) -> list[Health]:
    """Return the health of the targets. Callers see whether Bedrock can be called, and no more."""
    gateway = visit.parts.gateway
    reasons = gateway.reasons_not_ready()
    found = [Health("Bedrock", "bad", "; ".join(reasons)) if reasons else Health("Bedrock", "good", "can be called")]
    if not visit.who.is_admin:
        return [Health("Bedrock", found[0].level, "cannot be called now" if reasons else "can be called")]
    found += [
        Health(name, "bad" if state == "open" else "warn", f"circuit breaker {state.replace('_', ' ')}")
        for name, state in sorted(gateway.breakers().items())
    ]
    return found


PAGES = (PageSpec("GET", "/", show_overview, TITLE, "signed_in"),)

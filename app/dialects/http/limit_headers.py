"""The headers that tell callers what is left of their limits and budgets, in the form of each dialect.

Sources:
- docs/reference/contracts/errors.md#retry-advice
- Claude Code shows a warning by `anthropic-ratelimit-unified-*` (2.1.225 and later)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.dialects.http.responses import Headers

if TYPE_CHECKING:
    from app.governance.holds.standing import Standing

_ANTHROPIC = "anthropic-ratelimit-"
_OPENAI = "x-ratelimit-"
# of what is known of these names, the ones that are nearest to budgets: money beyond a plan, and the limit of a week
_CLAIMS = {"week": ("seven_day", "7d")}
_OTHER_CLAIM = ("overage", "overage")
_WARNINGS = (0.95, 0.75)


def limit_headers(dialect: str, standings: Mapping[str, Standing]) -> Headers:
    """Return the headers of an answer. Bedrock's own API has none."""
    if dialect == "anthropic_messages":
        return _of_anthropic(standings)
    return () if dialect == "bedrock" else _of_openai(standings)


def _of_openai(standings: Mapping[str, Standing]) -> Headers:
    headers: list[tuple[str, str]] = []
    for kind, name in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens")):
        if (standing := standings.get(kind)) is not None:
            headers += [
                (f"{_OPENAI}limit-{name}", str(standing.capacity)),
                (f"{_OPENAI}remaining-{name}", str(standing.remaining)),
                (f"{_OPENAI}reset-{name}", _duration(standing.seconds or 0.0)),
            ]
    return tuple(headers)


def _of_anthropic(standings: Mapping[str, Standing]) -> Headers:
    headers: list[tuple[str, str]] = []
    # one limit holds for input and output together
    for kind, names in (
        ("requests_per_minute", ("requests",)),
        ("tokens_per_minute", ("tokens", "input-tokens", "output-tokens")),
    ):
        if (standing := standings.get(kind)) is not None:
            reset = datetime.fromtimestamp(time.time() + (standing.seconds or 0.0), UTC)
            for name in names:
                headers += [
                    (f"{_ANTHROPIC}{name}-limit", str(standing.capacity)),
                    (f"{_ANTHROPIC}{name}-remaining", str(standing.remaining)),
                    (f"{_ANTHROPIC}{name}-reset", f"{reset:%Y-%m-%dT%H:%M:%SZ}"),
                ]
    budget = standings.get("budget")
    if budget is not None:
        headers += _of_budget(budget)
    return tuple(headers)


def _of_budget(budget: Standing) -> Headers:
    """Return the state of a budget; a warning from 75 % on."""
    claim, short = _CLAIMS.get(budget.period or "", _OTHER_CLAIM)
    threshold = next((each for each in _WARNINGS if budget.used >= each), None)
    status = "rejected" if not budget.remaining else "allowed" if threshold is None else "allowed_warning"
    prefix = f"{_ANTHROPIC}unified-"
    headers = [
        (f"{prefix}status", status),
        (f"{prefix}representative-claim", claim),
        (f"{prefix}{short}-status", status),
        (f"{prefix}{short}-utilization", f"{budget.used:.4f}"),
    ]
    if threshold is not None:
        headers.append((f"{prefix}{short}-surpassed-threshold", str(threshold)))
    if budget.seconds is not None:
        reset = str(int(time.time() + budget.seconds))
        headers += [(f"{prefix}reset", reset), (f"{prefix}{short}-reset", reset)]
    return tuple(headers)


def _duration(seconds: float) -> str:
    """Write a time as OpenAI does: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"

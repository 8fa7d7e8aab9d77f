"""The headers that tell Anthropic's clients what is left of their limits and budgets.

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

_PREFIX = "anthropic-ratelimit-"
# one limit holds for input and output together
_NAMES = {
    "requests_per_minute": ("requests",),
    "tokens_per_minute": ("tokens", "input-tokens", "output-tokens"),
}
# of what is known of these names, the ones that are nearest to budgets: money beyond a plan, and the limit of a week
_CLAIMS = {"week": ("seven_day", "7d")}
_OTHER_CLAIM = ("overage", "overage")
_WARNINGS = (0.95, 0.75)


def limit_headers(standings: Mapping[str, Standing]) -> Headers:
    """Return the headers of an answer."""
    headers: list[tuple[str, str]] = []
    for kind, names in _NAMES.items():
        if (standing := standings.get(kind)) is not None:
            reset = datetime.fromtimestamp(time.time() + (standing.seconds or 0.0), UTC)
            for name in names:
                headers += [
                    (f"{_PREFIX}{name}-limit", str(standing.capacity)),
                    (f"{_PREFIX}{name}-remaining", str(standing.remaining)),
                    (f"{_PREFIX}{name}-reset", f"{reset:%Y-%m-%dT%H:%M:%SZ}"),
                ]
    budget = standings.get("budget")
    if budget is not None:
        headers += _of_budget(budget)
    return tuple(headers)


def _of_budget(budget: Standing) -> Headers:
    """Return the state of a budget; a warning from 75 % on."""
    claim, short = _CLAIMS.get(budget.period or "", _OTHER_CLAIM)
    threshold = next((each for each in _WARNINGS if budget.used >= each), None)
    is_rejected = budget.has_refused or (budget.refuses and not budget.remaining)
    status = "rejected" if is_rejected else "allowed" if threshold is None else "allowed_warning"
    prefix = f"{_PREFIX}unified-"
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

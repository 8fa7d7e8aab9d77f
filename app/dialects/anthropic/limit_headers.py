"""The headers that tell Anthropic's clients what is left of their limits and budgets.

Sources:
- docs/reference/contracts/errors.md#retry-advice
- Claude Code shows a warning by `anthropic-ratelimit-unified-*` (2.1.225 and later)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.holds.standing import Headers, Standing

_PREFIX = "anthropic-ratelimit-"


def _names_of(name: str) -> tuple[str, str, str]:
    """Return the names of headers: of a capacity, of what remains, and of when all of it is there again."""
    return f"{_PREFIX}{name}-limit", f"{_PREFIX}{name}-remaining", f"{_PREFIX}{name}-reset"


# one limit holds for input and output together
_NAMES = {
    "requests_per_minute": [_names_of("requests")],
    "tokens_per_minute": [*map(_names_of, ("tokens", "input-tokens", "output-tokens"))],
}
# of what is known of these names, the ones that are nearest to budgets: money beyond a plan, and the limit of a week
_CLAIMS = {"week": ("seven_day", "7d")}
_OTHER_CLAIM = ("overage", "overage")
_WARNINGS = (0.95, 0.75)


def limit_headers(standings: Mapping[str, Standing]) -> Headers:
    """Return the headers of an answer."""
    headers: Headers = []
    for kind, names in _NAMES.items():
        if (standing := standings.get(kind)) is not None:
            capacity, left = str(standing.capacity), str(standing.remaining)
            moment = time.gmtime(time.time() + (standing.seconds or 0.0))
            whole_again = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
            for limit, remaining, reset in names:
                headers += [(limit, capacity), (remaining, left), (reset, whole_again)]
    budget = standings.get("budget")
    if budget is not None:
        headers += _of_budget(budget)
    return headers


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
    return headers

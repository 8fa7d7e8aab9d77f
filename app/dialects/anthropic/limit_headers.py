"""The headers that tell Anthropic's clients what is left of their limits and budgets.

Sources:
- docs/reference/contracts/errors.md#retry-advice
- Claude Code shows a warning by `anthropic-ratelimit-unified-*` (2.1.225 and later)
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.holds.standing import Standing, StandingOf
    from app.storage.records import LimitKind

_PREFIX = "anthropic-ratelimit-"


def _lines_of(name: str) -> tuple[str, str, str]:
    """Return the beginnings of lines: of a capacity, of what remains, and of when all of it is there again."""
    return f"{_PREFIX}{name}-limit: ", f"{_PREFIX}{name}-remaining: ", f"{_PREFIX}{name}-reset: "


# one limit holds for input and output together
_LINES: dict[LimitKind, list[tuple[str, str, str]]] = {
    "requests_per_minute": [_lines_of("requests")],
    "tokens_per_minute": [*map(_lines_of, ("tokens", "input-tokens", "output-tokens"))],
}
# of what is known of these names, the ones that are nearest to budgets: money beyond a plan, and the limit of a week
_CLAIMS = {"week": ("seven_day", "7d")}
_OTHER_CLAIM = ("overage", "overage")
_WARNINGS = (0.95, 0.75)


def limit_headers(standing_of: StandingOf) -> list[str]:
    """Return the lines of an answer's headers."""
    lines: list[str] = []
    for kind, each in _LINES.items():
        if (standing := standing_of(kind)) is not None:
            moment = time.gmtime(time.time() + (standing.seconds or 0.0))
            whole_again = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
            for limit, remaining, reset in each:
                lines += [f"{limit}{standing.capacity}", f"{remaining}{standing.remaining}", reset + whole_again]
    budget = standing_of("budget")
    if budget is not None:
        lines += _of_budget(budget)
    return lines


def _of_budget(budget: Standing) -> list[str]:
    """Return the state of a budget; a warning from 75 % on."""
    claim, short = _CLAIMS.get(budget.period or "", _OTHER_CLAIM)
    threshold = next((each for each in _WARNINGS if budget.used >= each), None)
    is_rejected = budget.has_refused or (budget.refuses and not budget.remaining)
    status = "rejected" if is_rejected else "allowed" if threshold is None else "allowed_warning"
    prefix = f"{_PREFIX}unified-"
    lines = [
        f"{prefix}status: {status}",
        f"{prefix}representative-claim: {claim}",
        f"{prefix}{short}-status: {status}",
        f"{prefix}{short}-utilization: {budget.used:.4f}",
    ]
    if threshold is not None:
        lines.append(f"{prefix}{short}-surpassed-threshold: {threshold}")
    if budget.seconds is not None:
        reset = int(time.time() + budget.seconds)
        lines += [f"{prefix}reset: {reset}", f"{prefix}{short}-reset: {reset}"]
    return lines

"""What is left of the limits and budgets of a caller, as the headers of an answer tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from app.governance.holds.needs import AppliedRules
from app.storage.records import Budget, LimitKind, Period

_MINUTE_SECONDS = 60

Headers = list[tuple[str, str]]
Render = Callable[[Mapping[str, "Standing"]], Headers]


class Standing(Struct, frozen=True):
    """What is left of one limit or budget.

    kind: of a limit, or `budget`. seconds: until all of a rate is there again, or until a budget begins anew; None for
        never. period: of a budget. refuses: calls for which too little is left. has_refused: this one.
    """

    kind: LimitKind | Literal["budget"]
    capacity: int
    remaining: int
    seconds: float | None
    period: Period | None = None
    refuses: bool = True
    has_refused: bool = False

    @property
    def used(self) -> float:
        """The share that is not left, from 0 to 1."""
        return 1 - self.remaining / self.capacity if self.capacity else 1.0


class Standings(Struct, eq=False):
    """What is left of the limits and budgets of a caller, by kind. at: when, in monotonic seconds."""

    by_kind: dict[str, Standing]
    at: float
    _headers: dict[Render, Headers] = field(default_factory=dict)

    def headers(self, render: Render) -> Headers:
        """Return the headers of an answer, which are rendered once. render: returns them in the terms of a dialect."""
        found = self._headers.get(render)
        if found is None:
            found = self._headers[render] = render(self.by_kind)
        return found


def standings_of(
    rules: AppliedRules, remaining: Callable[[str], tuple[int, int] | None], now: datetime, refused: str = ""
) -> dict[str, Standing]:
    """Return by kind that of which the smallest part is left.

    Limits that refuse nothing are left out, and those of parallel requests, for which no dialect has headers.

    Args:
        remaining: returns the capacity of a balance and what is left of it; None if that is not known.
        refused: the balance that had too little left for a call. It is returned whatever is left of others.
    """
    found: dict[str, Standing] = {}
    for key, rule in rules.rules.items():
        left = None if rule.shadow or key in rules.permits else remaining(key)
        if left is None:
            continue
        capacity, free = left
        if isinstance(rule, Budget):
            end = rules.resets[key]
            seconds = (end - now).total_seconds() if end is not None else None
            standing = Standing("budget", capacity, free, seconds, rule.period, rule.action == "block", key == refused)
        else:
            standing = Standing(rule.kind, capacity, free, (capacity - free) * _MINUTE_SECONDS / max(capacity, 1))
        tightest = found.get(standing.kind)
        if tightest is None or standing.has_refused or (standing.used > tightest.used and not tightest.has_refused):
            found[standing.kind] = standing
    return found

"""What is left of the limits and budgets of a caller, as the headers of an answer tell it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from app.governance.holds.needs import AppliedRules, Subject
from app.governance.leases.client import LeaseClient
from app.storage.records import Budget, LimitKind, Period

# what is left is computed once in this time, and told again until then
_TOLD_SECONDS = 0.05
_MINUTE_SECONDS = 60

Kind = LimitKind | Literal["budget"]


class Standing(Struct, frozen=True):
    """What is left of one limit or budget.

    seconds: until all of a rate is there again, or until a budget begins anew; None for never. period: of a budget.
    refuses: calls for which too little is left. has_refused: this one.
    """

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


# returns what is left of limits of a kind, or of budgets; None without one, or if that is not known
StandingOf = Callable[[Kind], Standing | None]
# returns lines of headers in the terms of a dialect
Render = Callable[[StandingOf], list[str]]


class Standings(Struct, eq=False):
    """What is left of the limits and budgets of a caller.

    Limits that refuse nothing are left out, and those of parallel requests, for which no dialect has headers.

    wall: the time by which windows begin and end. refused: the balance that had too little left for a call.
    """

    subject: Subject
    client: LeaseClient
    wall: Callable[[], datetime]
    refused: str = ""
    _lines: dict[Render, list[str]] = field(default_factory=dict)
    _until: float = 0.0

    def lines(self, render: Render) -> list[str]:
        """Return the lines of headers of an answer."""
        seconds = time.monotonic()
        if seconds >= self._until:
            self._lines.clear()
            self._until = seconds + _TOLD_SECONDS
        found = self._lines.get(render)
        if found is None:
            found = self._lines[render] = render(self.of)
        return found

    def of(self, kind: Kind) -> Standing | None:
        """Return that of which the smallest part is left, or that which has refused a call; see `StandingOf`."""
        moment = self.wall()
        rules = self.subject.rules(moment)
        found = [each for key in rules.told[kind] if (each := self._of(key, rules, moment)) is not None]
        if len(found) > 1:
            return max(found, key=_tightness)
        return found[0] if found else None

    def _of(self, key: str, rules: AppliedRules, moment: datetime) -> Standing | None:
        left = self.client.remaining(key)
        if left is None:
            return None
        (capacity, remaining), rule = left, rules.rules[key]
        if not isinstance(rule, Budget):
            return Standing(capacity, remaining, (capacity - remaining) * _MINUTE_SECONDS / max(capacity, 1))
        end = rules.resets[key]
        seconds = (end - moment).total_seconds() if end is not None else None
        return Standing(capacity, remaining, seconds, rule.period, rule.action == "block", key == self.refused)


def _tightness(standing: Standing) -> tuple[bool, float]:
    return standing.has_refused, standing.used

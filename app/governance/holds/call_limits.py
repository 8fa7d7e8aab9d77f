"""Holds the limits and budgets of a caller for a call, and settles them when the call has ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from app.errors import BudgetSpent, Overloaded, RateLimited
from app.governance.holds.bounds import CallBounds
from app.governance.holds.needs import AppliedRules, Subject, apply_rules
from app.governance.holds.usual_costs import UsualCosts
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.storage.records import Budget, now

_log = logging.getLogger(__name__)

_MAX_APPLIED = 10_000
_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_NAMES = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "max_parallel_requests": "parallel requests",
}


class Hold(Struct):
    """What a call holds. It is settled or released once.

    held: amounts by the keys of balances. book: in which they are held; None for a call without limits, or one that was
        let through without the database. replica: whose leases these are.
    """

    rules: AppliedRules
    held: dict[str, int]
    book: LeaseBook | None
    replica: str
    model: str
    worst_nano: int
    is_open: bool = True


class _Applied(Struct):
    subject: Subject
    rules: AppliedRules


class CallLimits:
    """Admits calls by the limits and budgets of their callers.

    Args:
        fail_open: let calls through while the database cannot be reached and the leases do not cover them.
    """

    def __init__(self, client: LeaseClient, *, fail_open: bool = False, wall: Callable[[], datetime] = now) -> None:
        self._client = client
        self._fail_open = fail_open
        self._wall = wall
        self._usual = UsualCosts()
        self._applied: dict[tuple[str, str], _Applied] = {}

    async def hold(self, subject: Subject, model: str, bounds: CallBounds, worst_nano: int | None) -> Hold:
        """Hold what a call needs. The usual call waits for nothing.

        Args:
            model: as it is called. worst_nano: what the call costs at most; None if its price is not known.

        Raises:
            BudgetSpent: a budget that blocks has too little left, or the price is not known.
            RateLimited: a rate or the number of parallel requests does not allow it now.
            Overloaded: the leases do not cover it, and the database cannot be reached.
        """
        moment = self._wall()
        rules = self._rules(subject, moment)
        if worst_nano is None:
            if rules.blocking is not None:
                raise BudgetSpent(f"the price of {model} is not known, so no budget can pay for it", is_final=True)
            worst_nano = 0
        held = rules.needs(bounds, worst_nano)
        for key, budget in rules.money.items():
            if budget.mode == "estimated":
                held[key] = self._usual.estimate(budget.id, model, worst_nano)
        book = self._client.take(held) if held else None
        if book is None and held:
            book = await self._acquire(subject, held, rules, moment)
        if book is not None and rules.requests:
            self._client.settle(book, rules.requests, rules.requests)
        return Hold(rules, held, book, self._client.transactions.replica, model, worst_nano)

    def settle(self, hold: Hold, cost_nano: int, tokens: int) -> None:
        """End a call that used tokens, and release what it held beyond that."""
        rules = hold.rules
        self._end(hold, dict.fromkeys(rules.tokens, tokens) | dict.fromkeys(rules.money, cost_nano))
        for key, budget in rules.money.items():
            if budget.mode == "estimated":
                self._usual.note(budget.id, hold.model, hold.worst_nano, cost_nano)
            elif cost_nano > hold.held[key]:
                fields = {"model": hold.model, "held_nano": hold.held[key], "cost_nano": cost_nano}
                _log.error("a call cost more than was held for it", extra={"fields": fields})

    def release(self, hold: Hold) -> None:
        """End a call for which nothing is billed. Its request counts all the same."""
        self._end(hold, {})

    async def _acquire(
        self, subject: Subject, held: dict[str, int], rules: AppliedRules, moment: datetime
    ) -> LeaseBook | None:
        """Hold what the leases do not cover. Returns None for a call that is let through without that."""
        try:
            book = await self._client.acquire(held, rules.refs)
        except LeasesUnavailable:
            if not self._fail_open:
                raise Overloaded(
                    "spend limit unavailable: the limits cannot be checked now", detail="database"
                ) from None
            _log.warning("a call was let through without its limits", extra={"fields": {"key": subject.key_id}})
            return None
        if isinstance(book, Refused):
            raise _refusal(rules, book, moment)
        return book

    def _rules(self, subject: Subject, moment: datetime) -> AppliedRules:
        """Return the rules that apply to a subject. They are kept until they change, or until a window ends."""
        found = self._applied.get((subject.key_id, subject.user))
        if found is not None and moment < found.rules.ends:
            known = found.subject
            if known.limits is subject.limits and known.budgets is subject.budgets and known.labels == subject.labels:
                return found.rules
        if len(self._applied) >= _MAX_APPLIED:
            self._applied.clear()
        rules = apply_rules(subject, moment)
        self._applied[subject.key_id, subject.user] = _Applied(subject, rules)
        return rules

    def _end(self, hold: Hold, used: dict[str, int]) -> None:
        if not hold.is_open:
            return
        hold.is_open = False
        rules = hold.rules
        if hold.book is not None:
            for key in rules.requests:
                del hold.held[key]
            self._client.settle(hold.book, hold.held, used)
        elif rules.money and hold.replica == self._client.transactions.replica:
            # it holds nothing, and what it cost is a debt that the next lease covers
            self._client.transactions.refs.update({key: rules.refs[key] for key in rules.money})
            self._client.settle(self._client.transactions.book, dict.fromkeys(rules.money, 0), used)


def _refusal(rules: AppliedRules, refused: Refused, moment: datetime) -> RateLimited:
    rule = rules.rules[refused.key]
    whose = "" if not rule.per else f" of this {rule.per.removeprefix('label:')}"
    if isinstance(rule, Budget):
        end = rules.resets[refused.key]
        resets = f"; resets {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if end else ""
        seconds = max(math.ceil((end - moment).total_seconds()), 1) if end else None
        message = f"spend limit{whose} reached ({_PERIODS[rule.period]}{resets})"
        return BudgetSpent(message, retry_after=seconds, detail=refused.key, is_final=True)
    name = _NAMES[rule.kind]
    message = f"limit{whose} reached: {rule.capacity} {name}"
    return RateLimited(
        message, retry_after=refused.retry_after, retry_here=False, retry_elsewhere=False, detail=refused.key
    )

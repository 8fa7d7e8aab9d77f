"""Holds the limits and budgets of a caller for a call, and settles them when the call has ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from app.errors import BudgetSpent, Overloaded, RateLimited
from app.governance.holds.bounds import CallBounds
from app.governance.holds.needs import Needs, Subject, needs_of
from app.governance.holds.usual_costs import UsualCosts
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.storage.records import Budget, now

_log = logging.getLogger(__name__)

_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_NAMES = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "max_parallel_requests": "parallel requests",
}


class Hold(Struct):
    """What a call holds. It is settled or released once.

    book: in which it is held; None for a call that was let through without the database. replica: whose leases.
    """

    needs: Needs
    book: LeaseBook | None
    replica: str
    model: str
    worst_nano: int
    is_open: bool = True


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
        usual = {
            each.id: self._usual.estimate(each.id, model, worst_nano or 0)
            for each in subject.budgets
            if each.mode == "estimated"
        }
        needs = needs_of(subject, bounds, worst_nano, usual, moment)
        if needs.unpriced is not None:
            raise BudgetSpent(
                f"the price of {model} is not known, so a call cannot be held against a budget", is_final=True
            )
        if not needs.held:
            return Hold(needs, None, self._client.transactions.replica, model, worst_nano or 0)
        book: LeaseBook | Refused | None = self._client.take(needs.held)
        if book is None:
            try:
                book = await self._client.acquire(needs.held, needs.refs)
            except LeasesUnavailable:
                if not self._fail_open:
                    raise Overloaded(
                        "spend limit unavailable: the limits cannot be checked now", detail="database"
                    ) from None
                _log.warning("a call was let through without its limits", extra={"fields": {"key": subject.key_id}})
        if isinstance(book, Refused):
            raise _refusal(needs, book, moment)
        hold = Hold(needs, book, self._client.transactions.replica, model, worst_nano or 0)
        if book is not None:
            requests = dict.fromkeys(needs.requests, 1)
            self._client.settle(book, requests, requests)
        return hold

    def settle(self, hold: Hold, cost_nano: int, tokens: int) -> None:
        """End a call that used tokens, and release what it held beyond that."""
        used = dict.fromkeys(hold.needs.tokens, tokens) | dict.fromkeys(hold.needs.money, cost_nano)
        self._end(hold, used)
        for key in hold.needs.money:
            rule = hold.needs.rules[key]
            if isinstance(rule, Budget) and rule.mode == "estimated":
                self._usual.note(rule.id, hold.model, hold.worst_nano, cost_nano)
            elif cost_nano > hold.needs.held[key]:
                fields = {"model": hold.model, "held_nano": hold.needs.held[key], "cost_nano": cost_nano}
                _log.error("a call cost more than was held for it", extra={"fields": fields})

    def release(self, hold: Hold) -> None:
        """End a call for which nothing is billed. Its request counts all the same."""
        self._end(hold, {})

    def _end(self, hold: Hold, used: dict[str, int]) -> None:
        if not hold.is_open:
            return
        hold.is_open = False
        if hold.book is not None:
            held = {key: amount for key, amount in hold.needs.held.items() if key not in hold.needs.requests}
            self._client.settle(hold.book, held, used)
        elif hold.replica == self._client.transactions.replica:
            # it holds nothing, and what it cost is a debt that the next lease covers
            money = dict.fromkeys(hold.needs.money, 0)
            self._client.transactions.refs.update({key: hold.needs.refs[key] for key in money})
            self._client.settle(self._client.transactions.book, money, used)


def _refusal(needs: Needs, refused: Refused, moment: datetime) -> RateLimited:
    rule = needs.rules[refused.key]
    whose = "" if not rule.per else f" of this {rule.per.removeprefix('label:')}"
    if isinstance(rule, Budget):
        end = needs.resets[refused.key]
        resets = f"; resets {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if end else ""
        seconds = max(math.ceil((end - moment).total_seconds()), 1) if end else None
        message = f"spend limit{whose} reached ({_PERIODS[rule.period]}{resets})"
        return BudgetSpent(message, retry_after=seconds, detail=refused.key, is_final=True)
    name = _NAMES[rule.kind]
    message = f"limit{whose} reached: {rule.capacity} {name}"
    return RateLimited(
        message, retry_after=refused.retry_after, retry_here=False, retry_elsewhere=False, detail=refused.key
    )

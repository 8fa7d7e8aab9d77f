"""Holds the limits and budgets of a caller for a call, and settles them when the call has ended."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from app.errors import BudgetSpent, LimitReached, ModelNotFound, Overloaded
from app.governance.holds.bounds import CallBounds
from app.governance.holds.needs import AppliedRules, Holdings, Subject
from app.governance.holds.standing import Standings
from app.governance.holds.usual_costs import UsualCosts
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.storage.records import Budget, now

_log = logging.getLogger(__name__)

_NANO = 1_000_000_000
_CENT_NANO = 10_000_000
_PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_NAMES = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "max_parallel_requests": "parallel requests",
}


_NONE: Mapping[str, int] = {}


class RequestHold(Struct, gc=False):
    """What the attempts of one request hold together: it counts once, and is one of the parallel requests.

    attempts: that run now. permits: where it holds them until the last of these ends; None if it holds none.
    pending: the first one is not admitted yet, and others wait for that.
    """

    is_counted: bool = False
    attempts: int = 0
    permits: Holdings | None = None
    pending: asyncio.Event | None = None

    def wake(self) -> None:
        """Let the attempts go on that wait for the first one."""
        if self.pending is not None:
            self.pending.set()
            self.pending = None


class AttemptHold(Struct, gc=False):
    """What an attempt holds. It is settled or released once.

    amounts: that are held; see `AppliedRules.amounts`. Later attempts of a request hold nothing of its last two parts.
    holdings: where they are held; None for an attempt without limits, or one that was let through without the database.
    replica: whose leases these are.
    exceeded: limits and budgets that refuse nothing, and would not have allowed the attempt. at: when it began.
    """

    rules: AppliedRules
    request: RequestHold
    amounts: list[int]
    holdings: Holdings | None
    replica: str
    model: str
    worst_nano: int
    exceeded: Sequence[str]
    at: datetime
    is_open: bool = True


class CallLimits:
    """Admits calls by the limits and budgets of their callers.

    Args:
        fail_open: let calls through while the database cannot be reached and the leases do not cover them.
        wall: the time by which windows begin and end, the same on all replicas.
    """

    def __init__(self, client: LeaseClient, *, fail_open: bool = False, wall: Callable[[], datetime] = now) -> None:
        self._client = client
        self._fail_open = fail_open
        self._wall = wall
        self._usual = UsualCosts()

    async def hold(
        self,
        subject: Subject,
        model: str,
        bounds: CallBounds,
        worst_nano: int | None,
        request: RequestHold | None = None,
    ) -> AttemptHold:
        """Hold what an attempt needs. The usual one waits for nothing.

        Args:
            model: as it is called. worst_nano: what the attempt costs at most; None if its price is not known.
            request: what earlier attempts of the same request hold.

        Raises:
            BudgetSpent: a budget that blocks has too little left.
            ModelNotFound: a budget that blocks needs the price of the model, which is not known.
            LimitReached: a rate or the number of parallel requests does not allow it now.
            Overloaded: the leases do not cover it, and the database cannot be reached.
        """
        moment, rules = self._wall(), subject.applied
        if rules is None or moment >= rules.ends:
            rules = subject.rules(moment)
        if worst_nano is None:
            if rules.blocking is not None:
                raise _unpriced(model)
            worst_nano = 0
        request = RequestHold() if request is None else request
        while request.pending is not None:
            await request.pending.wait()
        amounts = rules.amounts(bounds, worst_nano)
        if rules.estimated:
            for index, budget in enumerate(rules.money.values()):
                if budget.mode == "estimated":
                    amounts[index] = self._usual.estimate(budget.id, model, worst_nano)
        transactions, holdings = self._client.transactions, subject.holdings
        if holdings is None or holdings.found_in is not transactions.book.holdings or holdings.rules is not rules:
            holdings = subject.find(rules, transactions.book)
        if (
            holdings is not None
            and not request.is_counted
            and self._client.take_from(holdings.of_first, amounts, rules.keys)
        ):
            # the first attempt: what counts requests is used at once
            for each in holdings.requests:
                each.spent += 1
            request.is_counted, request.attempts, request.permits = True, 1, holdings
        else:
            holdings = await self._acquire(subject, rules, amounts, request, moment)
        exceeded = _names(rules, transactions.over) if transactions.over else ()
        return AttemptHold(rules, request, amounts, holdings, transactions.replica, model, worst_nano, exceeded, moment)

    async def _acquire(
        self, subject: Subject, rules: AppliedRules, amounts: list[int], request: RequestHold, moment: datetime
    ) -> Holdings | None:
        """Hold what the leases do not cover at once, or what a later attempt of a request needs.

        Returns None for a call that needs nothing, or is let through without the database.
        """
        counts, needs_permit = not request.is_counted, not request.attempts
        # an attempt after the first does not hold again what its request holds once
        counted = rules.requests if counts else _NONE
        permits = rules.permits if needs_permit else _NONE
        # before anything is awaited: other attempts of the request may begin meanwhile
        request.is_counted = True
        request.attempts += 1
        needs = {**counted, **permits, **rules.of_attempt(amounts)}
        if not needs:
            return None
        book = self._client.take(needs, counted)
        if book is None:
            request.pending = asyncio.Event() if counts or needs_permit else None
            try:
                book = await self._wait_for(subject, needs, rules, moment)
            except BaseException:
                self._end_attempt(request, counted=not counts)
                raise
            finally:
                request.wake()
            if book is None:
                return None
            self._client.settle(book, counted, counted)
        holdings = Holdings.of(rules, book, tuple(map(book.of, rules.keys)))
        if permits:
            request.permits = holdings
        return holdings

    def leave(self, request: RequestHold) -> None:
        """Stop counting a running request as a parallel one, because its caller has disconnected."""
        held, request.permits = request.permits, None
        if held is None:
            return
        if held.found_in is self._client.transactions.book.holdings:
            count = len(held.permits)
            self._client.settle_from(held.permits, [1] * count, [0] * count)
        else:
            self._client.settle(held.book, held.rules.permits, {})

    def _end_attempt(self, request: RequestHold, *, counted: bool = True) -> None:
        request.attempts -= 1
        request.is_counted = counted
        if not request.attempts:
            self.leave(request)

    def settle(self, hold: AttemptHold, cost_nano: int, tokens: int) -> None:
        """End a call that used tokens, and release what it held beyond that."""
        rules = hold.rules
        self._end(hold, rules.used(cost_nano, tokens))
        if rules.estimated:
            for budget in rules.estimated.values():
                self._usual.note(budget.id, hold.model, hold.worst_nano, cost_nano)
        if cost_nano > hold.worst_nano and len(rules.money) > len(rules.estimated):
            fields = {"model": hold.model, "held_nano": hold.worst_nano, "cost_nano": cost_nano}
            _log.error("a call cost more than was held for it", extra={"fields": fields})

    def standings(self, subject: Subject, refused: str = "") -> Standings:
        """Return what is left of the limits and budgets of a caller. refused: the balance that had too little left."""
        return Standings(subject, self._client, self._wall, refused)

    def release(self, hold: AttemptHold) -> None:
        """End a call for which nothing is billed. Its request counts all the same."""
        self._end(hold, hold.rules.used(0, 0))

    async def _wait_for(
        self, subject: Subject, held: dict[str, int], rules: AppliedRules, moment: datetime
    ) -> LeaseBook | None:
        """Hold what the leases do not cover. Returns None for a call that is let through without that."""
        try:
            book = await self._client.acquire(held, rules.refs)
        except LeasesUnavailable:
            if not self._fail_open and _may_refuse(rules):
                raise Overloaded(
                    "spend limit unavailable: the limits cannot be checked now", detail="database"
                ) from None
            _log.warning("a call was let through without its limits", extra={"fields": {"key": subject.key_id}})
            return None
        if isinstance(book, Refused):
            raise _refusal(rules, book, moment, held[book.key])
        return book

    def _end(self, hold: AttemptHold, used: list[int]) -> None:
        if not hold.is_open:
            return
        hold.is_open = False
        rules, request, holdings, client = hold.rules, hold.request, hold.holdings, self._client
        book = client.transactions.book
        request.attempts -= 1
        if holdings is not None and holdings.found_in is book.holdings:
            found = holdings.of_attempt
            if request.permits is holdings and not request.attempts:
                request.permits, found = None, holdings.of_last
            client.settle_from(found, hold.amounts, used)
        elif holdings is not None:
            client.settle(holdings.book, rules.of_attempt(hold.amounts), rules.of_attempt(used))
        elif rules.money and hold.replica == client.transactions.replica:
            # it holds nothing, and what it cost is a debt that the next lease covers
            client.transactions.refs.update({key: rules.refs[key] for key in rules.money})
            client.settle(book, dict.fromkeys(rules.money, 0), rules.of_attempt(used))
        if request.permits is not None and not request.attempts:
            self.leave(request)


def _may_refuse(rules: AppliedRules) -> bool:
    """Return whether one of the rules may refuse calls."""
    found = rules.rules.values()
    return any(not each.shadow and not (isinstance(each, Budget) and each.action == "warn") for each in found)


def _names(rules: AppliedRules, keys: Collection[str]) -> list[str]:
    """Return the kinds of the rules of some balances, each once."""
    found = [rule for key, rule in rules.rules.items() if key in keys]
    return [*dict.fromkeys("budget" if isinstance(rule, Budget) else str(rule.kind) for rule in found)]


def _unpriced(called: str) -> BudgetSpent | ModelNotFound:
    needs_it = "a budget of this key or its team needs it"
    if called.startswith("/"):
        # an endpoint without a model
        return BudgetSpent(f"the price of {called} is not known, and {needs_it}", is_final=True)
    message = f"the model '{called}' is not known, or the price of it is not, and {needs_it}: "
    advice = "check the name (GET /v1/models lists what can be called), or have the operator set a price in [prices]"
    return ModelNotFound(message + advice, param="model")


def _refusal(rules: AppliedRules, refused: Refused, moment: datetime, need: int) -> BudgetSpent | LimitReached:
    rule = rules.rules[refused.key]
    whose = "" if not rule.per else f" of this {rule.per.removeprefix('label:')}"
    if isinstance(rule, Budget):
        end = rules.resets[refused.key]
        resets = f"; resets {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if end else ""
        seconds = max(math.ceil((end - moment).total_seconds()), 1) if end else None
        cost = f"{need / _NANO:,.2f}" if need >= _CENT_NANO else f"{need / _NANO:.9f}".rstrip("0")
        message = f"spend limit{whose} reached ({_PERIODS[rule.period]}{resets}): this call may cost ${cost}, more than"
        is_larger = need > rule.amount_at(moment)
        message += " the limit itself: lower its max_tokens, or use fewer tools" if is_larger else " is left"
        return BudgetSpent(message, retry_after=seconds, detail=refused.key, is_final=True)
    name = _NAMES[rule.kind]
    message = f"limit{whose} reached: {rule.capacity} {name}"
    return LimitReached(message, retry_after=refused.retry_after, detail=refused.key)

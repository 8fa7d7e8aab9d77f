"""Which balances a call needs, and how much of each, from the limits and budgets of its caller."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Self, TypeVar

from msgspec import Struct

from app.governance.holds.bounds import CallBounds
from app.governance.leases.balance import Kind
from app.governance.leases.lease_book import Holding, LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.leases.windows import window_of
from app.storage.records import Budget, Limit

_MAX_VALUE = 64
_LABEL = "label:"

Rule = TypeVar("Rule", bound=Limit | Budget)


class CalledModel(Struct, frozen=True, gc=False):
    """What a call is for.

    asked: the model as the caller named it. called: as it is called; behind: the model that an ARN hides; base: that
        without a geography. tier: the service tier that is requested.
    """

    asked: str
    called: str
    behind: str
    base: str
    location: str
    tier: str

    @property
    def served(self) -> str:
        """The model as the ledger shows it."""
        return self.base if self.called.startswith("arn:") else self.called


class Subject(Struct, eq=False):
    """Who makes a call, with the limits and budgets of the key and its team. user: the end user that the call names.

    has_rules: whether it has any. applied: those that apply now, which are kept until a window ends.
    holdings: where amounts are held for them.
    """

    team_id: str
    key_id: str
    user: str = ""
    labels: Mapping[str, str] = {}
    limits: Sequence[Limit] = ()
    budgets: Sequence[Budget] = ()
    has_rules: bool = False
    applied: AppliedRules | None = None
    holdings: Holdings | None = None

    def __post_init__(self) -> None:
        self.has_rules = bool(self.limits or self.budgets)

    def rules(self, now: datetime) -> AppliedRules:
        """Return the rules that apply at a time."""
        rules = self.applied
        if rules is None or now >= rules.ends:
            rules = self.applied = apply_rules(self, now)
        return rules

    def find(self, rules: AppliedRules, book: LeaseBook) -> Holdings | None:
        """Find where a lease book has the balances of the rules; None if it does not know one of them."""
        found = book.find(rules.keys)
        self.holdings = None if found is None else Holdings.of(rules, book, found)
        return self.holdings


class AppliedRules(Struct, frozen=True):
    """The limits and budgets that apply to the calls of a subject, until `ends`: the end of the first window.

    All mappings are by the keys of balances. requests, permits: 1 for each rate of requests, and for each limit of
    parallel requests. tokens: the capacities of rates of tokens. money: budgets; `resets` has the ends of windows.
    keys: of money, tokens, permits and requests, in this order. counts: of the first three.
    units: what a request needs of permits and requests. smallest: of the capacities of rates of tokens.
    told: the keys of those that may refuse or warn, by kind of limit, or `budget`.
    blocking: a budget that may refuse calls. estimated: budgets that hold what calls usually cost. is_hard: a budget
    that holds the worst case may refuse calls.
    """

    ends: datetime
    requests: Mapping[str, int]
    permits: Mapping[str, int]
    tokens: Mapping[str, int]
    money: Mapping[str, Budget]
    estimated: Mapping[str, Budget]
    refs: Mapping[str, BalanceRef]
    rules: Mapping[str, Limit | Budget]
    resets: Mapping[str, datetime | None]
    told: Mapping[str, Sequence[str]]
    blocking: Budget | None
    is_hard: bool
    keys: tuple[str, ...]
    counts: tuple[int, int, int]
    units: list[int]
    smallest: float

    def amounts(self, bounds: CallBounds, worst_nano: int) -> list[int]:
        """Return what the first attempt of a request needs of each balance at most, in the order of `keys`.

        Raises:
            ValueError: a bound is negative, so that the hold would give others more than there is.
        """
        if bounds.input < 0 or bounds.output < 0 or worst_nano < 0:
            raise ValueError("the bounds of a call must not be negative")
        budgets, rates, _ = self.counts
        tokens = bounds.input + bounds.output
        if tokens <= self.smallest:
            return [worst_nano] * budgets + [tokens] * rates + self.units
        # a call that may be larger than a limit needs all of it; what it uses beyond that delays the next one
        return [worst_nano] * budgets + [min(tokens, each) for each in self.tokens.values()] + self.units

    def used(self, cost_nano: int, tokens: int) -> list[int]:
        """Return what an attempt used of each balance, in the order of `keys`, without the requests."""
        budgets, rates, permits = self.counts
        return [cost_nano] * budgets + [tokens] * rates + [0] * permits

    def of_attempt(self, amounts: Iterable[int]) -> dict[str, int]:
        """Return the money and the tokens by key."""
        return dict(zip((*self.money, *self.tokens), amounts, strict=False))


class Holdings(Struct, frozen=True, eq=False):
    """Where a lease book has the balances of rules, so that a call does not look them up.

    found_in: the mapping of the book. When the book has another one, the balances have to be found again.
    of_attempt: of money and tokens. of_last: and of permits, which end with the last attempt of a request.
    of_first: and of requests, which the first attempt uses.
    """

    rules: AppliedRules
    book: LeaseBook
    found_in: Mapping[str, Holding]
    of_attempt: tuple[Holding, ...]
    of_last: tuple[Holding, ...]
    of_first: tuple[Holding, ...]
    permits: tuple[Holding, ...]
    requests: tuple[Holding, ...]

    @classmethod
    def of(cls, rules: AppliedRules, book: LeaseBook, found: tuple[Holding, ...]) -> Self:
        """Return the holdings of rules. found: in the order of their keys."""
        attempt = len(rules.money) + len(rules.tokens)
        last = attempt + len(rules.permits)
        return cls(rules, book, book.holdings, found[:attempt], found[:last], found, found[attempt:last], found[last:])


def apply_rules(subject: Subject, now: datetime) -> AppliedRules:
    """Return the rules that apply to the calls of a subject at a time."""
    parts: dict[str, dict[str, int]] = {"requests_per_minute": {}, "max_parallel_requests": {}, "tokens_per_minute": {}}
    refs: dict[str, BalanceRef] = {}
    rules: dict[str, Limit | Budget] = {}
    for limit, value in _applying(subject, subject.limits):
        kind: Kind = "permits" if limit.kind == "max_parallel_requests" else "rate"
        key = _key(kind, limit.id, value)
        refs[key], rules[key] = BalanceRef(key, kind, limit.id), limit
        parts[limit.kind][key] = limit.capacity if limit.kind == "tokens_per_minute" else 1
    money: dict[str, Budget] = {}
    resets: dict[str, datetime | None] = {}
    for budget, value in _applying(subject, subject.budgets):
        window, end = window_of(budget.period, now)
        key = f"{_key('budget', budget.id, value)}/{window}"
        refs[key], rules[key] = BalanceRef(key, "budget", budget.id), budget
        money[key], resets[key] = budget, end
    by_kind: dict[str, Iterable[str]] = {**parts, "budget": money}
    blocking = [each for each in money.values() if each.action == "block" and not each.shadow]
    return AppliedRules(
        min([end for end in resets.values() if end is not None], default=datetime.max.replace(tzinfo=UTC)),
        parts["requests_per_minute"],
        parts["max_parallel_requests"],
        parts["tokens_per_minute"],
        money,
        {key: each for key, each in money.items() if each.mode == "estimated"},
        refs,
        rules,
        resets,
        {kind: [key for key in keys if not rules[key].shadow] for kind, keys in by_kind.items()},
        blocking[0] if blocking else None,
        any(each.mode == "hard" for each in blocking),
        (*money, *parts["tokens_per_minute"], *parts["max_parallel_requests"], *parts["requests_per_minute"]),
        (len(money), len(parts["tokens_per_minute"]), len(parts["max_parallel_requests"])),
        [1] * (len(parts["max_parallel_requests"]) + len(parts["requests_per_minute"])),
        min(parts["tokens_per_minute"].values(), default=math.inf),
    )


def _applying(subject: Subject, rules: Iterable[Rule]) -> list[tuple[Rule, str]]:
    """Return the rules of a call with the value that each is for. A rule for one value replaces that for all values."""
    chosen: dict[tuple[object, ...], tuple[Rule, str]] = {}
    for rule in rules:
        value = value_of(subject, rule.per)
        if rule.per_value and rule.per_value != value:
            continue
        kind = rule.kind if isinstance(rule, Limit) else (rule.period, rule.action)
        group = (rule.scope, rule.scope_id, rule.per, kind)
        if group not in chosen or rule.per_value:
            chosen[group] = (rule, value)
    return list(chosen.values())


def value_of(subject: Subject, per: str) -> str:
    """Return the value of what a rule is by. Calls that name no user, or lack the label, are counted together."""
    if per == "user":
        return subject.user
    return subject.labels.get(per.removeprefix(_LABEL), "") if per else ""


def _key(kind: str, rule_id: str, value: str) -> str:
    """Return the first parts of a balance's key."""
    return f"{kind}/{rule_id}/{value_in_key(value)}" if value else f"{kind}/{rule_id}"


def value_in_key(value: str) -> str:
    """Return how a value stands in a balance's key. Callers choose values, so a long one is replaced by its hash."""
    if len(value) <= _MAX_VALUE and value.isprintable() and "/" not in value:
        return value
    return "#" + hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

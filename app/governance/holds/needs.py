"""Which balances a call needs, and how much of each, from the limits and budgets of its caller."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct, field

from app.governance.holds.bounds import CallBounds
from app.governance.leases.store import BalanceRef
from app.governance.leases.windows import window_of
from app.storage.records import Budget, Limit

_MAX_VALUE = 64
_LABEL = "label:"

Rule = TypeVar("Rule", bound=Limit | Budget)


class Subject(Struct, frozen=True):
    """Who makes a call, with the limits and budgets of the key and its team. user: the end user that the call names."""

    team_id: str
    key_id: str
    user: str = ""
    labels: Mapping[str, str] = {}
    limits: Sequence[Limit] = ()
    budgets: Sequence[Budget] = ()


class Needs(Struct):
    """Amounts by the keys of balances.

    held: what is held while the call runs. requests: rates that count requests, which are used at once. tokens: rates
    that count tokens. money: budgets that block, and those that only warn. resets: the ends of the budgets' windows.
    unpriced: a budget that blocks a call without a price.
    """

    held: dict[str, int] = field(default_factory=dict)
    refs: dict[str, BalanceRef] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    rules: dict[str, Limit | Budget] = field(default_factory=dict)
    resets: dict[str, datetime | None] = field(default_factory=dict)
    unpriced: Budget | None = None


def needs_of(
    subject: Subject, bounds: CallBounds, worst_nano: int | None, usual: Mapping[str, int], now: datetime
) -> Needs:
    """Return what a call needs.

    Args:
        worst_nano: what it costs at most; None if its price is not known.
        usual: by the id of a budget in the mode `estimated`, what calls like it usually cost.
    """
    needs = Needs()
    for limit, value in _applying(subject, subject.limits):
        is_permits = limit.kind == "max_parallel_requests"
        key = _key("permits" if is_permits else "rate", limit.id, value)
        needs.refs[key] = BalanceRef(key, "permits" if is_permits else "rate", limit.id)
        needs.rules[key] = limit
        needs.held[key] = 1
        if limit.kind == "requests_per_minute":
            needs.requests.append(key)
        elif limit.kind == "tokens_per_minute":
            # a call that may be larger than the limit needs all of it; what it uses beyond that delays the next one
            needs.held[key] = min(bounds.total, limit.capacity)
            needs.tokens.append(key)
    for budget, value in _applying(subject, subject.budgets):
        window, end = window_of(budget.period, now)
        key = f"{_key('budget', budget.id, value)}/{window}"
        needs.refs[key] = BalanceRef(key, "budget", budget.id)
        needs.rules[key] = budget
        needs.resets[key] = end
        needs.money.append(key)
        if worst_nano is None and budget.action == "block" and not budget.shadow:
            needs.unpriced = budget
        needs.held[key] = worst_nano or 0
        if budget.mode == "estimated":
            needs.held[key] = min(needs.held[key], usual.get(budget.id, needs.held[key]))
    return needs


def _applying(subject: Subject, rules: Iterable[Rule]) -> list[tuple[Rule, str]]:
    """Return the rules of a call with the value that each is for. A rule for one value replaces that for all values."""
    chosen: dict[tuple[object, ...], tuple[Rule, str]] = {}
    for rule in rules:
        value = _value(subject, rule.per)
        if rule.per_value and rule.per_value != value:
            continue
        kind = rule.kind if isinstance(rule, Limit) else (rule.period, rule.action)
        group = (rule.scope, rule.scope_id, rule.per, kind)
        if group not in chosen or rule.per_value:
            chosen[group] = (rule, value)
    return list(chosen.values())


def _value(subject: Subject, per: str) -> str:
    """Return the value of what a rule is by. Calls that name no user, or lack the label, are counted together."""
    if per == "user":
        return subject.user
    return subject.labels.get(per.removeprefix(_LABEL), "") if per else ""


def _key(kind: str, rule_id: str, value: str) -> str:
    """Return the first parts of a balance's key. Callers choose the values, so a long one is replaced by its hash."""
    if not value:
        return f"{kind}/{rule_id}"
    is_plain = len(value) <= _MAX_VALUE and value.isprintable() and "/" not in value
    shown = (
        value if is_plain else "#" + hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    )
    return f"{kind}/{rule_id}/{shown}"

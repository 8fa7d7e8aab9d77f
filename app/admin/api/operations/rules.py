"""Converts limits and budgets between documents and records, and stores those of a team or a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.limits import Budget, BudgetView, Limits, LimitsPer, OverrideView
from app.admin.api.operations.failures import Fault, Invalid
from app.governance.leases.store import recall
from app.governance.leases.windows import PERIODS
from app.storage import records, repository
from app.storage.records import Key, LimitKind, Scope, Team

_KINDS: tuple[LimitKind, ...] = ("requests_per_minute", "tokens_per_minute", "max_parallel_requests")

Rule = TypeVar("Rule", records.Limit, records.Budget)


class Rules(Struct, frozen=True):
    """The limits and budgets of one team or key."""

    limits: Sequence[records.Limit] = ()
    budgets: Sequence[records.Budget] = ()


async def rules_of(connection: AsyncConnection, scope: Scope, owners: Iterable[str]) -> Mapping[str, Rules]:
    """Return the rules of teams, or of keys, by their ids."""
    ids = list(owners)
    limits = await _by_owner(connection, repository.limits, scope, ids)
    budgets = await _by_owner(connection, repository.budgets, scope, ids)
    return {each: Rules(limits.get(each, ()), budgets.get(each, ())) for each in ids}


async def _by_owner(
    connection: AsyncConnection, rules: repository.Repository[Rule], scope: Scope, ids: list[str]
) -> dict[str, list[Rule]]:
    columns = rules.table.c
    found = await rules.find(connection, columns.scope == scope, columns.scope_id.in_(ids))
    grouped: dict[str, list[Rule]] = {}
    for rule in found:
        grouped.setdefault(rule.scope_id, []).append(rule)
    return grouped


async def store_limits(
    connection: AsyncConnection, owner: Team | Key, limits: Limits, limits_per: Sequence[LimitsPer]
) -> None:
    """Make these the limits of a team or a key.

    Raises:
        Invalid: two are for the same users or label values.
    """
    _refuse_doubles(limits_per, "limits_per", lambda each: (each.per, each.value))
    new = [*_limits_in(owner, limits, "", "")]
    for each in limits_per:
        new += _limits_in(owner, each, each.per, each.value)
    await repository.replace_limits(connection, owner, new)


async def store_budgets(connection: AsyncConnection, owner: Team | Key, budgets: Sequence[Budget]) -> None:
    """Make these the budgets of a team or a key.

    Raises:
        Invalid: two have the same period, action and subject, or one names a value and not what it is of.
    """
    _refuse_doubles(budgets, "budgets", lambda each: (each.per, each.value, each.period, each.action))
    faults = [
        Fault(f"budgets[{index}].per", "is needed with a value: `user` or `label:NAME`")
        for index, each in enumerate(budgets)
        if each.value and not each.per
    ]
    if faults:
        raise Invalid(*faults)
    await repository.replace_budgets(connection, owner, [_budget_in(owner, each) for each in budgets])


async def recall_leases(connection: AsyncConnection, owner: Team | Key) -> None:
    """Make the limits and budgets of a team or a key apply to what replicas have leased of them.

    Call it once, after they are stored.
    """
    rules = (await rules_of(connection, _scope_of(owner), [owner.id]))[owner.id]
    await recall(connection, [*(each.id for each in rules.limits), *(each.id for each in rules.budgets)])


async def remove_rules(connection: AsyncConnection, owner: Team | Key) -> None:
    """Delete the limits and budgets of a team or a key."""
    await repository.replace_limits(connection, owner, [])
    await repository.replace_budgets(connection, owner, [])


def limits_view(rules: Rules) -> Limits:
    """Return the limits of all calls together."""
    return Limits(**_members(each for each in rules.limits if not each.per))


def limits_per_view(rules: Rules) -> list[LimitsPer]:
    """Return the limits by user or label."""
    groups: dict[tuple[str, str], list[records.Limit]] = {}
    for each in rules.limits:
        if each.per:
            groups.setdefault((each.per, each.per_value), []).append(each)
    return [LimitsPer(per=per, value=value, **_members(group)) for (per, value), group in sorted(groups.items())]


def budget_views(rules: Rules) -> list[BudgetView]:
    """Return the budgets, those of all calls first, and the shortest period first."""
    return [_budget_view(each) for each in sorted(rules.budgets, key=_order)]


def _order(budget: records.Budget) -> tuple[str, str, int, str]:
    return budget.per, budget.per_value, PERIODS.index(budget.period), budget.action


def _budget_view(budget: records.Budget) -> BudgetView:
    override = None
    if budget.override_nano is not None and budget.override_until is not None:
        override = OverrideView(amount_usd=budget.override_nano, until=budget.override_until)
    return BudgetView(
        id=budget.id,
        amount_usd=budget.amount_nano,
        period=budget.period,
        action=budget.action,
        mode=budget.mode,
        shadow=budget.shadow,
        per=budget.per or None,
        value=budget.per_value,
        override=override,
    )


def _scope_of(owner: Team | Key) -> Scope:
    return "team" if isinstance(owner, Team) else "key"


def _limits_in(owner: Team | Key, limits: Limits, per: str, value: str) -> Iterator[records.Limit]:
    for kind in _KINDS:
        capacity = getattr(limits, kind)
        if capacity is not None:
            yield records.Limit(
                scope=_scope_of(owner),
                scope_id=owner.id,
                per=per,
                per_value=value,
                kind=kind,
                capacity=capacity,
                shadow=kind in limits.shadow,
            )


def _budget_in(owner: Team | Key, budget: Budget) -> records.Budget:
    override = budget.override
    return records.Budget(
        scope=_scope_of(owner),
        scope_id=owner.id,
        per=budget.per or "",
        per_value=budget.value,
        period=budget.period,
        amount_nano=budget.amount_usd,
        action=budget.action,
        mode=budget.mode,
        shadow=budget.shadow,
        override_nano=None if override is None else override.amount_usd,
        override_until=None if override is None else override.until,
    )


def _members(limits: Iterable[records.Limit]) -> dict[str, object]:
    known = list(limits)
    return {each.kind: each.capacity for each in known} | {"shadow": [each.kind for each in known if each.shadow]}


Entry = TypeVar("Entry")


def _refuse_doubles(entries: Sequence[Entry], name: str, identity: Callable[[Entry], object]) -> None:
    seen: dict[object, int] = {}
    faults = []
    for index, each in enumerate(entries):
        first = seen.setdefault(identity(each), index)
        if first != index:
            faults.append(Fault(f"{name}[{index}]", f"is for the same subject as {name}[{first}]"))
    if faults:
        raise Invalid(*faults)

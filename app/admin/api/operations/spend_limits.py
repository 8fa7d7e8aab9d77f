"""Operations on spend limits, as Anthropic's Admin API has them: budgets by user, of teams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from msgspec import structs
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import MAX_LIMIT
from app.admin.api.documents.reports import AuditQuery, SpendQuery, SpendRow
from app.admin.api.documents.spend_limits import (
    GroupScope,
    SpendLimit,
    SpendLimitAudit,
    SpendLimitChange,
    SpendLimitCreate,
    SpendLimitList,
    SpendPeriod,
    SpendSummary,
    SpendSummaryList,
    UserActor,
    UserScope,
)
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.audit import list_audit, record_change
from app.admin.api.operations.failures import Fault, Invalid, NotFound
from app.admin.api.operations.rules import recall_leases
from app.admin.api.operations.scoped import apply_change, is_identifier
from app.admin.api.operations.spend import spend_rows
from app.governance.holds.needs import value_in_key
from app.storage import repository
from app.storage.key_changes import touched
from app.storage.records import Budget, Period, Team
from app.storage.tables import budgets, keys, teams

PREFIX = "spl_"
_NANO_PER_CENT = 10_000_000
_PERIODS: Mapping[SpendPeriod, Period] = {"daily": "day", "weekly": "week", "monthly": "month"}
_NAMES: Mapping[Period, SpendPeriod] = {period: name for name, period in _PERIODS.items()}


async def set_limit(connection: AsyncConnection, actor: Actor, body: SpendLimitCreate) -> SpendLimit:
    """Create a limit, or replace the one of the same scope and period. It ends an override, and refuses calls.

    Raises:
        Invalid: there is no such team, or a user's team is not known.
    """
    team = await _team_of(connection, body.scope)
    user = body.scope.user_id if isinstance(body.scope, UserScope) else ""
    new = Budget(
        scope="team", scope_id=team.id, per="user", per_value=user, period=_PERIODS[body.period],
        amount_nano=int(body.amount) * _NANO_PER_CENT,
    )  # fmt: skip
    known = await repository.budgets.find(connection, budgets.c.scope == "team", budgets.c.scope_id == team.id)
    before = next((each for each in known if _subject(each) == _subject(new)), None)
    if before is not None:
        new = structs.replace(new, id=before.id, mode=before.mode, created_at=before.created_at)
    await _store(connection, team, [*(each for each in known if each is not before), new])
    after = _limit(new)
    await record_change(
        connection, actor, "spend_limit.set", after.id, before=None if before is None else _limit(before), after=after
    )
    return after


async def get_limit(connection: AsyncConnection, limit_id: str) -> SpendLimit:
    """Return a limit. Raises NotFound."""
    return _limit(await _find(connection, limit_id))


async def delete_limit(connection: AsyncConnection, actor: Actor, limit_id: str) -> None:
    """Delete a limit. Raises NotFound."""
    budget = await _find(connection, limit_id)
    team = await repository.teams.get(connection, budget.scope_id, lock=True)
    if team is None:
        raise NotFound("the team was deleted")
    known = await repository.budgets.find(connection, budgets.c.scope == "team", budgets.c.scope_id == team.id)
    await _store(connection, team, [each for each in known if each.id != budget.id])
    await record_change(connection, actor, "spend_limit.delete", limit_id, before=_limit(budget))


async def list_limits(
    connection: AsyncConnection, *, limit: int, after_id: str = "", before_id: str = ""
) -> SpendLimitList:
    """List limits in the order of their creation, after or before one."""
    query = select(budgets).where(*_is_limit()).limit(limit + 1)
    if before_id:
        query = query.where(budgets.c.id < before_id.removeprefix(PREFIX)).order_by(budgets.c.id.desc())
    else:
        query = query.where(budgets.c.id > after_id.removeprefix(PREFIX)).order_by(budgets.c.id)
    found = [Budget(**row._mapping) for row in await connection.execute(query)]
    page = found[:limit]
    data = [_limit(each) for each in (reversed(page) if before_id else page)]
    ids = [each.id for each in data]
    return SpendLimitList(
        data=data, has_more=len(found) > limit, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None
    )


async def effective_limits(
    connection: AsyncConnection, *, users: Sequence[str], periods: Sequence[SpendPeriod], limit: int, page: str
) -> SpendSummaryList:
    """List the limits that apply to users, for those who have called in the period or have a limit of their own.

    A user's own limit replaces that of the team.

    Args:
        users: that are wanted; empty for all, of whom some are shown by a hash.

    Raises:
        Invalid: `page` is of no page.
    """
    named = {value_in_key(user): user for user in users}
    conditions = [*_is_limit()]
    if periods:
        conditions.append(budgets.c.period.in_([_PERIODS[each] for each in periods]))
    found: list[SpendSummary] = []
    cursor: str | None = page
    while cursor is not None and not found:
        rows = await spend_rows(connection, SpendQuery(limit=min(limit, MAX_LIMIT), cursor=cursor), *conditions)
        wanted = [each for each in rows.data if each.value and (not named or value_in_key(each.value) in named)]
        replaced = await _own_limits(connection, wanted)
        found += [_summary(each, named) for each in wanted if not (each.is_default and _whose(each) in replaced)]
        cursor = rows.next_cursor
    return SpendSummaryList(data=found, next_page=cursor)


async def _own_limits(connection: AsyncConnection, rows: Iterable[SpendRow]) -> set[tuple[str, str, Period]]:
    """Return whose limits of their own exist, of the users of these rows. See `_whose`."""
    rows = [*rows]
    columns = budgets.c.scope_id, budgets.c.per_value, budgets.c.period
    # a hash may stand for any user of the team
    hashed = {each.scope_id for each in rows if each.is_default and each.value.startswith("#")}
    is_theirs = budgets.c.per_value.in_({each.value for each in rows}) | budgets.c.scope_id.in_(hashed)
    query = select(*columns).where(*_is_limit(), budgets.c.per_value != "", is_theirs)
    return {(team_id, value_in_key(user), period) for team_id, user, period in await connection.execute(query)}


def _whose(row: SpendRow) -> tuple[str, str, Period]:
    """Return the team, the user as in a balance's key, and the period."""
    return row.scope_id, value_in_key(row.value), row.period


async def audit_of_limits(connection: AsyncConnection, *, limit: int) -> SpendLimitAudit:
    """List the newest changes of limits."""
    page = await list_audit(connection, AuditQuery(action="spend_limit", limit=min(limit, MAX_LIMIT)))
    data = [
        SpendLimitChange(
            id=each.id,
            created_at=each.at,
            actor=each.actor,
            action=each.action,
            spend_limit_id=each.object_id,
            before=each.before,
            after=each.after,
        )
        for each in page.data
    ]
    return SpendLimitAudit(data=data, has_more=page.next_cursor is not None)


async def _team_of(connection: AsyncConnection, scope: GroupScope | UserScope) -> Team:
    """Return the team of a scope, locked. Raises Invalid."""
    if isinstance(scope, GroupScope) or scope.rbac_group_id:
        named = (teams.c.id == scope.rbac_group_id) | (teams.c.name == scope.rbac_group_id)
        found = (await connection.execute(select(teams.c.id).where(named))).scalars().all()
        problem = f"there is no team with the id or name {scope.rbac_group_id!r}"
    else:
        is_of_user = (keys.c.person == scope.user_id) & (keys.c.status != "revoked")
        of_user = select(keys.c.team_id).where(is_of_user).distinct()
        found = (await connection.execute(of_user)).scalars().all()
        if not found:
            found = (await connection.execute(select(teams.c.id).limit(2))).scalars().all()
        problem = f"the team of {scope.user_id!r} is not known: name it here"
    team = await repository.teams.get(connection, found[0], lock=True) if len(found) == 1 else None
    if team is None:
        raise Invalid(Fault("scope.rbac_group_id", problem))
    return team


async def _find(connection: AsyncConnection, limit_id: str) -> Budget:
    budget_id = limit_id.removeprefix(PREFIX)
    found: list[Budget] = []
    if limit_id.startswith(PREFIX) and is_identifier(budget_id):
        found = await repository.budgets.find(connection, budgets.c.id == budget_id, *_is_limit(), limit=1)
    if not found:
        raise NotFound("there is no such spend limit")
    return found[0]


async def _store(connection: AsyncConnection, team: Team, new: Iterable[Budget]) -> None:
    await repository.replace_budgets(connection, team, [*new])
    await recall_leases(connection, team)
    changed = await apply_change(connection, repository.teams, team, {})
    await touched(connection, changed)


def _is_limit() -> list[ColumnElement[bool]]:
    """Return the conditions for budgets that are spend limits of Anthropic's shape."""
    return [
        budgets.c.scope == "team",
        budgets.c.per == "user",
        budgets.c.action == "block",
        budgets.c.shadow.is_(False),
        budgets.c.period.in_(_NAMES),
    ]


def _subject(budget: Budget) -> tuple[str, ...]:
    return budget.per, budget.per_value, budget.period, budget.action


def _limit(budget: Budget) -> SpendLimit:
    return SpendLimit(
        id=f"{PREFIX}{budget.id}",
        scope=_scope(budget.scope_id, budget.per_value),
        amount=_cents(budget.amount_nano),
        period=_NAMES[budget.period],
        created_at=budget.created_at,
        updated_at=budget.updated_at,
    )


def _scope(team_id: str, user: str) -> GroupScope | UserScope:
    if user:
        return UserScope(type="user", user_id=user, rbac_group_id=team_id)
    return GroupScope(type="rbac_group", rbac_group_id=team_id)


def _summary(row: SpendRow, named: Mapping[str, str]) -> SpendSummary:
    """Return what is shown of a row. named: users by how they stand in a balance's key."""
    user = named.get(row.value, row.value)
    return SpendSummary(
        scope=UserScope(type="user", user_id=user, rbac_group_id=row.scope_id),
        actor=UserActor(user_id=user),
        amount=_cents(row.amount_usd),
        period=_NAMES[row.period],
        period_to_date_spend=_cents(row.posted_usd),
        source=_scope(row.scope_id, "" if row.is_default else row.value),
        spend_limit_id=f"{PREFIX}{row.budget_id}",
        groups=[row.scope_id],
    )


def _cents(nano: int) -> str:
    """Return cents, with decimals only if they are not whole."""
    cents = Decimal(nano) / _NANO_PER_CENT
    return f"{cents:f}".rstrip("0").rstrip(".") if cents % 1 else f"{int(cents)}"

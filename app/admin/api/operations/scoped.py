"""What the operations on teams and on keys have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.fields import Guardrail
from app.admin.api.documents.teams_and_keys import KeyChange, KeyCreate, TeamChange, TeamCreate
from app.admin.api.operations.failures import Conflict, Fault, Invalid, NotFound, Outdated
from app.admin.api.operations.rules import (
    Rules,
    budget_views,
    limits_per_view,
    limits_view,
    recall_leases,
    rules_of,
    store_budgets,
    store_limits,
)
from app.storage import repository
from app.storage.records import Key, Scope, Scoped, Team
from app.storage.repository import ScopedRecord, ScopedRepository

_ID = re.compile(r"[0-9a-z]{26}\Z")
_RULES = {"limits", "limits_per", "budgets"}
_NO_RULES = Rules()
Body = TeamCreate | TeamChange | KeyCreate | KeyChange


def columns_of(body: Body) -> dict[str, Any]:
    """Return the columns that a body sets, without limits and budgets.

    Raises:
        Invalid: the name is empty.
    """
    given = body.model_fields_set - _RULES
    columns: dict[str, Any] = {name: getattr(body, name) for name in given - {"guardrail"}}
    if columns.get("name") == "":
        raise Invalid(Fault("name", "must not be empty"))
    if "guardrail" in given:
        columns["guardrail_id"] = body.guardrail and body.guardrail.id
        columns["guardrail_version"] = body.guardrail and body.guardrail.version
    return columns


def check_tokens(record: Scoped) -> None:
    """Check that the default of `max_tokens` is allowed. Raises Invalid."""
    default, largest = record.default_max_tokens, record.largest_max_tokens
    if default is not None and largest is not None and default > largest:
        raise Invalid(Fault("default_max_tokens", f"must be at most largest_max_tokens, {largest}"))


async def store_rules(connection: AsyncConnection, owner: Team | Key, body: Body, known: Rules = _NO_RULES) -> None:
    """Store the limits and budgets that a body sets. known: those of before, of which the others stay.

    Raises:
        Invalid: see `store_limits` and `store_budgets`.
    """
    given = body.model_fields_set
    if given & {"limits", "limits_per"}:
        limits = body.limits if "limits" in given else limits_view(known)
        limits_per = body.limits_per if "limits_per" in given else limits_per_view(known)
        await store_limits(connection, owner, limits, limits_per)
    if "budgets" in given:
        await store_budgets(connection, owner, body.budgets)
    if given & _RULES:
        await recall_leases(connection, owner)


async def rules_of_one(connection: AsyncConnection, scope: Scope, owner_id: str) -> Rules:
    """Return the limits and budgets of one team or key."""
    return (await rules_of(connection, scope, [owner_id]))[owner_id]


def is_identifier(text: str) -> bool:
    """Return whether a text can be an id. A database cannot compare every text."""
    return _ID.match(text) is not None


async def find(
    connection: AsyncConnection,
    rows: ScopedRepository[ScopedRecord],
    identifier: str,
    *,
    revision: int | None = None,
    lock: bool = False,
) -> ScopedRecord:
    """Return a team or a key.

    Args:
        revision: that the caller has read. lock: nobody else changes it before the transaction ends.

    Raises:
        NotFound: there is none. Outdated: it has another revision.
    """
    record = await rows.get(connection, identifier, lock=lock) if is_identifier(identifier) else None
    if record is None:
        raise NotFound(f"there is no {rows.table.name.removesuffix('s')} with the id {identifier[:64]!r}")
    if revision is not None and revision != record.revision:
        raise Outdated(f"it has changed: its revision is {record.revision}, and not {revision}. Read it again")
    return record


async def apply_change(
    connection: AsyncConnection,
    rows: ScopedRepository[ScopedRecord],
    before: ScopedRecord,
    changes: Mapping[str, Any],
) -> ScopedRecord:
    """Update a team or a key.

    Raises:
        Conflict: another team has the name. Outdated: somebody else has changed it. Invalid: see `check_tokens`.
    """
    try:
        after = await rows.change(connection, before, **changes)
    except repository.Conflict:
        raise name_taken(str(changes.get("name"))) from None
    if after is None:
        raise Outdated("it was changed at the same time: read it again")
    check_tokens(after)
    return after


def name_taken(name: str) -> Conflict:
    """Return the refusal of a name that another team has."""
    return Conflict(f"there is a team with the name {name!r}")


def view_of(record: Scoped, rules: Rules) -> dict[str, Any]:
    """Return the members that teams and keys both show."""
    guardrail = record.guardrail_id
    return {
        "id": record.id,
        "name": record.name,
        "models": record.models,
        "limits": limits_view(rules),
        "limits_per": limits_per_view(rules),
        "budgets": budget_views(rules),
        "default_max_tokens": record.default_max_tokens,
        "largest_max_tokens": record.largest_max_tokens,
        "guardrail": Guardrail(id=guardrail, version=record.guardrail_version or "DRAFT") if guardrail else None,
        "labels": dict(record.labels),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "revision": record.revision,
    }

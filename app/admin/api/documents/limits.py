"""Limits and budgets of a team or a key, as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.admin.api.documents.fields import Capacity, Document, Flag, Moment, Per, Text
from app.admin.api.documents.money import UsdIn, UsdOut
from app.storage.records import LimitKind, Period

_SHADOW = "It counts and logs, and refuses nothing."
_PER = "`user` or `label:NAME`: each value has its own."
_VALUE = "The user or label value that it is for. Without it, it is for each value without one of its own."


class Limits(Document):
    """Limits of all calls together."""

    requests_per_minute: Capacity | None = None
    tokens_per_minute: Capacity | None = None
    max_parallel_requests: Capacity | None = None
    shadow: list[LimitKind] = Field([], max_length=3, description="Limits that count and log, and refuse nothing.")


class LimitsPer(Limits):
    """Limits of each user, or of each value of a label."""

    per: Per = Field(description=_PER)
    value: Text = Field("", description=_VALUE)


class Override(Document):
    """Another amount until a time."""

    amount_usd: UsdIn
    until: Moment


class OverrideView(Document):
    """Another amount until a time."""

    amount_usd: UsdOut
    until: datetime


class Budget(Document):
    """Money over a period in UTC."""

    amount_usd: UsdIn
    period: Period
    action: Literal["block", "warn"] = "block"
    mode: Literal["hard", "estimated"] = Field(
        "hard",
        description="`hard` holds the worst case of each call. `estimated` holds what calls usually cost, and may be "
        "exceeded by calls that run.",
    )
    shadow: Flag = Field(False, description=_SHADOW)
    per: Annotated[Per | None, Field(description=_PER)] = None
    value: Text = Field("", description=_VALUE)
    override: Override | None = None
    id: Text = Field("", description="Not needed: a budget keeps its id while period, action, `per` and `value` stay.")


class BudgetView(Document):
    """A budget as it is stored."""

    id: str
    amount_usd: UsdOut
    period: Period
    action: Literal["block", "warn"]
    mode: Literal["hard", "estimated"]
    shadow: bool
    per: str | None
    value: str
    override: OverrideView | None

"""Spend limits in the shape of Anthropic's Admin API, over the budgets that each user of a team has for itself.

An `rbac_group` is a team, by id or name. Amounts are in cents, as strings.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.admin.api.documents.fields import AMOUNT_OF_CENTS, Choice, Document, Text
from app.admin.api.documents.pages import Cursor

SpendPeriod = Literal["daily", "weekly", "monthly"]
DEFAULT_LIMIT = 20
PageLimit = Annotated[int, Field(ge=1, le=1000)]


class GroupScope(Document):
    """All users of a team without a limit of their own, each by itself."""

    type: Literal["rbac_group"]
    rbac_group_id: Annotated[Text, Field(min_length=1, description="The id or the name of a team.")]


class UserScope(Document):
    """One user."""

    type: Literal["user"]
    user_id: Annotated[Text, Field(min_length=1, description="As calls name it.")]
    rbac_group_id: Text = Field("", description="The user's team, if it does not follow from keys.")


class SpendLimitQuery(Document):
    """Which limits are listed."""

    limit: PageLimit = DEFAULT_LIMIT
    after_id: Choice = ""
    before_id: Choice = ""


class EffectiveQuery(Document):
    """Whose limits are listed."""

    user_ids: Annotated[list[Choice], Field(alias="user_ids[]", max_length=20)] = []
    period: Annotated[list[SpendPeriod], Field(alias="period[]", max_length=3)] = []
    limit: PageLimit = DEFAULT_LIMIT
    page: Cursor = ""


class ChangesQuery(Document):
    """How many changes are listed."""

    limit: PageLimit = DEFAULT_LIMIT


class SpendLimitCreate(Document):
    """A new limit. It replaces the one of the same scope and period."""

    scope: Annotated[GroupScope | UserScope, Field(discriminator="type")]
    amount: Annotated[str, Field(pattern=AMOUNT_OF_CENTS, description="Cents.")]
    period: SpendPeriod = "monthly"
    currency: Literal["USD"] = "USD"


class SpendLimit(BaseModel):
    """A limit."""

    type: Literal["spend_limit"] = "spend_limit"
    id: str
    scope: GroupScope | UserScope
    amount: str
    currency: Literal["USD"] = "USD"
    period: SpendPeriod
    is_enabled: bool = True
    created_at: datetime
    updated_at: datetime


class SpendLimitList(BaseModel):
    """A page of limits."""

    data: list[SpendLimit]
    has_more: bool
    first_id: str | None
    last_id: str | None


class SpendLimitDeleted(BaseModel):
    """A limit was deleted."""

    type: Literal["spend_limit_deleted"] = "spend_limit_deleted"
    id: str


class UserActor(BaseModel):
    """A user, of whom only the name in calls is known."""

    type: Literal["user_actor"] = "user_actor"
    user_id: str
    name: None = None
    email_address: None = None
    deleted: bool = False


class SpendSummary(BaseModel):
    """The limit that applies to a user, and what the user has spent of it in this period."""

    type: Literal["spend_summary"] = "spend_summary"
    scope: UserScope
    actor: UserActor
    amount: str
    currency: Literal["USD"] = "USD"
    period: SpendPeriod
    period_to_date_spend: str
    source: GroupScope | UserScope
    spend_limit_id: str
    groups: list[str]


class SpendSummaryList(BaseModel):
    """A page of summaries."""

    data: list[SpendSummary]
    next_page: str | None


class SpendLimitChange(BaseModel):
    """A change of a limit."""

    type: Literal["spend_limit_audit"] = "spend_limit_audit"
    id: str
    created_at: datetime
    actor: str
    action: str
    spend_limit_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class SpendLimitAudit(BaseModel):
    """The newest changes."""

    data: list[SpendLimitChange]
    has_more: bool

"""Usage, spend, ledger and audit, as they are asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from app.admin.api.documents.fields import GROUP_BY, Choice, Document, Moment, Text
from app.admin.api.documents.money import UsdOut
from app.admin.api.documents.pages import DEFAULT_LIMIT, Cursor, Limit
from app.storage.records import Period

GroupBy = Annotated[str, Field(pattern=GROUP_BY, max_length=512)]


class _Query(Document):
    """Which part of a list is wanted."""

    # `from` is not a name in Python
    model_config = ConfigDict(populate_by_name=True)

    since: Annotated[Moment | None, Field(alias="from", description="The first time that is wanted, or a date.")] = None
    until: Annotated[Moment | None, Field(alias="to", description="The first time that is not wanted, or a date.")] = (
        None
    )
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""

    @field_validator("until")
    @classmethod
    def _check_until(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if value is not None and since is not None and value <= since:
            raise ValueError("must be after `from`: the time itself is not included")
        return value


class UsageQuery(_Query):
    """Which sums of usage are wanted."""

    group_by: GroupBy = Field(
        "",
        description="Names, separated by commas: `team`, `key`, `model`, `user`, `label` (all labels together) and "
        "`label:NAME`.",
    )
    interval: Literal["hour", "day", "month"] | None = Field(
        None, description="A row for each interval in UTC. Without it, a row has the sum of the whole time."
    )
    team_id: Choice = ""
    key_id: Choice = ""
    model: Choice = ""
    user: Annotated[Text | None, Field(description="An end user; empty for calls that name none.")] = None


class UsageRow(Document):
    """Sums of one group in one interval. It has the members by which it is grouped."""

    start: datetime
    team_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    user: str | None = None
    labels: dict[str, str] | None = None
    requests: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int = Field(description="Written to the cache for five minutes.")
    cache_write_1h_tokens: int = Field(description="Written to the cache for an hour.")
    reasoning_tokens: int = Field(description="Of the output.")
    cost_usd: UsdOut
    estimated_usd: UsdOut = Field(description="Of the cost, what was posted as an estimate.")
    unpriced_requests: int = Field(description="Requests whose price is not known. They are not in the cost.")


class SpendQuery(Document):
    """Whose budgets are wanted."""

    team_id: Choice = Field("", description="The team, and its keys.")
    key_id: Choice = Field("", description="The key, and its team.")
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class SpendRow(Document):
    """What of a budget is spent in the window that runs now."""

    budget_id: str
    scope: Literal["team", "key"]
    scope_id: str
    per: str | None
    value: str = Field(
        description="The user or label value; a hash if it is long or has a `/`, and no budget of its own."
    )
    is_default: bool = Field(description="It is for each user or label value without one of its own.")
    period: Period
    action: Literal["block", "warn"]
    shadow: bool
    amount_usd: UsdOut
    posted_usd: UsdOut
    held_usd: UsdOut = Field(description="Held for calls that run, and leased by replicas for the next ones.")
    remaining_usd: UsdOut
    resets_at: datetime | None


class LedgerQuery(_Query):
    """Which entries are wanted."""

    team_id: Choice = ""
    key_id: Choice = ""
    user: Annotated[Text | None, Field(description="An end user; empty for calls that name none.")] = None
    model: Choice = Field("", description="The model that was called.")
    request_id: Choice = ""
    attempt_id: Choice = ""
    phase: Literal["hold", "settle", "adjust"] | None = None


class LedgerRow(Document):
    """An entry. It holds no content."""

    attempt_id: str
    phase: str
    number: int
    at: datetime
    replica_id: str
    request_id: str
    team_id: str
    key_id: str
    user: str
    labels: dict[str, str]
    model_asked: str
    model_served: str
    location: str
    tier: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    cost_usd: UsdOut | None = Field(description="Null: the price is not known, or nothing is billed yet.")
    price_version: str
    outcome: str
    is_estimated: bool
    charged_to: dict[str, UsdOut] = Field(description="By budget and window; in the phase `hold`, what is held.")
    guardrail_units: dict[str, int] | None = Field(
        description="What a guardrail has examined, by policy: units of 1,000 characters, and images."
    )


class AuditQuery(_Query):
    """Which changes are wanted."""

    object_id: Choice = ""
    actor: Choice = ""
    action: Choice = Field("", description="Such as `team.create`; or `team` for all changes of teams.")


class AuditEntry(Document):
    """One change. before, after: the object, without secrets; null if it did not exist."""

    id: str
    at: datetime
    actor: str
    address: str
    request_id: str
    action: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

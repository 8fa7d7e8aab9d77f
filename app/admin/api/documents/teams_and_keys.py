"""Teams and keys, as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.admin.api.documents.fields import (
    Document,
    Guardrail,
    Identifier,
    KeyStatus,
    LabelName,
    Moment,
    Name,
    Pattern,
    Text,
    Tokens,
)
from app.admin.api.documents.limits import Budget, BudgetView, Limits, LimitsPer

Status = Literal["active", "blocked"]
Labels = Annotated[dict[LabelName, Text], Field(max_length=32)]


class _Scoped(Document):
    """What teams and keys both take."""

    models: Annotated[list[Pattern], Field(max_length=200)] | None = Field(
        None,
        description="Patterns such as `*claude-haiku*` of models that may be called, by id with or without geography, "
        "or by alias. Null allows all.",
    )
    limits: Limits = Limits()
    limits_per: Annotated[list[LimitsPer], Field(max_length=500)] = []
    budgets: Annotated[list[Budget], Field(max_length=500)] = []
    default_max_tokens: Tokens | None = Field(None, description="Of calls that set none.")
    largest_max_tokens: Tokens | None = Field(None, description="The most that a call may set.")
    guardrail: Guardrail | None = None
    labels: Labels = {}
    status: Status = "active"


class _ScopedView(Document):
    """What is shown of teams and keys."""

    id: str
    name: str
    models: list[str] | None
    limits: Limits
    limits_per: list[LimitsPer]
    budgets: list[BudgetView]
    default_max_tokens: int | None
    largest_max_tokens: int | None
    guardrail: Guardrail | None
    labels: dict[str, str]
    created_at: datetime
    updated_at: datetime
    revision: int


class TeamCreate(_Scoped):
    """A new team."""

    name: Name


class TeamChange(_Scoped):
    """Changes of a team. Members that are missing stay as they are; lists and objects are replaced as a whole."""

    name: Name = ""


class TeamView(_ScopedView):
    """A team."""

    status: Status


class KeyCreate(_Scoped):
    """A new key of a team."""

    name: Name
    team_id: Identifier
    person: Text = Field("", description="Who of the team holds it; empty for the team's own.")
    expires_at: Moment | None = None


class KeyChange(_Scoped):
    """Changes of a key. Members that are missing stay as they are; lists and objects are replaced as a whole."""

    name: Name = ""
    person: Text = ""
    expires_at: Moment | None = None


class SecretView(Document):
    """When a secret of a key was made, and when it ends. The secret itself cannot be read."""

    created_at: datetime
    expires_at: datetime | None


class KeyView(_ScopedView):
    """A key, without its secret."""

    team_id: str
    person: str
    status: KeyStatus
    expires_at: datetime | None
    revoked_at: datetime | None
    secrets: list[SecretView]


class CreatedKey(KeyView):
    """A key with a new secret, which is shown only here."""

    secret: str


class Rotation(Document):
    """How a key's secret is replaced."""

    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=2_592_000)] = Field(
        0, description="Seconds for which the secret that is replaced stays valid."
    )

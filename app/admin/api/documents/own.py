"""What a caller is told of its own limits and budgets."""

from __future__ import annotations

from pydantic import Field

from app.admin.api.documents.fields import Document
from app.admin.api.documents.reports import SpendRow
from app.storage.records import LimitKind


class OwnLimit(Document):
    """A limit that applies to the caller."""

    kind: LimitKind
    per: str | None
    value: str
    capacity: int
    remaining: int = Field(description="What can be used at once now.")
    shadow: bool


class OwnLimits(Document):
    """What a caller may do. An environment key has no limits."""

    team_id: str
    key_id: str
    name: str
    models: list[list[str]] = Field(description="Patterns. A model must match one of each list.")
    default_max_tokens: int | None
    largest_max_tokens: int | None
    limits: list[OwnLimit]
    budgets: list[SpendRow]

"""The schema of responses, for the OpenAPI page and the tests.

Source: docs/reference/contracts/openai-responses.md#objects
"""

from typing import Any, Literal

from app.dialects.http.documents import OutputSchema


class ResponseUsage(OutputSchema):
    """Tokens spent; `input_tokens` includes the cached ones."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseOut(OutputSchema):
    """A response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "failed", "in_progress", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    service_tier: str | None = None
    error: dict[str, Any] | None
    incomplete_details: dict[str, str] | None
    previous_response_id: str | None
    store: bool
    metadata: dict[str, str]


class CompactionOut(OutputSchema):
    """A compacted conversation."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: list[dict[str, Any]]
    usage: ResponseUsage


class TokensOut(OutputSchema):
    """The tokens of a request."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class ItemsOut(OutputSchema):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedOut(OutputSchema):
    """A response that was deleted."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True
